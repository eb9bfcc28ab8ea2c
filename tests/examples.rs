//! The programs in `examples/`, run as a reader would run them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails by panicking, and says why"
)]

mod support;

use std::process::Command;

use support::{Home, program};

/// Runs an example in a home of its own; what it printed.
fn run(home: &Home, name: &str, arguments: &[&str]) -> String {
    // Cargo puts examples beside the programs.
    let example = program().with_file_name("examples").join(name);
    let output = Command::new(&example)
        .args(arguments)
        .envs(home.variables())
        .env("SHEDBOX_BIN", program())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name}: {}\n{errors}",
        output.status
    );
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

#[test]
fn quickstart() {
    require!(userns);
    let text = run(&Home::new(), "quickstart", &[]);
    for line in [
        "stdout: hello from ",
        "stderr: talk",
        "exit status 3 after ",
        "inside: written from outside",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.ends_with("the note is gone\n"), "{text}");
}

#[test]
fn episodes() {
    require!(userns);
    let text = run(&Home::new(), "episodes", &[]);
    assert_eq!(
        text.matches(": 0 files of the one before").count(),
        10,
        "{text}"
    );
}

#[test]
fn streams() {
    require!(userns);
    let text = run(&Home::new(), "streams", &[]);
    let expected = "heard one\nheard two\nexit status 0\ntimed out: partial\nkept 1024 bytes, more came: true\n";
    assert_eq!(text, expected);
}

#[test]
fn many() {
    require!(userns);
    let text = run(&Home::new(), "many", &[]);
    assert!(text.contains(": 0 1 2 3 4 5 6 7\n"), "{text}");
}

#[test]
fn images() {
    require!(userns, program "docker-registry", image "tiny");
    let home = Home::new();
    let reference = support::Registry::shared().reference("tiny:latest");
    let text = run(&home, "images", &[&reference]);
    assert!(text.contains("true says exit status 0\n"), "{text}");
    assert!(text.ends_with(&format!(" {reference}\n")), "{text}");
    assert_eq!(run(&home, "images", &[]).lines().count(), 1);
}
