//! `features` says what the kernel shows, and complains when that is less than was asked for.

use serde_json::Value;

use crate::require;
use crate::support::{Case, Home, Lane};

fn features(case: Case) -> (Case, Value) {
    let (case, output) = case.command(["features", "--format=json"]).output();
    assert!(output.status.success(), "{output:?}");
    let value = serde_json::from_slice(&output.stdout).expect("JSON");
    (case, value)
}

/// Standard output of a script, which must succeed.
fn text(case: Case, script: &str) -> (Case, String) {
    let (case, output) = case.sh(script).output();
    assert!(output.status.success(), "{script}: {output:?}");
    (case, String::from_utf8(output.stdout).expect("UTF-8"))
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
}

#[test]
fn it_agrees_with_what_a_command_reads() {
    require!(userns, image "tiny");
    let (case, found) = features(Case::image("tiny").option("--ulimit=nofile=123:456"));
    let (case, status) = text(case, "exec cat /proc/self/status");
    let process = &found["process"];
    assert_eq!(process["uid"].to_string(), "0");
    assert_eq!(
        process["no_new_privileges"].as_bool(),
        Some(field(&status, "NoNewPrivs") == "1")
    );
    assert_eq!(process["seccomp"]["mode"], "filter");
    assert_eq!(field(&status, "Seccomp"), "2");
    assert_eq!(
        process["seccomp"]["filters"].to_string(),
        field(&status, "Seccomp_filters")
    );
    assert_eq!(process["umask"].as_str(), Some(field(&status, "Umask")));
    for (set, line) in [
        ("permitted", "CapPrm"),
        ("effective", "CapEff"),
        ("inheritable", "CapInh"),
        ("bounding", "CapBnd"),
        ("ambient", "CapAmb"),
    ] {
        let bits: u64 = process["capabilities"][set]
            .as_array()
            .expect("a list")
            .iter()
            .map(|name| {
                let name = name.as_str().expect("a name");
                shedbox_client::spec::capability::Capability::parse(name)
                    .expect("a capability")
                    .bit()
            })
            .sum();
        assert_eq!(format!("{bits:016x}"), field(&status, line), "{set}");
    }
    let (case, links) = text(
        case,
        "for kind in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done",
    );
    for (namespace, link) in found["namespaces"]
        .as_array()
        .expect("a list")
        .iter()
        .zip(links.lines())
    {
        let shown = format!(
            "{}:[{}]",
            namespace["kind"].as_str().unwrap(),
            namespace["inode"]
        );
        assert_eq!(shown, link);
        let host = std::fs::read_link(format!(
            "/proc/self/ns/{}",
            namespace["kind"].as_str().unwrap()
        ))
        .unwrap();
        assert_ne!(host.to_str(), Some(link), "not the host's");
        assert_eq!(namespace["shared"], false);
    }
    assert_eq!(links.lines().count(), 7);
    let (_case, map) = text(case, "cat /proc/self/uid_map");
    assert_eq!(
        found["user_map"]["uid"].as_array().expect("a list").len(),
        map.lines().count()
    );
    let files = found["limits"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|limit| limit["resource"] == "nofile")
        .expect("nofile");
    assert_eq!(
        (files["soft"].as_u64(), files["hard"].as_u64()),
        (Some(123), Some(456))
    );
    assert_eq!(found["violations"].as_array().expect("a list").len(), 0);
}

#[test]
fn nothing_is_missing_whatever_was_asked_for() {
    require!(userns, image "tiny");
    let cases = [
        Case::host(),
        Case::image("tiny"),
        Case::image("tiny").option("--read-only"),
        Case::image("tiny").option("--network=host"),
        Case::image("tiny").option("--cap-drop=ALL"),
        Case::image("tiny").option("--cap-add=SYS_PTRACE"),
        Case::image("tiny")
            .option("--mask=/etc/passwd")
            .option("--mask=/bin/nothing"),
    ];
    for case in cases {
        let (_case, found) = features(case);
        assert_eq!(
            found["violations"].as_array().expect("a list"),
            &Vec::<Value>::new()
        );
    }
}

#[test]
fn a_user_without_rights_has_none() {
    require!(userns, many_ids, image "tiny");
    let (_case, found) = features(Case::image("tiny").option("--user=app"));
    let process = &found["process"];
    assert_eq!(
        (process["uid"].as_u64(), process["gid"].as_u64()),
        (Some(1000), Some(1000))
    );
    assert_eq!(process["groups"].to_string(), "[1000,2000]");
    for set in ["permitted", "effective", "inheritable", "ambient"] {
        assert_eq!(process["capabilities"][set].to_string(), "[]", "{set}");
    }
}

#[test]
fn a_shared_network_is_called_shared() {
    require!(userns, image "tiny");
    let (_case, found) = features(Case::image("tiny").option("--network=host"));
    for namespace in found["namespaces"].as_array().expect("a list") {
        assert_eq!(
            namespace["shared"],
            namespace["kind"] == "net",
            "{namespace}"
        );
    }
}

#[test]
fn landlock_is_what_this_kernel_has() {
    require!(userns, image "tiny");
    let (_case, found) = features(Case::image("tiny"));
    let abi = shedbox_linux::probe::landlock_abi();
    assert_eq!(found["landlock"]["abi"].as_u64(), Some(abi.into()));
    assert_eq!(
        found["landlock"]["files"]
            .as_array()
            .expect("a list")
            .is_empty(),
        abi == 0
    );
}

#[test]
fn what_shows_although_it_was_to_be_hidden_is_a_violation() {
    require!(userns, image "tiny");
    // Nothing was there to be hidden; the agent made it afterwards.
    let (_case, output) = Case::image("tiny")
        .option("--mask=/answers")
        .sh("echo 42 >/answers")
        .ok()
        .command(["features"])
        .output();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.contains("VIOLATION           /answers was to be hidden and shows something\n"),
        "{text}"
    );
}

#[test]
fn inspect_has_them_and_a_stopped_sandbox_has_none() {
    require!(userns, image "tiny");
    let (case, output) = Case::image("tiny").command(["inspect"]).output();
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found[0]["features"]["isolation"], "namespaces");
    assert_eq!(found[0]["features"]["process"]["no_new_privileges"], true);
    let case = case.command(["stop", "--time=0"]).ok();
    let (case, output) = case.command(["inspect"]).output();
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found[0]["features"], Value::Null);
    case.command(["features"])
        .stderr("is not running")
        .status(1);
}

#[test]
fn the_library_has_them_too() {
    require!(userns);
    let home = Home::new();
    let client = home.client();
    let sandbox = client
        .create(shedbox_client::SandboxSpec {
            idle: true,
            ..shedbox_client::SandboxSpec::default()
        })
        .expect("create");
    let found = sandbox.features().expect("features");
    assert_eq!(found.violations, Vec::<String>::new());
    assert_eq!(
        found
            .user_map
            .uid
            .iter()
            .map(|range| u64::from(range.count))
            .sum::<u64>()
            > 1,
        Lane::current().many_ids()
    );
    sandbox.remove().expect("remove");
}
