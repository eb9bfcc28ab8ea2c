//! A lifetime ends a sandbox, whoever has forgotten it.

use std::time::Duration;

use crate::require;
use crate::support::wait::pause;
use crate::support::{Home, Kinship, eventually};

#[test]
fn a_forgotten_sandbox_goes() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    let id = home.run(["run", "--detach", "--ttl", "2s", &image, "sleep", "1000000"]);
    assert_eq!(
        home.run(["exec", &id, "cat", "/etc/image"]),
        "built by scripts/test-images"
    );
    eventually("it is gone", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
    eventually("its processes are gone", || kin.inside().is_empty());
    home.refused(["exec", &id, "true"], 125, "no such sandbox");
}

#[test]
fn also_when_it_does_not_run() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    home.run(["create", "--ttl", "2s", &image]);
    let stopped = home.run(["run", "--detach", "--ttl", "3s", &image, "sleep", "1000000"]);
    home.run(["stop", &stopped]);
    eventually("both are gone", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
}

#[test]
fn a_reset_does_not_prolong_it() {
    require!(userns, image "tiny");
    let home = Home::new();
    let image = home.image("tiny");
    let began = std::time::Instant::now();
    let id = home.run(["run", "--detach", "--ttl", "3s", &image, "sleep", "1000000"]);
    while began.elapsed() < Duration::from_secs(2) {
        home.run(["reset", &id]);
    }
    eventually("it is gone", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn also_when_the_daemon_was_killed_meanwhile() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    home.run(["run", "--detach", "--ttl", "3s", &image, "sleep", "1000000"]);
    home.run(["create", "--ttl", "3s", &image]);
    kin.daemon(&home).expect("a daemon").kill();
    // Its init ends by itself: no daemon is needed for that.
    eventually("its processes are gone", || {
        pause();
        kin.inside().is_empty()
    });
    assert!(kin.daemon(&home).is_none());
    eventually("both are gone", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
}

#[test]
fn a_daemon_that_comes_before_the_end_keeps_the_time() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let home = Home::new();
    let image = home.image("tiny");
    let id = home.run(["run", "--detach", "--ttl", "5s", &image, "sleep", "1000000"]);
    kin.daemon(&home).expect("a daemon").kill();
    assert_eq!(home.run(["ps", "--all", "--quiet", "--no-trunc"]), id);
    eventually("it is gone", || {
        home.run(["ps", "--all", "--quiet"]).is_empty()
    });
    eventually("its processes are gone", || kin.inside().is_empty());
}
