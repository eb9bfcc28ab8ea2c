//! Snapshots on a full disk: none is half taken, and what was there before is there still.

use super::sandbox::{flood, with_sandbox};
use super::small_disk::SmallDisk;
use crate::require;
use crate::support::eventually;

/// It failed, and said why and what helps.
fn fails(disk: &SmallDisk, arguments: &[&str]) {
    let output = disk.shedbox(arguments.iter().copied());
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    assert!(
        text.contains("No space left on device") || text.contains("`min_free_bytes`"),
        "{arguments:?}: {text}"
    );
    assert!(text.contains("hint: "), "{arguments:?}: {text}");
}

fn sh(disk: &SmallDisk, script: &str) -> String {
    disk.run(["exec", "box", "sh", "-ec", script])
}

/// Number of the present generation: another one after every start and reset.
fn generation(disk: &SmallDisk) -> u64 {
    let text = disk.run(["inspect", "box"]);
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    list[0]["generation"].as_u64().expect("a number")
}

#[test]
fn a_copy_that_does_not_fit_leaves_everything_as_it_was() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    sh(
        &disk,
        "yes kept | head -c 36000000 >/big; mkdir /d; for i in $(seq 50); do echo $i >/d/$i; done",
    );
    disk.run([
        "exec",
        "--detach",
        "box",
        "sh",
        "-c",
        "cd /dev/shm; n=0; while :; do n=$((n+1)); echo $n >new; mv new count; sleep 0.01; done",
    ]);
    let look = "md5sum /big; ls /d | wc -l; cat /d/* | md5sum";
    let (before, free) = (sh(&disk, look), disk.free());
    let first = generation(&disk);
    for command in [&["snapshot", "create", "box", "one"][..], &["fork", "box"]] {
        fails(&disk, command);
        eventually("what was copied is gone", || disk.free() + (1 << 20) > free);
        assert_eq!(disk.names("snapshots"), Vec::<String>::new());
        assert_eq!(disk.run(["snapshot", "ls", "--quiet"]), "");
        assert_eq!(disk.run(["ps", "--all", "--quiet"]).lines().count(), 1);
        assert_eq!(sh(&disk, look), before);
        assert_eq!(generation(&disk), first);
    }
    let counted = || sh(&disk, "cat /dev/shm/count").parse::<u64>().ok();
    let low = counted();
    eventually("its process goes on", || counted() > low);
    disk.resize(150);
    disk.run(["snapshot", "create", "box", "one"]);
    sh(&disk, "rm -r /big /d");
    disk.run(["restore", "box", "one"]);
    assert_eq!(sh(&disk, look), before);
}

#[test]
fn without_any_room_no_snapshot_is_begun() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    sh(&disk, "echo kept >/file");
    disk.run(["snapshot", "create", "box", "point"]);
    let there = disk.names("snapshots");
    sh(&disk, "echo later >/file");
    disk.fill();
    fails(&disk, &["snapshot", "create", "box", "one"]);
    fails(&disk, &["fork", "box:point"]);
    fails(&disk, &["fork", "box"]);
    assert_eq!(disk.names("snapshots"), there);
    assert_eq!(sh(&disk, "cat /file"), "later");
    assert_eq!(disk.run(["snapshot", "ls", "--quiet"]), "point");
    // The names and files of before can always go.
    disk.run(["snapshot", "rm", "box", "point"]);
    assert_eq!(disk.names("snapshots"), Vec::<String>::new());
    disk.make_room();
    disk.run(["snapshot", "create", "box", "one"]);
    assert_eq!(disk.run(["snapshot", "ls", "--quiet"]), "one");
}

/// The directory itself becomes the snapshot, which takes the room of a record.
#[test]
fn one_that_does_not_run_loses_nothing() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    sh(&disk, "echo kept >/file");
    disk.run(["stop", "--time=0", "box"]);
    disk.fill();
    for _ in 0..2 {
        fails(&disk, &["snapshot", "create", "box", "one"]);
        fails(&disk, &["fork", "box"]);
        assert_eq!(disk.names("snapshots"), Vec::<String>::new());
        disk.restart_daemon();
    }
    disk.make_room();
    disk.run(["start", "box"]);
    assert_eq!(sh(&disk, "cat /file"), "kept");
    // Stopping it may give the block back that a snapshot takes.
    disk.fill();
    let output = disk.shedbox(["snapshot", "create", "--stop", "box", "maybe"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || text.contains("hint: "), "{text}");
    disk.make_room();
    disk.run(["start", "box"]);
    assert_eq!(sh(&disk, "cat /file"), "kept");
    if disk.run(["snapshot", "ls", "--quiet"]).is_empty() {
        assert_eq!(disk.names("snapshots"), Vec::<String>::new());
    } else {
        disk.run(["snapshot", "rm", "box", "maybe"]);
    }
    disk.run(["snapshot", "create", "--stop", "box", "one"]);
    sh(&disk, "rm /file");
    disk.run(["restore", "box", "one"]);
    assert_eq!(sh(&disk, "cat /file"), "kept");
}

#[test]
fn a_sandbox_that_fills_the_disk_is_restored() {
    require!(userns, image "tiny");
    let disk = with_sandbox();
    sh(&disk, "echo kept >/file");
    disk.run(["snapshot", "create", "box", "point"]);
    let free = disk.free();
    for round in 0..12 {
        flood(&disk);
        if round % 3 == 2 {
            disk.restart_daemon();
        }
        disk.run(["restore", "box", "point"]);
        assert_eq!(
            sh(&disk, "cat /file; ls / | grep -c flood || true"),
            "kept\n0"
        );
        eventually("the room is back", || disk.free() + (2 << 20) > free);
    }
    // The next daemon sees it the same way.
    disk.restart_daemon();
    disk.run(["stop", "--time=0", "box"]);
    disk.run(["start", "box"]);
    assert_eq!(sh(&disk, "cat /file"), "kept");
    assert_eq!(disk.names("snapshots").len(), 1);
}

/// A restore works for as long as there is room for the next generation, some of which is made ahead of need. Then it says
/// what is wrong and changes nothing.
fn restored_until_there_is_no_room(fill: impl Fn(&SmallDisk), make_room: impl Fn(&SmallDisk)) {
    let disk = with_sandbox();
    sh(&disk, "echo kept >/file");
    disk.run(["snapshot", "create", "box", "point"]);
    sh(&disk, "echo other >/file");
    disk.run(["snapshot", "create", "box", "other"]);
    // Nothing is written over it, so nothing can be given up to have the room.
    disk.run(["restore", "box", "point"]);
    let there = disk.names("snapshots");
    let mut before = "kept".to_owned();
    let mut failed = false;
    for content in ["other", "kept"].into_iter().cycle().take(100) {
        fill(&disk);
        let first = generation(&disk);
        let tag = if content == "kept" { "point" } else { content };
        let output = disk.shedbox(["restore", "box", tag]);
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(text.contains("No space left on device"), "{text}");
            assert!(text.contains("hint: "), "{text}");
            assert_eq!(generation(&disk), first);
            failed = true;
            break;
        }
        content.clone_into(&mut before);
        assert_eq!(sh(&disk, "cat /file"), before);
    }
    assert!(failed, "there is always room");
    for _ in 0..2 {
        assert_eq!(sh(&disk, "cat /file"), before);
        assert_eq!(disk.names("snapshots"), there);
        assert_eq!(disk.run(["snapshot", "ls", "--quiet"]), "point\nother");
        disk.restart_daemon();
    }
    make_room(&disk);
    for (tag, content) in [("other", "other"), ("point", "kept")] {
        disk.run(["restore", "box", tag]);
        assert_eq!(sh(&disk, "cat /file"), content);
    }
}

#[test]
fn without_a_block_a_restore_changes_nothing() {
    require!(userns, image "tiny");
    restored_until_there_is_no_room(SmallDisk::fill, SmallDisk::make_room);
}

#[test]
fn without_an_inode_a_restore_changes_nothing() {
    require!(userns, image "tiny");
    restored_until_there_is_no_room(
        |disk| disk.spare_inodes(0),
        |disk| disk.spare_inodes(10_000),
    );
}
