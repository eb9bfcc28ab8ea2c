use std::os::unix::fs::MetadataExt;

use super::*;
use crate::meta::{self, FileKind};

fn scratch() -> (tempfile::TempDir, OwnedFd) {
    let dir = tempfile::tempdir().unwrap();
    let fd = open_dir(dir.path()).unwrap();
    (dir, fd)
}

#[test]
fn beneath_refuses_every_way_out() {
    let (dir, fd) = scratch();
    mkdir_at(&fd, "a", 0o700).unwrap();
    mkdir_at(&fd, "a/b", 0o700).unwrap();
    symlink_at("a", &fd, "inside").unwrap();
    symlink_at("/", &fd, "outside").unwrap();
    open_dir_beneath(&fd, "a/b").unwrap();
    open_dir_beneath(&fd, "a/../a/b").unwrap();
    for (path, errno) in [
        ("inside/b", Errno::ELOOP),
        ("outside", Errno::ELOOP),
        ("..", Errno::EXDEV),
        ("a/../..", Errno::EXDEV),
        ("/", Errno::EXDEV),
        ("none", Errno::ENOENT),
    ] {
        let error = open_dir_beneath(&fd, path).unwrap_err();
        assert_eq!(error.errno, errno, "{path}");
    }
    drop(dir);
}

#[test]
fn in_root_resolves_links_inside() {
    let (dir, fd) = scratch();
    mkdir_at(&fd, "etc", 0o700).unwrap();
    symlink_at("/etc", &fd, "absolute").unwrap();
    symlink_at("../../../../etc", &fd, "dots").unwrap();
    symlink_at("/proc/self/root", &fd, "magic").unwrap();
    let inside = dir.path().join("etc").metadata().unwrap().ino();
    for path in ["absolute", "dots", "../../etc", "/etc"] {
        let opened = open_dir_in_root(&fd, path).unwrap();
        assert_eq!(meta::stat(&opened).unwrap().ino, inside, "{path}");
    }
    let error = open_dir_in_root(&fd, "magic").unwrap_err();
    assert_eq!(error.errno, Errno::ENOENT);
}

#[test]
fn names_are_not_followed() {
    let (dir, fd) = scratch();
    symlink_at("/etc", &fd, "l").unwrap();
    symlink_at("/etc/hostname", &fd, "f").unwrap();
    assert_eq!(open_dir_at(&fd, "l").unwrap_err().errno, Errno::ENOTDIR);
    assert_eq!(open_file_at(&fd, "f").unwrap_err().errno, Errno::ELOOP);
    assert_eq!(create_at(&fd, "f", 0o600).unwrap_err().errno, Errno::EEXIST);
    assert_eq!(read_link_at(&fd, "l").unwrap(), "/etc");
    let handle = open_handle_at(&fd, "l").unwrap();
    assert_eq!(meta::stat(&handle).unwrap().kind, FileKind::Symlink);
    drop(dir);
}

#[test]
fn renames() {
    let (dir, fd) = scratch();
    std::fs::write(dir.path().join("a"), "a").unwrap();
    std::fs::write(dir.path().join("b"), "b").unwrap();
    let error = rename_at(&fd, "a", &fd, "b", Rename::NoReplace).unwrap_err();
    assert_eq!(error.errno, Errno::EEXIST);
    rename_at(&fd, "a", &fd, "b", Rename::Exchange).unwrap();
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"b");
    rename_at(&fd, "a", &fd, "b", Rename::Replace).unwrap();
    assert_eq!(std::fs::read(dir.path().join("b")).unwrap(), b"b");
    assert!(!dir.path().join("a").exists());
}

#[test]
fn nodes() {
    let (_dir, fd) = scratch();
    mkfifo_at(&fd, "fifo", 0o600).unwrap();
    assert_eq!(meta::stat_at(&fd, "fifo").unwrap().kind, FileKind::Fifo);
    whiteout_at(&fd, "gone").unwrap();
    assert!(meta::stat_at(&fd, "gone").unwrap().is_whiteout());
    unlink_at(&fd, "gone").unwrap();
    mkdir_at(&fd, "d", 0o700).unwrap();
    rmdir_at(&fd, "d").unwrap();
    link_at(&fd, "fifo", &fd, "second").unwrap();
    assert_eq!(meta::stat_at(&fd, "fifo").unwrap().links, 2);
}

#[test]
fn the_umask_of_one_thread_is_its_own() {
    let (dir, fd) = scratch();
    std::thread::spawn(move || {
        private_zero_umask().unwrap();
        create_at(&fd, "f", 0o666).unwrap();
    })
    .join()
    .unwrap();
    std::fs::write(dir.path().join("g"), "").unwrap();
    let mode = |name| dir.path().join(name).metadata().unwrap().mode() & 0o777;
    assert_eq!(mode("f"), 0o666);
    assert_ne!(mode("g"), 0o666, "this test assumes a umask other than 0");
}

#[test]
fn long_names_are_shortened_in_errors() {
    let (_dir, fd) = scratch();
    let name = "ä".repeat(3000);
    let error = open_dir_at(&fd, &name).unwrap_err();
    assert_eq!(error.errno, Errno::ENAMETOOLONG);
    assert!(error.detail.len() < 500, "{}", error.detail.len());
}
