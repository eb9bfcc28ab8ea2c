//! `--isolation landlock`: nothing that came of the command is left, however it ends.

use std::path::Path;
use std::process::{Child, Stdio};

use shedbox_linux::process::signal;

use crate::confined::{impossible, run};
use crate::require;
use crate::support::{Case, Home, eventually, program, scratch_base};

/// Starts daemons in every way and says so in `ready`: in the background, in a new session, forked twice.
const DAEMONS: &str = "
sleep 1000123 &
setsid sleep 1000123 &
(setsid sh -c 'sleep 1000123 & sleep 1000123 & exit' &)
sh -c 'trap \"\" TERM INT HUP; sleep 1000123' &
sleep 0.3
touch ready
";
/// How many that are.
const COUNT: usize = 5;

fn sleepers(dir: &Path) -> usize {
    // Theirs are those that work where this test has its directory.
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == dir))
        .count()
}

fn directory() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir_in(scratch_base()).expect("a directory");
    let option = format!("--workdir={}", dir.path().display());
    (dir, option)
}

/// A command that has started its daemons and waits.
fn started(option: &str, dir: &Path) -> Child {
    let child = Home::shared()
        .command(["run", "--isolation", "landlock", option, "host", "sh", "-c"])
        .arg(format!("{DAEMONS}exec sleep 1000123"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run shedbox");
    eventually("the daemons run", || dir.join("ready").exists());
    eventually("the command runs", || sleepers(dir) > COUNT);
    child
}

#[test]
fn daemons_end_with_the_command() {
    if impossible() {
        return;
    }
    let (dir, option) = directory();
    let output = run(&[&option], &["sh", "-c", &format!("{DAEMONS}exit 5")]);
    assert_eq!(output.status.code(), Some(5));
    assert!(dir.path().join("ready").exists());
    // Before the answer, not some time after it.
    assert_eq!(sleepers(dir.path()), 0);
}

#[test]
fn everything_ends_with_the_client() {
    if impossible() {
        return;
    }
    let (dir, option) = directory();
    let mut child = started(&option, dir.path());
    child.kill().expect("kill");
    child.wait().expect("wait");
    eventually("the tree has ended", || sleepers(dir.path()) == 0);
}

#[test]
fn everything_ends_with_the_runner() {
    if impossible() {
        return;
    }
    let (dir, option) = directory();
    let mut child = started(&option, dir.path());
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let runner = std::fs::read_to_string(children).expect("children");
    let runner: i32 = runner.trim().parse().expect("one child");
    signal(runner, 9).expect("kill");
    assert_eq!(child.wait().expect("wait").code(), Some(125));
    assert_eq!(sleepers(dir.path()), 0);
}

#[test]
fn signals_are_passed_on() {
    if impossible() {
        return;
    }
    let (dir, option) = directory();
    let mut child = Home::shared()
        .command([
            "run",
            "--isolation",
            "landlock",
            &option,
            "host",
            "sh",
            "-c",
        ])
        .arg("trap 'echo got > got; exit 9' TERM; touch ready; while :; do sleep 0.05; done")
        .stdin(Stdio::null())
        .spawn()
        .expect("run shedbox");
    eventually("the command runs", || dir.path().join("ready").exists());
    signal(child.id() as i32, 15).expect("signal");
    assert_eq!(child.wait().expect("wait").code(), Some(9));
    assert!(dir.path().join("got").exists());
}

/// Where there really are no user namespaces: in a sandbox, whose filter refuses them.
#[test]
fn it_runs_where_there_are_no_user_namespaces() {
    require!(userns, landlock 1);
    let program = program();
    let dir = program.parent().expect("a directory");
    let case = Case::host()
        .option(format!("--volume={}:/shedbox:ro", dir.display()))
        .sh("unshare --user true")
        .status(1);
    let shedbox = format!(
        "/shedbox/{}",
        program.file_name().expect("a name").display()
    );
    case.sh(&format!(
        "{shedbox} run --isolation landlock host sh -c 'echo in; cat /shedbox/none; touch /tmp/new || exit 3' 2>/dev/null"
    ))
    .status(3)
    .sh(&format!(
        "{shedbox} run --isolation landlock host echo in 2>/dev/null"
    ))
    .stdout("in")
    // The sandbox way fails there, and the error names this one.
    .sh(&format!("SHEDBOX_ROOT=/tmp/r SHEDBOX_RUNTIME_DIR=/tmp/q {shedbox} run --rm host true"))
    .stderr("--isolation landlock")
    .status(125);
}
