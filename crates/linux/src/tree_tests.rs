use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use super::*;

static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

fn run(top: &Path, name: &str) -> Result<Removal> {
    let fd = path::open_dir(top).unwrap();
    remove(
        fd.as_fd(),
        OsStr::new(name),
        &mut || {
            let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            format!("deep-{number}").into()
        },
        &mut || ControlFlow::Continue(()),
    )
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = Entries::new(path::open_dir(dir).unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().name.into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn links_are_removed_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "x").unwrap();
    let tree = dir.path().join("tree/a/b");
    fs::create_dir_all(&tree).unwrap();
    std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
    std::os::unix::fs::symlink(&outside, dir.path().join("tree/link")).unwrap();
    fs::write(tree.join("file"), "y").unwrap();
    assert_eq!(run(dir.path(), "tree"), Ok(Removal::Done));
    assert_eq!(names(dir.path()), ["outside"]);
    assert!(outside.join("precious").exists());
}

#[test]
fn a_link_or_file_at_the_top_is_removed_itself() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("l")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    assert_eq!(run(dir.path(), "l"), Ok(Removal::Done));
    assert_eq!(run(dir.path(), "f"), Ok(Removal::Done));
    assert_eq!(run(dir.path(), "none"), Ok(Removal::Done));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn ten_thousand_levels() {
    let dir = tempfile::tempdir().unwrap();
    // Built from the inside out: making a directory costs time in proportion to its depth.
    let top = path::open_dir(dir.path()).unwrap();
    path::mkdir_at(&top, "inner", 0o700).unwrap();
    for _ in 0..100 {
        path::mkdir_at(&top, "outer", 0o700).unwrap();
        let mut fd = path::open_dir_at(&top, "outer").unwrap();
        for _ in 0..100 {
            path::mkdir_at(&fd, "d", 0o700).unwrap();
            path::create_at(&fd, "f", 0o600).unwrap();
            fd = path::open_dir_at(&fd, "d").unwrap();
        }
        path::rename_at(&top, "inner", &fd, "d", path::Rename::NoReplace).unwrap();
        path::rename_at(&top, "outer", &top, "inner", path::Rename::NoReplace).unwrap();
    }
    let mut rounds = 0;
    loop {
        let left = names(dir.path());
        if left.is_empty() {
            break;
        }
        for name in left {
            assert_eq!(run(dir.path(), &name), Ok(Removal::Done));
        }
        rounds += 1;
        assert!(rounds < 1000, "no progress");
    }
}

#[test]
fn stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..10 {
        let sub = dir.path().join(format!("t/{index}"));
        fs::create_dir_all(sub).unwrap();
    }
    let fd = path::open_dir(dir.path()).unwrap();
    let mut left = 3;
    let end = remove(
        fd.as_fd(),
        OsStr::new("t"),
        &mut || "unused".into(),
        &mut || {
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert_eq!(end, Ok(Removal::Stopped));
    assert!(dir.path().join("t").exists());
}

/// Modes stop only those without CAP_DAC_OVERRIDE, so this one runs itself again as an ordinary user when it is root.
#[test]
fn directories_without_any_permission() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = dir.path().join("t/work/work");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/f"), "").unwrap();
    for path in [tree.join("sub"), tree.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
    }
    fs::set_permissions(dir.path().join("t"), fs::Permissions::from_mode(0o500)).unwrap();
    if rustix::process::geteuid().is_root() {
        // Without the capabilities that make modes meaningless: same uid, so still the owner.
        let path = dir.path().to_owned();
        std::thread::spawn(move || {
            caps::clear(None, caps::CapSet::Effective).unwrap();
            assert!(fs::read_dir(path.join("t/work/work")).is_err());
            assert_eq!(run(&path, "t"), Ok(Removal::Done));
        })
        .join()
        .unwrap();
    } else {
        assert_eq!(run(dir.path(), "t"), Ok(Removal::Done));
    }
    assert_eq!(names(dir.path()), [""; 0]);
}
