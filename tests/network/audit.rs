//! The audit log as `shedbox egress log` shows it: chosen, and followed.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};

use crate::require;
use crate::scene::Peer;
use crate::support::Home;
use crate::words::audit;

/// Size at which the gateway gives the log another name: 32 MiB.
const FULL: usize = 32 << 20;

/// `shedbox egress log --follow` in the background.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut child = home
            .command([&["egress", "log", "--follow"], arguments].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start shedbox");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        Self { child, lines }
    }

    /// The next line that says something about this host.
    fn next_about(&mut self, host: &str) -> serde_json::Value {
        loop {
            let line = self.lines.next().expect("it goes on").expect("UTF-8");
            let entry: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if entry["host"] == host {
                return entry;
            }
        }
    }

    /// All lines until it ends by itself, and its status.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        let lines = self
            .lines
            .by_ref()
            .map(|line| line.expect("UTF-8"))
            .collect();
        let status = self.child.wait().expect("wait");
        (lines, status.code())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_follower_sees_what_comes_and_ends_with_its_sandbox() {
    require!(userns, program "python3");
    let home = Home::shared();
    let options = ["--network=bridge", "--egress=deny"];
    let (sandbox, other) = (Peer::idle(&home, &options), Peer::idle(&home, &options));
    sandbox.knows_not("before.example");
    let mut follower = Follower::start(&home, &[&sandbox.name]);
    follower.next_about("before.example");
    other.knows_not("other.example");
    sandbox.knows_not("after.example");
    let entry = follower.next_about("after.example");
    assert_eq!(
        (&entry["sandbox"], &entry["verdict"]),
        (&sandbox.id().into(), &"deny".into())
    );
    // Another life is the same sandbox.
    home.run(["reset", &sandbox.name]);
    sandbox.knows_not("again.example");
    follower.next_about("again.example");
    home.run(["rm", "--force", &sandbox.name]);
    let (rest, status) = follower.end();
    assert_eq!(status, Some(0), "{rest:?}");
    assert!(
        !rest.iter().any(|line| line.contains("other.example")),
        "{rest:?}"
    );
    std::mem::forget(sandbox); // removed above
}

#[test]
fn a_follower_of_all_goes_on_in_the_next_file() {
    require!(userns, program "python3");
    let home = Home::new();
    let log = home.paths().audit();
    std::fs::create_dir_all(log.parent().expect("a directory")).expect("make it");
    // A log that is full, of a sandbox that is not there any more; in long lines, so that they are few.
    let old = format!(
        "{{\"time\":\"2026-01-01T00:00:00Z\",\"sandbox\":\"gone\",\"host\":\"old.example\",\"reason\":\"{}\"}}\n",
        "x".repeat(64 << 10)
    );
    let mut file = std::fs::File::create(&log).expect("make the log");
    file.write_all(old.repeat(FULL / old.len() + 1).as_bytes())
        .expect("fill the log");
    let mut follower = Follower::start(&home, &["--tail=1"]);
    follower.next_about("old.example");
    let options = ["--network=bridge", "--egress=deny"];
    let sandbox = Peer::idle(&home, &options);
    for host in ["one.example", "two.example"] {
        sandbox.knows_not(host);
        assert_eq!(follower.next_about(host)["name"], sandbox.name.as_str());
    }
    assert!(log.with_extension("jsonl.1").exists(), "it was renamed");
    let second = Peer::idle(&home, &options);
    second.knows_not("three.example");
    assert_eq!(
        follower.next_about("three.example")["name"],
        second.name.as_str()
    );
    // Without `--follow` both files are read.
    let hosts = |arguments: &[&str]| -> Vec<String> {
        let text = home.run([&["egress", "log"], arguments].concat());
        let host = |line: &str| -> Option<String> {
            let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
            Some(entry["host"].as_str()?.to_owned())
        };
        text.lines().filter_map(host).collect()
    };
    assert_eq!(hosts(&["--tail=1"]), ["three.example"]);
    let recent = hosts(&["--since=10m"]);
    assert!(!recent.contains(&"old.example".to_owned()), "{recent:?}");
    assert!(recent.contains(&"one.example".to_owned()), "{recent:?}");
    assert_eq!(hosts(&["--since=2020-01-01T00:00:00Z"])[0], "old.example");
}

#[test]
fn choices_that_cannot_be_meant() {
    require!(userns);
    let home = Home::shared();
    for (arguments, part) in [
        (&["--tail=x"][..], "invalid number of lines `x`"),
        (&["--since=yesterday"], "invalid time `yesterday`"),
        (&["--follow", "nobody-there"], "nobody-there"),
    ] {
        home.refused([&["egress", "log"], arguments].concat(), 1, part);
    }
}

#[test]
fn update_puts_a_policy_in_force_as_egress_set_does() {
    require!(userns, program "python3");
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    let show = || home.run(["egress", "show", &sandbox.name]);
    let policy = ["--egress=deny", "--egress-allow=*.good.example:443"];
    home.run([&["update"], &policy[..], &[sandbox.name.as_str()]].concat());
    let updated = show();
    sandbox.knows_not("bad.example");
    assert!(
        audit(&home, &sandbox.name)
            .iter()
            .any(|entry| entry["host"] == "bad.example" && entry["verdict"] == "deny")
    );
    home.run(["egress", "set", "--clear", &sandbox.name]);
    assert_ne!(show(), updated);
    home.run([&["egress", "set"], &policy[..], &[sandbox.name.as_str()]].concat());
    assert_eq!(show(), updated);
    // What is wrong with a policy is said before anything is changed.
    let update = |options: &[&str], name: &str, part: &str| {
        home.refused([&["update"], options, &[name]].concat(), 1, part);
    };
    update(&["--egress=maybe"], &sandbox.name, "maybe");
    update(&["--egress-allow=a b"], &sandbox.name, "a b");
    assert_eq!(show(), updated);
    update(
        &[],
        &sandbox.name,
        "no limit and no egress policy was named",
    );
    let alone = Peer::idle(&home, &["--network=none"]);
    update(
        &["--egress=deny"],
        &alone.name,
        "where there is no egress to hold",
    );
}
