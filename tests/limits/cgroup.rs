//! Limits that the kernel enforces on a cgroup: set, to be read on both sides, and in force.

use std::time::Instant;

use crate::require;
use crate::subject::Subject;
use crate::support::Home;

/// A disk of this machine that has a device file.
fn disk() -> String {
    std::fs::read_dir("/sys/block")
        .expect("read /sys/block")
        .flatten()
        .map(|entry| format!("/dev/{}", entry.file_name().to_string_lossy()))
        .find(|path| {
            !path.contains("loop") && !path.contains("ram") && std::fs::metadata(path).is_ok()
        })
        .expect("a disk")
}

#[test]
fn every_limit_is_in_its_file_inside_and_outside() {
    require!(userns, cgroup);
    let disk = disk();
    let subject = Subject::new(&[
        "--memory=64m",
        "--memory-swap=96m",
        "--memory-high=48m",
        "--memory-reservation=16m",
        "--cpus=0.5",
        "--cpu-shares=2048",
        "--pids-limit=77",
        &format!("--device-read-bps={disk}:1m"),
        &format!("--device-write-iops={disk}:50"),
    ]);
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.high", "50331648"),
        ("memory.low", "16777216"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "174"),
        ("pids.max", "77"),
    ] {
        assert_eq!(subject.outside(file), value, "{file} outside");
        assert_eq!(subject.inside(file), value, "{file} inside");
    }
    let rates = subject.outside("io.max");
    assert!(
        rates.contains("rbps=1048576 wbps=max riops=max wiops=50"),
        "{rates}"
    );
    assert_eq!(subject.inside("io.max"), rates);
}

#[test]
fn quota_and_period_are_the_kernels_own_numbers() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--cpu-quota=20000", "--cpu-period=50000"]);
    assert_eq!(subject.outside("cpu.max"), "20000 50000");
    let subject = Subject::new(&["--memory=64m", "--memory-swap=-1"]);
    assert_eq!(subject.outside("memory.swap.max"), "max");
}

#[test]
fn a_number_of_processes_is_limited_when_nothing_is_asked_for() {
    require!(userns, cgroup);
    let home = Home::new();
    home.configure("pids_limit = 123\n");
    let subject = Subject::in_home(home, &[]);
    assert_eq!(subject.inside("pids.max"), "123");
    assert_eq!(subject.inside("memory.max"), "max");
    let subject = Subject::new(&[]);
    assert_eq!(subject.inside("pids.max"), "2048");
    let none = Subject::new(&["--pids-limit=-1"]);
    assert_eq!(none.inside("pids.max"), "max");
}

#[test]
fn too_much_memory_ends_the_command_and_not_the_sandbox() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--memory=64m", "--memory-swap=64m"]);
    let before = subject.info();
    let output = subject.python("held = [b'x' * (1 << 20) for _ in range(200)]");
    assert_eq!(output.status.code(), Some(137), "{output:?}");
    assert_eq!(subject.sh("echo alive"), "alive");
    let after = subject.info();
    assert_eq!(
        (after.generation, after.init_pid),
        (before.generation, before.init_pid)
    );
    let events = subject.outside("memory.events");
    assert!(!events.contains("oom_kill 0"), "{events}");
    // Less than the limit is no trouble.
    let fits = subject.python("held = b'x' * (20 << 20); print(len(held))");
    assert_eq!(fits.stdout, b"20971520\n", "{fits:?}");
}

#[test]
fn cpu_time_stays_below_the_quota() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--cpus=0.2"]);
    let used = || -> u64 {
        let text = subject.outside("cpu.stat");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        line.expect("usage").parse().expect("a number")
    };
    let (began, before) = (Instant::now(), used());
    subject.python("import time\nend = time.time() + 4\nwhile time.time() < end: pass");
    let (wall, cpu) = (began.elapsed().as_micros() as u64, used() - before);
    assert!(cpu * 100 < wall * 30, "{cpu} of {wall} microseconds");
    let stat = subject.outside("cpu.stat");
    assert!(!stat.contains("nr_throttled 0"), "{stat}");
}

#[test]
fn processes_beyond_the_limit_are_refused_with_eagain() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--pids-limit=20"]);
    let output = subject.python(
        "import os, sys, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
except OSError as error:
    print(error.errno, made)
    sys.stdout.flush()
    os.killpg(0, 9)",
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (errno, made) = text.trim().split_once(' ').expect("two numbers");
    assert_eq!(errno, "11", "{output:?}");
    let made: u32 = made.parse().expect("a number");
    assert!((10..20).contains(&made), "{made} processes");
    assert_eq!(subject.sh("echo alive"), "alive");
}

#[test]
fn limits_change_while_it_runs_and_outlive_a_reset() {
    require!(userns, cgroup);
    let subject = Subject::in_home(Home::new(), &["--memory=64m", "--cpus=1"]);
    subject.run(&["update", "--memory=128m", "--pids-limit=99"]);
    let look = || ["memory.max", "cpu.max", "pids.max"].map(|file| subject.inside(file));
    let expected = ["134217728", "100000 100000", "99"].map(str::to_owned);
    assert_eq!(look(), expected);
    subject.run(&["reset"]);
    assert_eq!(look(), expected);
    subject.run(&["stop", "--time=0"]);
    subject.run(&["update", "--cpu-quota=-1"]);
    subject.run(&["start"]);
    assert_eq!(subject.inside("cpu.max"), "max 100000");
    // The next daemon knows them, too.
    assert_eq!(subject.info().spec.limits.memory, Some(128 << 20));
    subject.home.stop_servants();
    // A daemon of this home, which a client in this process would start elsewhere.
    subject.home.run(["ps", "--quiet"]);
    assert_eq!(subject.info().spec.limits.memory, Some(128 << 20));
    assert_eq!(subject.inside("pids.max"), "99");
}

#[test]
fn a_sandbox_sees_its_own_group_alone_and_cannot_write_it() {
    require!(userns, cgroup);
    let one = Subject::new(&["--memory=64m"]);
    let name = {
        // A second one in the same home, which shares the daemon's base.
        let name = crate::support::unique("neighbour");
        one.home.run([
            "run",
            "--detach",
            "--name",
            &name,
            "--memory=65m",
            "host",
            "sleep",
            "1000000",
        ]);
        name
    };
    let own = one.sh("cat /proc/self/cgroup");
    assert!(
        own.starts_with("0::/") && !own.contains("shedbox") && !own.contains(".."),
        "{own}"
    );
    let mount = one.sh("grep ' /sys/fs/cgroup ' /proc/self/mountinfo");
    let fields: Vec<&str> = mount.split(' ').collect();
    assert_eq!((fields[3], fields[4]), ("/", "/sys/fs/cgroup"), "{mount}");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(fields[5].split(',').any(|word| word == option), "{mount}");
    }
    // Nothing above and nothing beside: what is there are leaves of its own.
    let limits = one.sh("find /sys/fs/cgroup -name memory.max | xargs cat | sort -u");
    assert!(
        !limits.contains("68157440"),
        "the neighbour's limit in {limits}"
    );
    assert_eq!(
        one.sh("cat /sys/fs/cgroup/../cgroup/memory.max"),
        "67108864"
    );
    for attempt in [
        "echo max > /sys/fs/cgroup/memory.max",
        "mkdir /sys/fs/cgroup/mine",
        "echo $$ > /sys/fs/cgroup/cgroup.procs",
    ] {
        let output = one.try_sh(attempt);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("Read-only"),
            "{attempt}: {output:?}"
        );
    }
    assert_eq!(one.outside("memory.max"), "67108864");
    one.home.run(["rm", "-f", &name]);
}

#[test]
fn every_process_is_in_a_leaf_of_its_own_generation() {
    require!(userns, cgroup);
    let subject = Subject::new(&["--pids-limit=50"]);
    let before = subject.group();
    assert_eq!(
        std::fs::read_to_string(before.join("cgroup.procs")).unwrap(),
        ""
    );
    subject.run(&["reset"]);
    let after = subject.group();
    assert_ne!(before, after);
    // Init and the main process at least.
    let pids: usize = subject.outside("pids.current").parse().unwrap();
    assert!(pids >= 2, "{pids}");
}
