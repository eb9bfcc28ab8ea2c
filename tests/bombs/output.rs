//! Output: more than anybody can keep, through a command's streams and into a log.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::bomb::end;
use super::ground::{Ground, peak_memory};
use crate::require;
use crate::support::patience;

/// Bytes that go through a command's standard output: 10 GB in one lane of a machine, 2 in the others, less in a slow
/// guest; or what `SHEDBOX_TEST_OUTPUT` says.
fn size() -> u64 {
    let guest = std::env::var_os("SHEDBOX_TEST_GUEST").is_some();
    let asked = std::env::var("SHEDBOX_TEST_OUTPUT").ok();
    asked.map_or_else(
        || match crate::support::Lane::current() {
            _ if guest => 64_000_000,
            crate::support::Lane::Subids => 10_000_000_000,
            _ => 2_000_000_000,
        },
        |text| {
            text.parse()
                .expect("SHEDBOX_TEST_OUTPUT is a number of bytes")
        },
    )
}

#[test]
fn ten_gigabytes_of_output() {
    require!(userns);
    let ground = Ground::new();
    ground.start(&[]);
    let size = size();
    let script = format!("head -c {size} /dev/zero");
    let mut child = ground
        .home()
        .command(["exec", "--timeout=20m", "victim", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start shedbox");
    let pid = child.id() as i32;
    let mut output = child.stdout.take().expect("piped");
    let mut chunk = vec![0; 1 << 20];
    let (mut total, mut peak) = (0, 0);
    let (mut next_look, mut looks) = (0, Vec::new());
    while let Ok(count @ 1..) = output.read(&mut chunk) {
        total += count as u64;
        if total >= next_look {
            next_look += size / 8;
            peak = peak.max(peak_memory(pid).unwrap_or(0));
            ground.look(&mut looks);
        }
    }
    Ground::answered_under_fire(&looks);
    assert!(child.wait().expect("wait for shedbox").success());
    assert_eq!(total, size);
    println!("the client had {peak} KiB at its peak");
    assert!(peak > 0 && peak < 64 << 10, "the client took {peak} KiB");
    ground.answers_as_before();
    ground.remove();
    ground.nothing_is_left();
}

#[test]
fn output_that_nobody_reads() {
    require!(userns);
    let ground = Ground::new();
    ground.start(&[]);
    let child = ground
        .home()
        .command([
            "exec",
            "victim",
            "sh",
            "-c",
            "echo began >&2; exec cat /dev/zero",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start shedbox");
    let mut child = child;
    let mut word = [0; 5];
    let mut errors = child.stderr.take().expect("piped");
    errors.read_exact(&mut word).expect("it began");
    // Neither of them waits for the reader.
    ground.reset();
    ground.remove();
    end(child);
    ground.nothing_is_left();
    ground.answers_as_before();
}

/// Bytes in the logs of all sandboxes.
fn log_bytes(ground: &Ground) -> u64 {
    std::fs::read_dir(ground.home().root().join("sandboxes"))
        .expect("list sandboxes")
        .flatten()
        .filter_map(|entry| std::fs::read_dir(entry.path().join("log")).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.size())
        .sum()
}

#[test]
fn a_flooded_log() {
    require!(userns);
    let ground = Ground::new();
    let cap: u64 = 1 << 20;
    let guest = std::env::var_os("SHEDBOX_TEST_GUEST").is_some();
    let size: u64 = if guest { 8 << 20 } else { 256 << 20 };
    let script = format!("yes 0123456789 | head -c {size}; echo; echo done; exec sleep 1000000");
    ground.home().run([
        "run",
        "--detach",
        "--name",
        "victim",
        "--log-max-size",
        "1m",
        "host",
        "sh",
        "-c",
        &script,
    ]);
    let mut looks = Vec::new();
    let end = Instant::now() + patience(Duration::from_mins(2));
    while ground.home().run(["logs", "--tail", "1", "victim"]) != "done" {
        assert!(Instant::now() < end, "the flood does not end");
        ground.look(&mut looks);
        let logs = log_bytes(&ground);
        assert!(logs <= 2 * cap, "the logs take {logs} bytes");
    }
    Ground::answered_under_fire(&looks);
    ground.answers_as_before();
    ground.remove();
    ground.nothing_is_left();
}
