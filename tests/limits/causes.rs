//! Why a command has ended, as its caller is told.

use std::time::Duration;

use crate::require;
use crate::support::{Case, Home, eventually, patience, unique};

/// How the main process ended, as `inspect` has it.
fn end(home: &Home, name: &str) -> serde_json::Value {
    let text = home.run(["inspect", name]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    list[0]["result"]["end"].clone()
}

fn started(home: &Home, script: &str) -> String {
    let name = unique("cause");
    home.run(["run", "-d", "--name", &name, "host", "sh", "-c", script]);
    name
}

#[test]
fn a_kill_that_a_client_asked_for_is_the_clients() {
    require!(userns);
    let home = Home::shared();
    let name = started(&home, "sleep 1000");
    home.run(["kill", &name]);
    home.run(["wait", &name]);
    let found = end(&home, &name);
    assert_eq!(found["cause"], "signaled");
    assert_eq!(
        (&found["signal"], &found["by"]),
        (&9.into(), &"client".into())
    );
    home.run(["rm", &name]);
}

#[test]
fn a_stop_that_had_to_insist_is_a_stop() {
    require!(userns);
    let home = Home::shared();
    let name = started(
        &home,
        "trap '' TERM; : > /ready; while :; do sleep 0.1; done",
    );
    eventually("the signal is ignored", || {
        let looked = home
            .command(["exec", &name, "test", "-e", "/ready"])
            .status();
        looked.unwrap().success()
    });
    home.run(["stop", "--time=1", &name]);
    let found = end(&home, &name);
    assert_eq!(
        (&found["signal"], &found["by"]),
        (&9.into(), &"stop".into())
    );
    home.run(["rm", &name]);
}

#[test]
fn what_a_sandbox_does_to_itself_is_its_own() {
    require!(userns);
    let home = Home::shared();
    let name = started(&home, "kill -SEGV $$");
    home.run(["wait", &name]);
    assert_eq!(end(&home, &name)["by"], "inside");
    home.run(["rm", &name]);
}

#[test]
fn the_end_of_its_time_is_told_to_a_command_in_flight() {
    require!(userns);
    let home = Home::shared();
    let name = unique("cause");
    // Longer than a command takes to start, on a slow machine too.
    let ttl = format!("--ttl={}s", patience(Duration::from_secs(3)).as_secs());
    home.run(["run", "-d", &ttl, "--name", &name, "host", "sleep", "1000"]);
    home.refused(
        ["exec", &name, "sleep", "1000"],
        137,
        "time to live is over",
    );
}

#[test]
fn a_time_out_is_told() {
    require!(userns);
    Case::host()
        .with("--timeout=200ms")
        .sh("sleep 1000")
        .stderr("ran out of time")
        .status(124);
}
