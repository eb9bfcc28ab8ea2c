//! The daemon as a process that people may want to end.

use crate::require;
use crate::support::{Home, unique};

#[test]
fn stop_leaves_sandboxes_alone() {
    require!(userns);
    let home = Home::new();
    let name = unique("goes-on");
    home.run(["run", "-d", "--idle", "--name", &name, "host"]);
    home.run(["exec", "-d", &name, "sleep", "1000"]);
    let client = home.client();
    let before = client.version().unwrap().pid;
    let started = || home.run(["exec", &name, "cut", "-d ", "-f2,22", "/proc/2/stat"]);
    let process = started();
    assert!(process.starts_with("(sleep) "), "{process}");
    assert_eq!(home.run(["daemon", "stop"]), "");
    assert!(!client.daemon_is_running().unwrap());
    home.shedbox(["daemon", "stop"])
        .assert()
        .success()
        .stdout("")
        .stderr("no daemon runs\n");
    assert_eq!(started(), process, "the same one, for the next daemon");
    assert_ne!(home.client().version().unwrap().pid, before);
}

#[test]
fn foreground_does_not_go_with_stop() {
    let home = Home::new();
    home.refused(["daemon", "--foreground", "stop"], 125, "--foreground");
}
