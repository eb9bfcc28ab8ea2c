//! CVE-2016-9962 and CVE-2024-21626: descriptors that are open while a command starts, and working directories that
//! name them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::archive::{self, Tar, base_layer, digest};
use crate::attack::Attack;
use crate::require;
use crate::rootfs::Rootfs;
use crate::support::{Case, Home};

#[test]
fn nothing_is_taken_from_a_command_that_starts() {
    require!(userns);
    let mut case = Case::host();
    case.start();
    let running = Attack::new(include_str!("starting.py"))
        .with("2")
        .started_in(&case);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2100) {
        let output = case
            .get_home()
            .shedbox(["exec", case.name(), "sleep", "0.02"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let seen = running.seen();
    assert_eq!(seen.outcome("new processes seen"), "True");
    assert_eq!(seen.outcome("taken"), "nothing");
}

#[test]
fn a_working_directory_is_not_a_descriptor_of_ours() {
    require!(userns);
    let mut case = Case::host()
        .sh("for i in 3 5 7 9; do ln -s /proc/self/fd/$i /tmp/self$i; ln -s /proc/1/fd/$i /tmp/init$i; done; ln -s /proc/1/root /tmp/root")
        .ok();
    let mut places: Vec<String> = (0..16)
        .flat_map(|fd| [format!("/proc/self/fd/{fd}"), format!("/proc/1/fd/{fd}")])
        .collect();
    places.extend(
        [3, 5, 7, 9]
            .iter()
            .flat_map(|fd| [format!("/tmp/self{fd}"), format!("/tmp/init{fd}")]),
    );
    places.extend(
        [
            "/proc/1/root",
            "/proc/1/cwd",
            "/tmp/root",
            "/proc/thread-self/fd/5",
            "/proc/self/fd/5/../..",
            "/proc/1/task/1/root",
        ]
        .map(str::to_owned),
    );
    for place in places {
        let (next, output) = case
            .with(format!("--workdir={place}"))
            .exec(["pwd"])
            .output();
        assert_eq!(output.status.code(), Some(126), "{place}: {output:?}");
        assert!(output.stdout.is_empty(), "{place}: {output:?}");
        case = next;
    }
    // What these names have in common with an honest one is that it works.
    case.with("--workdir=/proc/self/root/tmp")
        .exec(["pwd"])
        .stdout("/tmp");
}

#[test]
fn neither_is_the_one_of_a_sandbox_or_an_image() {
    require!(userns, image "tiny");
    let home = Home::new();
    let rootfs = Rootfs::new()
        .link("self", "/proc/self/fd/7".as_ref())
        .link("out", "../../../../proc/1/cwd".as_ref());
    for place in [
        "/proc/self/fd/7",
        "/proc/1/fd/7",
        "/proc/self/cwd/x",
        "/self",
        "/out",
        "/proc/1/root",
    ] {
        home.refused(
            [
                "run",
                "--rm",
                "--workdir",
                place,
                "--rootfs",
                rootfs.text(),
                "true",
            ],
            125,
            "working directory",
        );
    }
    let layer = Tar::default()
        .symlink("self", "/proc/self/fd/8")
        .symlink("out", "/../../../tmp/made")
        .end();
    for place in ["/proc/self/fd/8", "/self", "/self/../.."] {
        load_with(&home, &layer, place);
        home.refused(["run", "--rm", "bad:1", "pwd"], 125, "working directory");
    }
    // A link to a place that is missing: nothing is made where it leads on the host, whether or not it is made inside.
    load_with(&home, &layer, "/out/below");
    let output = home
        .shedbox(["run", "--rm", "bad:1", "pwd"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.code() == Some(125) || said.trim() == "/tmp/made/below",
        "{output:?}"
    );
    assert!(!std::path::Path::new("/tmp/made").exists());
}

/// Loads `bad:1`: programs, `layer`, and a working directory.
fn load_with(home: &Home, layer: &[u8], workdir: &str) {
    let layers = [base_layer(), layer.to_vec()];
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = archive::config(
        &diff_ids,
        &json!({"Env": ["PATH=/bin"], "WorkingDir": workdir}),
    );
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["bad:1"], "Layers": ["0.tar", "1.tar"]}]);
    let archive = Tar::default()
        .entry(b'0', b"0.tar", b"", &layers[0])
        .entry(b'0', b"1.tar", b"", &layers[1])
        .entry(b'0', b"config.json", b"", &config)
        .file("manifest.json", &manifest.to_string())
        .end();
    home.shedbox(["load"])
        .write_stdin(archive)
        .assert()
        .success();
}

#[test]
fn a_command_has_its_three_streams_and_nothing_else() {
    require!(userns);
    let list = "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> \\(.*\\)/\\1 \\2/p' | sed 's/\\[.*//; s,/proc/.*,the list,'";
    let case = Case::host()
        .sh(list)
        .stdout("0 /dev/null\n1 pipe:\n2 pipe:\n3 the list");
    let case = case
        .with("--tty")
        .sh(list)
        .stdout("0 /dev/pts/0\r\n1 pipe:\r\n2 /dev/pts/0\r\n3 the list\r");
    let case = case
        .stdin("x")
        .sh(list)
        .stdout("0 pipe:\n1 pipe:\n2 pipe:\n3 the list");
    // The main process, which init starts by itself.
    let home = case.get_home();
    let said = home.run(["run", "--rm", "host", "sh", "-c", list]);
    assert_eq!(said, "0 /dev/null\n1 pipe:\n2 pipe:\n3 the list");
}
