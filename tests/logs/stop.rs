//! A stop waits for nothing that will not come: what ignores the signal by being PID 1's child without a handler, or
//! by wish, does not cost the grace.

use std::time::{Duration, Instant};

use crate::require;
use crate::support::{Home, eventually};

/// Docker's grace, after which it kills such a process; far more than a stop of ours takes on a busy machine.
const GRACE: Duration = Duration::from_secs(10);

fn stops(arguments: &[&str], image: &str, home: &Home) -> Duration {
    let id = home.run(["run", "--detach", image].iter().chain(arguments));
    let began = Instant::now();
    home.run(["stop", &id]);
    let took = began.elapsed();
    assert_eq!(home.run(["ps", "--quiet"]), "");
    home.run(["rm", &id]);
    took
}

#[test]
fn keep_alive_processes_stop_at_once() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    for arguments in [
        &["tail", "-f", "/dev/null"][..],
        &["sleep", "infinity"],
        &["cat", "/dev/zero"],
        // They ignore the signal.
        &["sh", "-c", "trap '' TERM; sleep 1000000"],
        &["sh", "-c", "trap '' TERM; while true; do :; done"],
    ] {
        let took = stops(arguments, &image, &home);
        assert!(took < GRACE / 3, "{arguments:?}: {took:?}");
    }
}

#[test]
fn what_handles_the_signal_gets_its_time() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script =
        "trap 'sleep 1; echo done; exit 5' TERM; echo ready; while true; do sleep 0.1; done";
    let id = home.run(["run", "--detach", &image, "sh", "-c", script]);
    eventually("the handler is set", || home.run(["logs", &id]) == "ready");
    home.run(["stop", &id]);
    assert_eq!(home.run(["logs", &id]), "ready\ndone");
    assert_eq!(home.run(["wait", &id]), "5");
}

#[test]
fn what_handles_it_and_does_not_end_is_killed_after_the_grace() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script = "trap 'echo again' TERM; echo ready; while true; do sleep 0.1; done";
    let id = home.run(["run", "--detach", &image, "sh", "-c", script]);
    eventually("the handler is set", || home.run(["logs", &id]) == "ready");
    let began = Instant::now();
    home.run(["stop", "--time", "2", &id]);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < GRACE, "{took:?}");
    assert_eq!(home.run(["wait", &id]), "137");
}

#[test]
fn rm_of_what_runs_waits_for_nothing() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let script = "trap 'echo again' TERM; echo ready; while true; do sleep 0.1; done";
    let id = home.run(["run", "--detach", &image, "sh", "-c", script]);
    eventually("the handler is set", || home.run(["logs", &id]) == "ready");
    let began = Instant::now();
    home.run(["rm", "-f", &id]);
    assert!(began.elapsed() < GRACE / 3, "{:?}", began.elapsed());
}
