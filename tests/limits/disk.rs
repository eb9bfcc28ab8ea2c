//! Room for what a sandbox writes: the limit holds, the cause is told, and a reset makes the sandbox usable again.

use crate::require;
use crate::support::{Case, Home, eventually, patience, unique};
use std::time::{Duration, Instant};

/// What `inspect` says of the disk limit.
fn disk(home: &Home, name: &str) -> serde_json::Value {
    let text = home.run(["inspect", name]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    list[0]["disk"].clone()
}

fn status(home: &Home, name: &str) -> serde_json::Value {
    let text = home.run([
        "ps",
        "-a",
        "--format=json",
        "--filter",
        &format!("name={name}"),
    ]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    list[0]["status"].clone()
}

#[test]
fn a_file_above_the_limit_ends_the_sandbox_and_a_reset_makes_it_usable() {
    require!(userns);
    let case = Case::host()
        .option("--disk=8m")
        .sh("fallocate -l 64M /var/big; sleep 1000")
        .stderr("disk limit: 64")
        .status(137);
    // The command's client is told before the daemon notices.
    eventually("it is ended", || {
        status(case.get_home(), case.name()) == "exited"
    });
    let found = disk(case.get_home(), case.name());
    assert_eq!(found["backing"], "watchdog");
    assert_eq!(found["limit_bytes"], 8 << 20);
    assert!(found["used_bytes"].as_u64().unwrap() >= 64 << 20, "{found}");
    case.reset()
        .sh("test ! -e /var/big && echo again > /var/small && cat /var/small")
        .stdout("again");
}

#[test]
fn the_main_process_of_a_sandbox_above_its_limit_has_that_cause() {
    require!(userns);
    let home = Home::shared();
    let name = unique("disk");
    let output = home
        .command(["run", "--name", &name, "--disk=8m", "host", "sh", "-c"])
        .arg("fallocate -l 64M /var/big; sleep 1000")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(137), "{error}");
    assert!(error.contains("disk limit"), "{error}");
    let text = home.run(["inspect", &name]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[0]["result"]["end"]["cause"], "disk_limit");
    home.run(["rm", &name]);
}

#[test]
fn files_are_counted_where_they_are_limited() {
    require!(userns);
    Case::host()
        .option("--disk=64m,inodes=200")
        .sh("mkdir /var/many; i=0; while [ $i -lt 100000 ]; do : > /var/many/$i; i=$((i+1)); done")
        .stderr("files used of 200")
        .status(137)
        .reset()
        .sh("echo usable")
        .stdout("usable");
}

#[test]
fn a_hole_takes_no_room_and_neither_do_names_of_one_file() {
    require!(userns);
    Case::host()
        .option("--disk=8m")
        .sh(
            "truncate -s 1T /var/hole; head -c 4000000 /dev/zero > /var/one; \
             for i in 1 2 3 4 5 6; do ln /var/one /var/one.$i; done; sleep 4; echo alive",
        )
        .stdout("alive");
}

#[test]
fn a_file_without_a_name_is_found_at_the_process_that_holds_it() {
    require!(userns, program "python3");
    Case::host()
        .option("--disk=8m")
        .sh("exec python3 -c '
import os, time
file = open(\"/var/gone\", \"wb\")
os.unlink(\"/var/gone\")
for i in range(64):
    file.write(bytes(1 << 20)); file.flush()
time.sleep(1000)'")
        .stderr("disk limit")
        .status(137);
}

#[test]
fn a_copy_on_write_volume_counts() {
    require!(userns);
    let dir = crate::support::scratch();
    let volume = format!("--volume={}:/mnt:cow", dir.path().display());
    Case::host()
        .option("--disk=8m")
        .option(volume)
        .sh("fallocate -l 64M /mnt/big; sleep 1000")
        .stderr("disk limit")
        .status(137);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_writer_gets_little_above_the_limit() {
    require!(userns);
    let began = Instant::now();
    let case = Case::host()
        .option("--disk=32m")
        .sh("i=0; while :; do head -c 1000000 /dev/zero > /var/$i; i=$((i+1)); done")
        .stderr("disk limit")
        .status(137);
    assert!(began.elapsed() < patience(Duration::from_secs(20)));
    let used = disk(case.get_home(), case.name())["used_bytes"].as_u64();
    // What can be written in a period: 50 ms of a fast disk, with room for a busy machine.
    assert!(used.unwrap() < 1 << 30, "{used:?}");
}

#[test]
fn a_sandbox_that_is_started_again_above_its_limit_is_ended_again() {
    require!(userns);
    let case = Case::host()
        .option("--disk=8m")
        .sh("fallocate -l 64M /var/big; sleep 1000")
        .status(137);
    case.get_home().run(["start", case.name()]);
    eventually("it is ended", || {
        status(case.get_home(), case.name()) == "exited"
    });
}

#[test]
fn in_memory_the_kernel_refuses_what_does_not_fit() {
    require!(userns);
    if !memory_upper_works() {
        return;
    }
    let case = Case::host()
        .option("--disk=8m,inodes=100,backing=tmpfs")
        .sh("head -c 20000000 /dev/zero > /var/big")
        .stderr("disk limit: 8MiB used of 8MiB")
        .status(1)
        .sh("stat -c %s /var/big")
        .stdout("8388608");
    let found = disk(case.get_home(), case.name());
    assert_eq!(found["backing"], "tmpfs");
    assert_eq!(found["used_bytes"], 8 << 20);
    let case = case
        .sh("rm /var/big; i=0; while [ $i -lt 200 ]; do : > /var/$i || exit 9; i=$((i+1)); done")
        .stderr("disk limit: 100 files used of 100")
        .status(2)
        // What was deleted of a lower layer stays deleted: the marks of overlay are there.
        .reset()
        .sh("test -e /var/lib && rm -rf /var /root; test ! -e /var && echo gone")
        .stdout("gone");
    case.command(["diff"]).stderr("in memory").status(1);
}

/// Linux 6.6. Below it the refusal has to name that.
fn memory_upper_works() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse::<u32>().unwrap();
    let works = (next(), next()) >= (6, 6);
    if !works {
        let name = unique("disk");
        Home::shared().refused(
            [
                "run",
                "--rm",
                "--name",
                &name,
                "--disk=8m,backing=tmpfs",
                "host",
                "true",
            ],
            125,
            "needs Linux 6.6",
        );
    }
    works
}

#[test]
fn a_quota_that_cannot_be_had_is_refused() {
    require!(userns);
    Home::shared().refused(
        ["run", "--rm", "--disk=8m,backing=quota", "host", "true"],
        125,
        "quota",
    );
}
