//! What is asked for and cannot be had is an error that says why and what to do; best effort says what it came to.

use crate::require;
use crate::support::Home;

/// `run` with these options is refused with `part` in the message.
#[track_caller]
fn refused(home: &Home, options: &[&str], part: &str) {
    let mut arguments = vec!["run"];
    arguments.extend(options);
    arguments.extend(["host", "true"]);
    home.refused(arguments, 125, part);
}

#[test]
fn values_that_make_no_sense() {
    require!(userns);
    let home = Home::new();
    for (options, part) in [
        (&["--memory=5m"][..], "--memory is below 6 MiB"),
        (&["--memory=lots"], "invalid size `lots`"),
        (
            &["--memory=64m", "--memory-swap=32m"],
            "--memory-swap is below --memory",
        ),
        (&["--memory-swap=64m"], "--memory-swap without --memory"),
        (
            &["--memory=64m", "--memory-high=65m"],
            "--memory-high is above --memory",
        ),
        (&["--cpus=0"], "--cpus is below 0.01"),
        (&["--cpus=100000"], "more than this host has"),
        (
            &["--cpus=1", "--cpu-quota=5000"],
            "--cpus together with --cpu-quota",
        ),
        (
            &["--cpu-shares=1"],
            "--cpu-shares is not between 2 and 262144",
        ),
        (&["--cpuset-cpus=60000"], "this host has no CPU 60000"),
        (&["--cpuset-mems=999"], "this host has no memory node 999"),
        (&["--cpuset-cpus=a-b"], "invalid list"),
        (&["--pids-limit=-5"], "-5 processes"),
        (&["--oom-score-adj=2000"], "2000 is not between"),
        (&["--oom-kill-disable"], "version 2 cannot"),
        (&["--device-read-bps=sda:1m"], "invalid rate"),
        (&["--device-read-bps=/dev/sda"], "invalid rate"),
        (&["--disk=0"], "no room at all"),
        (&["--disk=1g,backing=floppy"], "unknown backing `floppy`"),
    ] {
        refused(&home, options, part);
    }
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
}

#[test]
fn without_a_cgroup_a_limit_is_refused_with_the_reason_and_the_fix() {
    require!(userns, no_cgroup);
    let home = Home::new();
    for (options, part) in [
        (&["--memory=64m"][..], "--memory needs a control group"),
        (&["--cpus=0.5"], "--cpus needs a control group"),
        (&["--pids-limit=10"], "--pids-limit needs a control group"),
        (&["--memory=64m", "--cpus=0.5"], "--memory and --cpus needs"),
    ] {
        refused(&home, options, part);
        refused(&home, options, "there is none to use: ");
        refused(&home, options, "hint: ");
        refused(&home, options, "--limits=best-effort");
    }
    // Nothing asked for that needs one.
    home.run(["run", "--rm", "--pids-limit=-1", "host", "true"]);
    home.run(["run", "--rm", "host", "true"]);
}

#[test]
fn best_effort_says_what_is_not_in_force() {
    require!(userns, no_cgroup);
    let home = Home::new();
    let output = home
        .shedbox([
            "run",
            "--rm",
            "--limits=best-effort",
            "--memory=512m",
            "--cpus=0.5",
            "--pids-limit=100",
            "host",
            "echo",
            "ran",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"ran\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "warning: --memory: only the address space of each process is limited",
        "warning: --cpus: not in force",
        "warning: --pids-limit: only RLIMIT_NPROC limits processes",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
}

#[test]
fn without_a_cgroup_there_is_no_pause_pressure_reclaim_or_update() {
    require!(userns, no_cgroup);
    let home = Home::new();
    home.run([
        "run",
        "--detach",
        "--name=plain",
        "host",
        "sleep",
        "1000000",
    ]);
    for arguments in [
        &["pause", "plain"][..],
        &["pressure", "plain"],
        &["reclaim", "plain", "1m"],
        &["update", "--memory=64m", "plain"],
    ] {
        home.refused(
            arguments,
            1,
            "needs a control group, and there is none to use: ",
        );
        home.refused(arguments, 1, "hint: ");
    }
    home.refused(["unpause", "plain"], 1, "not paused");
    // It goes on as if nothing had been asked.
    assert_eq!(home.run(["exec", "plain", "echo", "on"]), "on");
    home.run(["rm", "-f", "plain"]);
}

#[test]
fn a_controller_that_is_not_delegated_is_named_with_the_fix() {
    require!(userns, cgroup);
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.trim().strip_prefix("0::").expect("version 2");
    let controllers =
        std::fs::read_to_string(format!("/sys/fs/cgroup{own}/cgroup.controllers")).unwrap();
    if controllers.split_whitespace().any(|name| name == "cpuset") {
        // Then it works.
        let home = Home::new();
        let output = home.run([
            "run",
            "--rm",
            "--cpuset-cpus=0",
            "host",
            "cat",
            "/sys/fs/cgroup/cpuset.cpus",
        ]);
        return assert_eq!(output, "0");
    }
    let home = Home::new();
    refused(
        &home,
        &["--cpuset-cpus=0"],
        "--cpuset-cpus needs a control group, and there is none to use: the controller `cpuset` is not delegated",
    );
    refused(
        &home,
        &["--cpuset-cpus=0"],
        "Delegate=cpu cpuset io memory pids",
    );
}

#[test]
fn a_device_that_is_none_is_named() {
    require!(userns, cgroup);
    let home = Home::new();
    refused(
        &home,
        &["--device-read-bps=/dev/null:1m"],
        "/dev/null is not a block device",
    );
    refused(
        &home,
        &["--device-read-bps=/dev/nothing:1m"],
        "/dev/nothing",
    );
}
