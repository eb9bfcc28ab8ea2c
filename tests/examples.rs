//! The programs in `examples/` do what they say.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Home, scratch};

/// What cargo built beside the programs under test.
fn example(name: &str) -> PathBuf {
    let program = support::program();
    let path = program
        .parent()
        .expect("a program is in a directory")
        .join("examples")
        .join(name);
    assert!(path.is_file(), "{} is not built", path.display());
    path
}

/// Every file below a directory with its content, by path.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(dir).expect("read a directory") {
        let path = entry.expect("read an entry").path();
        if path.is_dir() {
            list.extend(contents(&path));
        } else {
            list.push((path.clone(), std::fs::read(&path).expect("read a file")));
        }
    }
    list.sort();
    list
}

/// Runs the demonstration: it ends well, the project on the host is as it was, and no sandbox is left.
fn demonstrate(home: &Home, image: &str) {
    let work = scratch();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo");
    let copied = Command::new("cp")
        .arg("-R")
        .args([demo.join("project"), demo.join("fix.patch")])
        .arg(work.path())
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let project = work.path().join("project");
    let before = contents(&project);
    let mut command = Command::new(example("demo"));
    command
        .args(["--image", image, "--project"])
        .arg(&project)
        .arg("--patch")
        .arg(work.path().join("fix.patch"))
        .envs(home.variables())
        .env("SHEDBOX_BIN", support::program());
    assert_cmd::Command::from_std(command)
        .timeout(std::time::Duration::from_mins(2))
        .assert()
        .success();
    assert_eq!(contents(&project), before);
    // Handles own their sandboxes: nothing is left when the program has ended.
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
}

#[test]
fn the_demonstration_mends_the_project_and_leaves_it_alone() {
    require!(userns, program "python3", program "patch");
    demonstrate(&Home::new(), "host");
}

#[test]
fn the_same_on_a_pulled_image() {
    require!(userns, image "debian");
    let home = Home::new();
    let reference = home.image("debian");
    demonstrate(&home, &reference);
}

#[test]
fn the_floor_program_compiles_and_works() {
    require!(userns, program "cc", program "busybox");
    let dir = scratch();
    let floor = dir.path().join("floor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench/floor.c");
    let compiled = Command::new("cc")
        .args(["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&floor)
        .arg(source)
        .output();
    assert!(
        compiled
            .as_ref()
            .is_ok_and(|output| output.status.success()),
        "{compiled:?}"
    );
    let lower = dir.path().join("lower");
    for name in ["bin", "proc", "sys", "dev"] {
        assert!(std::fs::create_dir_all(lower.join(name)).is_ok());
    }
    let copied = Command::new("sh")
        .args(["-c", "cp \"$(command -v busybox)\" \"$0/bin/true\""])
        .arg(&lower)
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let modes = ["create", "exec", "end", "killcreate"];
    let ran = assert_cmd::Command::new(&floor)
        .arg("--lower")
        .arg(&lower)
        .arg("--dir")
        .arg(dir.path())
        .args(["--rounds", "3"])
        .args(modes)
        .args(["many", "3"])
        .assert()
        .success();
    let text = String::from_utf8_lossy(&ran.get_output().stdout).into_owned();
    for mode in modes.iter().chain(&["exec_call", "many", "many_exec_call"]) {
        assert!(text.contains(&format!("\"name\":\"{mode}\"")), "{text}");
    }
}
