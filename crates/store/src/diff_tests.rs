use std::fs;

use super::*;
use crate::testing::{Scratch, Tar, became_root};

/// An upperdir made by unpacking, which has overlay's form, over layers that are made the same way.
fn diff(upper: Tar, lowers: Vec<Tar>, ignore: &[&str]) -> Vec<String> {
    let scratch = Scratch::new();
    let place = |tar: Tar| {
        let layer = scratch.ingest(&tar.end()).unwrap();
        scratch.store.layer_dir(&layer.diff_id)
    };
    let lowers: Vec<PathBuf> = lowers.into_iter().map(place).collect();
    let upper = place(upper);
    let ignore: Vec<String> = ignore.iter().map(|path| (*path).to_owned()).collect();
    shown(&changes(&upper, &lowers, &ignore).unwrap())
}

fn shown(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let kind = match change.kind {
                ChangeKind::Modified => "C",
                ChangeKind::Added => "A",
                ChangeKind::Deleted => "D",
            };
            format!("{kind} {}", change.path)
        })
        .collect()
}

fn base() -> Tar {
    Tar::default()
        .dir("etc")
        .file("etc/passwd", "p")
        .file("etc/group", "g")
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/a", "a")
        .file("usr/lib/b", "b")
        .symlink("bin", "usr/bin")
}

#[test]
fn added_changed_deleted() {
    if became_root() {
        return;
    }
    let upper = Tar::default()
        .dir("etc")
        .file("etc/passwd", "changed")
        .file("etc/.wh.group", "")
        .file("etc/.wh.never", "")
        .dir("usr")
        .dir("usr/lib")
        .dir("usr/lib/new")
        .file("usr/lib/new/deep", "")
        .file("bin", "now a file")
        .file("top", "");
    assert_eq!(
        diff(upper, vec![base()], &[]),
        [
            "C /bin",
            "C /etc",
            "D /etc/group",
            "C /etc/passwd",
            "A /top",
            "C /usr",
            "C /usr/lib",
            "A /usr/lib/new",
            "A /usr/lib/new/deep",
        ]
    );
    assert_eq!(diff(Tar::default(), vec![base()], &[]), [""; 0]);
    // Copied up and otherwise the same, with nothing in it.
    assert_eq!(diff(Tar::default().dir("etc"), vec![base()], &[]), [""; 0]);
}

#[test]
fn a_directory_made_anew() {
    if became_root() {
        return;
    }
    let upper = Tar::default()
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/.wh..wh..opq", "")
        .file("usr/lib/b", "new")
        .file("usr/lib/c", "new");
    assert_eq!(
        diff(upper, vec![base()], &[]),
        [
            "C /usr",
            "C /usr/lib",
            "D /usr/lib/a",
            "C /usr/lib/b",
            "A /usr/lib/c"
        ]
    );
}

#[test]
fn lower_layers_count_as_overlay_merges_them() {
    if became_root() {
        return;
    }
    let middle = Tar::default()
        .dir("etc")
        .file("etc/.wh.passwd", "")
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/.wh..wh..opq", "")
        .file("usr/lib/m", "m");
    let upper = Tar::default()
        .dir("etc")
        .file("etc/passwd", "back")
        .file("etc/.wh.group", "")
        .dir("usr")
        .dir("usr/lib")
        .file("usr/lib/a", "hidden below, so new")
        .file("usr/lib/.wh.b", "")
        .file("usr/lib/.wh.m", "");
    assert_eq!(
        diff(upper, vec![middle, base()], &[]),
        [
            "C /etc",
            "D /etc/group",
            "A /etc/passwd",
            "C /usr",
            "C /usr/lib",
            "A /usr/lib/a",
            "D /usr/lib/m",
        ]
    );
    // A file in a middle layer hides the directory below it.
    let middle = Tar::default().file("usr", "a file");
    let upper = Tar::default().dir("usr").file("usr/lib", "");
    assert_eq!(
        diff(upper, vec![middle, base()], &[]),
        ["C /usr", "A /usr/lib"]
    );
}

#[test]
fn our_own_mount_points_are_not_mentioned() {
    if became_root() {
        return;
    }
    let upper = || {
        Tar::default()
            .dir("etc")
            .file("etc/hosts", "")
            .file("etc/resolv.conf", "")
            .dir("proc")
            .dir("mnt")
            .dir("mnt/volume")
    };
    let ignore = ["/etc/hosts", "/etc/resolv.conf", "/proc", "/mnt/volume/"];
    assert_eq!(diff(upper(), vec![base()], &ignore), [""; 0]);
    assert_eq!(
        diff(upper(), vec![], &ignore),
        [""; 0],
        "nor what exists for them only"
    );
    assert_eq!(
        diff(
            upper().file("etc/new", "").file("mnt/other", ""),
            vec![base()],
            &ignore
        ),
        ["C /etc", "A /etc/new", "A /mnt", "A /mnt/other"]
    );
}

#[test]
fn hostile_upperdirs() {
    if became_root() {
        return;
    }
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::create_dir(outside.path().join("secret")).unwrap();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let (upper, lower) = (dir.path().join("upper"), dir.path().join("lower"));
    fs::create_dir_all(lower.join("d")).unwrap();
    fs::create_dir(&upper).unwrap();
    std::os::unix::fs::symlink(outside.path(), upper.join("d")).unwrap();
    std::os::unix::fs::symlink("/", upper.join("root")).unwrap();
    let mut fd = path::open_dir(&upper).unwrap();
    for _ in 0..3000 {
        path::mkdir_at(&fd, "n", 0o700).unwrap();
        fd = path::open_dir_at(&fd, "n").unwrap();
    }
    let found = shown(&changes(&upper, &[lower], &[]).unwrap());
    // A directory is mentioned as long as its parent can be named: 2,048 pairs of a slash and an `n`, and one more.
    assert_eq!(
        found.iter().filter(|line| line.starts_with("A /n")).count(),
        2049
    );
    assert!(found.contains(&"C /d".to_owned()) && found.contains(&"A /root".to_owned()));
    assert!(!found.iter().any(|line| line.contains("secret")));
}
