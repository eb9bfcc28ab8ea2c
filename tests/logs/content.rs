//! Every byte, in order, by stream; across resets, stops and crashes.

use crate::require;
use crate::support::{Home, Kinship, eventually};

#[test]
fn bytes_come_back_as_they_were_written() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    // Every byte there is, also zero, and what is no UTF-8; more than one read of init takes.
    let script = "i=0; while test $i -lt 256; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done > /all; \
                  for i in $(seq 1000); do cat /all; done; printf 'no newline'";
    let name = "binary";
    home.run([
        "run", "--detach", "--name", name, &image, "sh", "-c", script,
    ]);
    home.run(["wait", name]);
    let output = home.command(["logs", name]).output().expect("run shedbox");
    assert!(output.status.success());
    let mut expected: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(1000);
    expected.extend(b"no newline");
    assert_eq!(output.stdout.len(), expected.len());
    assert!(output.stdout == expected, "bytes differ");
    assert!(output.stderr.is_empty());
}

#[test]
fn streams_are_kept_apart() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done";
    home.run([
        "run", "--detach", "--name", "both", &image, "sh", "-c", script,
    ]);
    home.run(["wait", "both"]);
    let output = home
        .command(["logs", "both"])
        .output()
        .expect("run shedbox");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "out 1\nout 2\nout 3\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "err 1\nerr 2\nerr 3\n"
    );
}

#[test]
fn a_log_outlives_the_daemon_the_generation_and_the_stop() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    let script = "echo life; n=0; while true; do n=$((n+1)); echo tick $n; sleep 0.05; done";
    let id = home.run(["run", "--detach", &image, "sh", "-c", script]);
    let lines = |wanted: &str| {
        let text = home.run(["logs", &id]);
        text.lines().filter(|line| line.starts_with(wanted)).count()
    };
    eventually("it ticks", || lines("tick") > 2);
    // Nobody but init writes the log.
    kin.daemon(&home).expect("a daemon").kill();
    kin.keepers().iter().for_each(crate::support::Kin::kill);
    eventually("the daemon is gone", || kin.daemon(&home).is_none());
    let before = lines("tick");
    eventually("it goes on", || lines("tick") > before + 2);
    assert_eq!(lines("life"), 1);
    home.run(["stop", "--time", "0", &id]);
    let before = lines("tick");
    home.run(["start", &id]);
    eventually("the second life is there", || lines("life") == 2);
    assert!(lines("tick") >= before, "the first life's lines are gone");
}

#[test]
fn a_finished_log_is_followed_to_its_end_only() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run(["run", "--detach", "--name", "short", &image, "echo", "all"]);
    home.run(["wait", "short"]);
    assert_eq!(home.run(["logs", "--follow", "short"]), "all");
}
