//! Cgroups of commands: what one has used, why it has ended, and that it ends alone. Needs cgroup v2.

use crate::require;
use crate::support::{Case, Home, eventually, unique};
use shedbox_client::End;

/// Takes so many bytes, and waits.
fn eat(bytes: u64) -> String {
    format!("exec python3 -c 'x = bytearray({bytes}); print(len(x), flush=True)'")
}

#[test]
fn one_command_runs_out_of_memory_and_the_others_live() {
    require!(userns, cgroup, program "python3");
    let case = Case::host()
        .option("--memory=64m")
        .with("--detach")
        .sh("exec sleep 4321")
        .ok()
        .sh(&eat(200 << 20))
        .stderr("out of memory: limit 64MiB")
        .status(137);
    case.until_running("sleep 4321", 1)
        .sh("echo alive")
        .stdout("alive");
}

#[test]
fn the_numbers_of_a_command_are_its_own() {
    require!(userns, cgroup, program "python3");
    let mut case = Case::host().option("--memory=256m");
    case.start();
    let sandbox = case.get_home().client().sandbox(case.name()).unwrap();
    let output = sandbox
        .command("sh")
        .arg("-c")
        .arg(eat(64 << 20))
        .output()
        .unwrap();
    let used = output.result.used.expect("a cgroup counts");
    assert!(output.status.success(), "{:?}", output.status);
    assert!(used.user_us + used.system_us > 0, "{used:?}");
    assert_eq!((used.oom_kills, used.forks_refused), (0, 0));
    if std::path::Path::new("/sys/fs/cgroup/user.slice/memory.peak").exists() {
        assert!(
            (64 << 20..200 << 20).contains(&used.memory_peak),
            "{used:?}"
        );
    }
    let small = sandbox.command("true").output().unwrap();
    let small = small.result.used.expect("a cgroup counts");
    assert!(small.memory_peak < 32 << 20, "{small:?}");
}

#[test]
fn a_command_without_processes_to_be_had_has_that_cause() {
    require!(userns, cgroup, program "python3");
    let mut case = Case::host().option("--pids-limit=40");
    case.start();
    let sandbox = case.get_home().client().sandbox(case.name()).unwrap();
    let script = "import os, signal, sys
for i in range(100):
    try:
        if os.fork() == 0: signal.pause()
    except OSError: sys.exit(3)
sys.exit(0)";
    let output = sandbox
        .command("python3")
        .args(["-c", script])
        .output()
        .unwrap();
    assert_eq!(
        output.status.end(),
        &End::PidsLimit {
            status: 3,
            limit: Some(40)
        }
    );
    // What it has left behind fills the sandbox; a reset does not mind.
    drop(sandbox);
    case.reset().sh("echo usable").stdout("usable");
}

#[test]
fn everybody_goes_when_that_was_asked_for() {
    require!(userns, cgroup, program "python3");
    let home = Home::shared();
    let name = unique("oom");
    home.run([
        "run",
        "-d",
        "--name",
        &name,
        "--memory=64m",
        "--oom-group",
        "host",
        "sleep",
        "100000",
    ]);
    home.refused(
        ["exec", &name, "sh", "-c", &eat(200 << 20)],
        137,
        "out of memory",
    );
    assert_eq!(home.run(["wait", &name]), "137");
    let text = home.run(["inspect", &name]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[0]["oom_killed"], true, "{text}");
    assert_eq!(list[0]["result"]["end"]["cause"], "out_of_memory");
    home.run(["rm", &name]);
}

#[test]
fn a_main_process_that_runs_out_of_memory_has_that_cause() {
    require!(userns, cgroup, program "python3");
    let home = Home::shared();
    let name = unique("oom");
    let script = eat(200 << 20);
    home.run([
        "run",
        "-d",
        "--name",
        &name,
        "--memory=64m",
        "host",
        "sh",
        "-c",
        &script,
    ]);
    assert_eq!(home.run(["wait", &name]), "137");
    let text = home.run(["inspect", &name]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[0]["oom_killed"], true, "{text}");
    home.run(["rm", &name]);
}

#[test]
fn a_time_out_ends_a_tree_that_hides_from_everything_but_its_cgroup() {
    require!(userns, cgroup, program "python3");
    let case = Case::host()
        .with("--detach")
        .sh("exec sleep 4322")
        .ok()
        .with("--timeout=2s")
        .with("--grace=100ms")
        .sh("exec python3 -c '
import os, resource, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    # RLIMIT_LOCKS, the mark of a tree where there is no cgroup.
    import ctypes
    limits = (ctypes.c_uint64 * 2)(5, 5)
    ctypes.CDLL(None).prlimit64(0, 10, limits, None)
    os.execlp(\"sleep\", \"sleep\", \"4323\")
time.sleep(1000)'")
        .status(124);
    case.until_running("sleep 4323", 0)
        .until_running("sleep 4322", 1);
}

#[test]
fn leaves_go_when_their_last_process_has() {
    require!(userns, cgroup);
    let mut case = Case::host();
    case.start();
    let leaves = |case: &Case| {
        let home = case.get_home();
        home.run([
            "exec",
            case.name(),
            "sh",
            "-c",
            "ls -d /sys/fs/cgroup/x* | wc -l",
        ])
        .trim()
        .parse::<u32>()
        .unwrap()
    };
    for _ in 0..5 {
        case = case
            .sh("sleep 1000 >/dev/null 2>&1 & echo $! >> /tmp/pids")
            .ok();
    }
    assert!(leaves(&case) >= 5);
    case = case.sh("kill $(cat /tmp/pids)").ok();
    eventually("only those in use are left", || leaves(&case) <= 4);
}
