//! `run`, `create`, `start` and `attach` in the foreground: statuses, streams, signals, what stays and what goes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use shedbox_linux::process;

use crate::require;
use crate::support::{Home, eventually, unique};

fn all(home: &Home) -> String {
    home.run(["ps", "--all", "--quiet"])
}

/// A program in the foreground whose first line has been read.
fn started(home: &Home, arguments: &[&str]) -> Child {
    let mut child = home
        .command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
    child
}

#[test]
fn the_status_and_the_streams_are_the_commands_own() {
    require!(userns);
    let home = Home::new();
    let script = "cat; echo talk >&2; exit 3";
    let ran = home
        .shedbox(["run", "--rm", "-i", "host", "sh", "-c", script])
        .write_stdin("data")
        .assert();
    ran.code(3).stdout("data").stderr("talk\n");
    home.shedbox(["run", "--rm", "host", "sh", "-c", "kill -9 $$"])
        .assert()
        .code(137);
    assert_eq!(all(&home), "");
}

#[test]
fn a_command_that_cannot_start_leaves_nothing() {
    require!(userns);
    let home = Home::new();
    for options in [&["run"][..], &["run", "--rm"], &["run", "--detach"]] {
        let missing = [options, &["host", "no-such-program"]].concat();
        home.shedbox(&missing).assert().code(127);
        let unfit = [options, &["host", "/etc/passwd"]].concat();
        home.shedbox(&unfit).assert().code(126);
    }
    home.shedbox(["run", "--network", "no-such-network", "host", "true"])
        .assert()
        .code(125);
    assert_eq!(all(&home), "");
}

#[test]
fn create_start_logs_wait() {
    require!(userns);
    let home = Home::new();
    let name = unique("c");
    let id = home.run([
        "create",
        "--name",
        &name,
        "-i",
        "host",
        "sh",
        "-c",
        "cat; exit 4",
    ]);
    assert_eq!(id.len(), 64);
    home.shedbox(["start", "-ai", &name])
        .write_stdin("once\n")
        .assert()
        .code(4)
        .stdout("once\n");
    assert_eq!(
        (home.run(["logs", &name]), home.run(["wait", &name])),
        ("once".into(), "4".into())
    );
    let stamped = home.run(["logs", "--timestamps", &name]);
    assert!(
        stamped.ends_with("Z once") && stamped.starts_with("20"),
        "{stamped}"
    );
    home.run(["rm", &name]);
}

#[test]
fn signals_reach_the_command() {
    require!(userns);
    let home = Home::new();
    let script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let mut child = started(&home, &["run", "--rm", "host", "sh", "-c", script]);
    process::signal(child.id() as i32, 15).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(all(&home), "");
}

#[test]
fn the_third_interrupt_ends_us_whatever_the_command_does() {
    require!(userns);
    let home = Home::new();
    let script = "trap '' INT; echo up; sleep 1000";
    let mut child = started(&home, &["run", "--rm", "host", "sh", "-c", script]);
    for _ in 0..3 {
        process::signal(child.id() as i32, 2).unwrap();
        crate::support::wait::pause();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    eventually("the sandbox is gone", || all(&home).is_empty());
}

#[test]
fn a_client_that_is_killed_takes_its_sandbox_along() {
    require!(userns);
    let home = Home::new();
    let mut child = started(
        &home,
        &["run", "--rm", "host", "sh", "-c", "echo up; sleep 1000"],
    );
    assert_ne!(all(&home), "");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the sandbox is gone", || all(&home).is_empty());
}

#[test]
fn an_id_file_is_taken_once() {
    require!(userns);
    let home = Home::new();
    let dir = crate::support::scratch();
    let path = dir.path().join("id");
    let path = path.to_str().unwrap();
    home.shedbox(["run", "--rm", "--cidfile", path, "host", "no-such-program"])
        .assert()
        .code(127);
    let _ = std::fs::remove_file(path);
    let id = home.run([
        "run",
        "--detach",
        "--cidfile",
        path,
        "host",
        "sleep",
        "1000",
    ]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), id);
    home.shedbox(["run", "--rm", "--cidfile", path, "host", "true"])
        .assert()
        .code(125);
    home.run(["rm", "-f", &id]);
}
