//! Sandboxes on a full disk: they can always be reset, stopped and removed.

use super::small_disk::SmallDisk;
use crate::require;
use crate::support::eventually;

/// A disk with the tiny image and a sandbox that runs.
pub(super) fn with_sandbox() -> SmallDisk {
    let disk = SmallDisk::new(64);
    let tiny = SmallDisk::reference("tiny");
    disk.run([
        "run", "--detach", "--quiet", "--name", "box", &tiny, "sleep", "1000000",
    ]);
    disk
}

/// Writes until it cannot.
pub(super) fn flood(disk: &SmallDisk) {
    let output = disk.shedbox(["exec", "box", "dd", "if=/dev/zero", "of=/flood", "bs=64k"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("No space left on device"), "{text}");
    assert_eq!(disk.free(), 0);
}

fn answers(disk: &SmallDisk) {
    assert_eq!(
        disk.run(["exec", "box", "cat", "/etc/image"]),
        "built by scripts/test-images"
    );
}

#[test]
fn a_sandbox_that_fills_the_disk_is_reset() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    let free = disk.free();
    // More often than there are generations and directories made ahead of need.
    for round in 0..24 {
        flood(&disk);
        answers(&disk);
        disk.run(["reset", "box"]);
        let output = disk.shedbox(["exec", "box", "test", "-e", "/flood"]);
        assert_eq!(output.status.code(), Some(1), "round {round}");
        eventually("the room is back", || disk.free() + (2 << 20) > free);
    }
    disk.run(["exec", "box", "sh", "-c", "echo works > /file"]);
    assert_eq!(disk.run(["exec", "box", "cat", "/file"]), "works");
}

#[test]
fn one_that_fills_the_disk_is_reset_again_by_a_daemon_that_comes_anew() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    for _ in 0..3 {
        flood(&disk);
        disk.restart_daemon();
        answers(&disk);
        disk.run(["reset", "box"]);
        eventually("the room is back", || disk.free() > 16 << 20);
        answers(&disk);
    }
}

#[test]
fn on_a_disk_that_others_have_filled_sandboxes_go_on() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    disk.run(["exec", "box", "sh", "-c", "echo kept > /file"]);
    disk.fill();
    assert_eq!(disk.run(["exec", "box", "cat", "/file"]), "kept");
    let output = disk.shedbox([
        "exec",
        "box",
        "sh",
        "-c",
        "head -c 100000 /dev/zero > /other",
    ]);
    assert_ne!(output.status.code(), Some(0));
    disk.restart_daemon();
    assert_eq!(disk.run(["exec", "box", "cat", "/file"]), "kept");
    disk.run(["stop", "box"]);
    disk.make_room();
    disk.run(["start", "box"]);
    assert_eq!(disk.run(["exec", "box", "cat", "/file"]), "kept");
    disk.run(["reset", "box"]);
    answers(&disk);
}

#[test]
fn rm_works_on_a_full_disk() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    let tiny = SmallDisk::reference("tiny");
    disk.run(["create", "--name", "other", &tiny]);
    disk.fill();
    disk.run(["rm", "other"]);
    disk.run(["rm", "-f", "box"]);
    assert_eq!(disk.run(["ps", "--all", "--quiet"]), "");
    disk.make_room();
    disk.run([
        "run", "--detach", "--name", "box", &tiny, "sleep", "1000000",
    ]);
    answers(&disk);
    // Its own flood as well.
    flood(&disk);
    disk.run(["rm", "-f", "box"]);
    eventually("the room is back", || disk.free() > 32 << 20);
}

#[test]
fn a_daemon_starts_on_a_full_disk() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    disk.fill();
    disk.restart_daemon();
    assert_eq!(disk.run(["ps", "--quiet"]).lines().count(), 1);
    answers(&disk);
    disk.make_room();
    disk.run(["reset", "box"]);
    answers(&disk);
}
