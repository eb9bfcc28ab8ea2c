use std::fs;

use super::*;

fn open(dir: &Path) -> Arc<Trash> {
    Trash::open(&dir.join("trash")).unwrap()
}

#[test]
fn discarded_things_vanish() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    let tree = dir.path().join("a/b/c");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("f"), "x").unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let new = trash.discard(&dir.path().join("a")).unwrap();
    assert!(new.starts_with(dir.path().join("trash")));
    assert!(!dir.path().join("a").exists());
    trash.discard(&dir.path().join("file")).unwrap();
    trash.empty();
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
    let stats = trash.stats();
    assert_eq!((stats.waiting, stats.failed), (0, 0));
    assert_eq!(stats.deleted, 5);
}

#[test]
fn a_crowd_gets_a_helper_and_both_get_it_done() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    let discard = |number: u64| {
        let tree = dir.path().join(format!("tree{number}"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        trash.discard(&tree).unwrap();
    };
    discard(0);
    trash.empty();
    assert!(lock(&trash.helper).is_none());
    trash.shared.progress().waiting = CROWDED;
    (1..=300).for_each(discard);
    let helper = lock(&trash.helper).take().expect("a helper");
    helper.join().unwrap();
    trash.empty();
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
    let stats = trash.stats();
    assert_eq!((stats.waiting, stats.failed, stats.deleted), (0, 0, 903));
    // The next crowd gets another one.
    trash.shared.progress().waiting = CROWDED;
    discard(301);
    assert!(lock(&trash.helper).is_some());
    trash.empty();
}

#[test]
fn what_an_earlier_daemon_left_goes() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("trash/old/x")).unwrap();
    let trash = open(dir.path());
    trash.empty();
    assert!(!dir.path().join("trash/old").exists());
}

#[test]
fn very_deep_directories_go() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    // Built from the inside out: making a directory costs time in proportion to its depth.
    let base = path::open_dir(dir.path()).unwrap();
    path::mkdir_at(&base, "top", 0o700).unwrap();
    for _ in 0..101 {
        path::mkdir_at(&base, "outer", 0o700).unwrap();
        let mut fd = path::open_dir_at(&base, "outer").unwrap();
        for _ in 0..100 {
            path::mkdir_at(&fd, "d", 0o700).unwrap();
            fd = path::open_dir_at(&fd, "d").unwrap();
        }
        path::rename_at(&base, "top", &fd, "d", Rename::NoReplace).unwrap();
        path::rename_at(&base, "outer", &base, "top", Rename::NoReplace).unwrap();
    }
    trash.discard(&dir.path().join("top")).unwrap();
    trash.empty();
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
    assert_eq!(trash.stats().waiting, 0);
}

#[test]
fn discarding_what_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    let error = trash.discard(&dir.path().join("none")).unwrap_err();
    assert!(error.to_spec().message.contains("none"), "{error}");
}

#[test]
fn what_is_deleted_is_gone_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    for index in 0..50 {
        let path = dir.path().join(format!("d{index}"));
        fs::create_dir_all(path.join("x/y")).unwrap();
        fs::write(path.join("x/file"), "content").unwrap();
        trash.delete(&path).unwrap();
        assert!(!path.exists());
    }
    trash.empty();
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
    assert!(trash.delete(&dir.path().join("none")).is_err());
}

#[test]
fn many_threads_discard_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (trash, dir) = (&trash, dir.path());
            scope.spawn(move || {
                for index in 0..50 {
                    let path = dir.join(format!("t{thread}-{index}"));
                    fs::create_dir_all(path.join("x/y")).unwrap();
                    trash.discard(&path).unwrap();
                }
            });
        }
    });
    trash.empty();
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
}

#[test]
fn dropping_does_not_wait_for_the_backlog() {
    let dir = tempfile::tempdir().unwrap();
    let trash = open(dir.path());
    for index in 0..3000 {
        fs::write(dir.path().join(format!("f{index}")), "").unwrap();
        trash
            .discard(&dir.path().join(format!("f{index}")))
            .unwrap();
    }
    drop(trash);
    let trash = open(dir.path());
    trash.empty();
    assert_eq!(fs::read_dir(dir.path().join("trash")).unwrap().count(), 0);
}
