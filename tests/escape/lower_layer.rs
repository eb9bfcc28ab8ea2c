//! Layers are shared: whatever one sandbox does to a file of its image, the store and the next sandbox keep theirs.

use std::process::Command;

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, Home, Lane};

/// A file of the image, alone in its directory.
const FILE: &str = "/usr/share/base-files/info.dir";

/// Everything that a write would change of the layers in `names`: kind, mode, owner, size, links, mtime, ctime, inode.
fn fingerprint(home: &Home, names: &[String]) -> String {
    let mut command = match Lane::current() {
        Lane::Root => Command::new("env"),
        Lane::Single => {
            let mut command = Command::new("unshare");
            command.arg("--map-root-user");
            command
        }
        Lane::Subids => {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--map-auto"]);
            command
        }
    };
    let output = command
        .arg("find")
        .args(names)
        .args(["-printf", "%p %y %m %U %G %s %n %T@ %C@ %i\\n"])
        .current_dir(home.root().join("store/layers"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn nothing_is_written_through_to_a_layer() {
    require!(userns, image "debian");
    let (mut one, mut two) = (Case::image("debian"), Case::image("debian"));
    one.start();
    two.start();
    let layers: Vec<String> = std::fs::read_dir(one.get_home().root().join("store/layers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let before = fingerprint(one.get_home(), &layers);
    assert!(
        before.contains(FILE),
        "{FILE} is not in the layers {layers:?}"
    );
    let (two, content) = two
        .sh(&format!(
            "sha256sum {FILE}; stat -c '%a %u %s %Y %h' {FILE}"
        ))
        .output();
    assert!(content.status.success());

    let attack = Attack::new(include_str!("lower_layer.py"))
        .with(FILE)
        .with("/var/tmp");
    let (one, seen) = attack.inside(one);
    // What refuses: the descriptors of a lower file. What is done: the same by name, on a copy.
    for (what, outcome) in [
        ("mmap of the lower file", "EACCES"),
        ("write to a read-only descriptor", "EBADF"),
        ("truncate a read-only descriptor", "EINVAL"),
        ("fallocate", "EBADF"),
        ("copy_file_range into it", "EBADF"),
        ("splice into it", "EBADF"),
        ("immutable flag", "EPERM"),
        ("temporary file, linked over", "EXDEV"),
        ("hard link, then write", "4"),
        ("reopened through /proc", "one file"),
        ("by the O_PATH descriptor", "4"),
        ("truncate", "done"),
        ("chmod, chown, times", "done"),
        ("rename the directory", "EXDEV"),
        ("trusted marks", "EPERM"),
    ] {
        assert_eq!(seen.outcome(what), outcome, "{what}");
    }

    assert!(
        fingerprint(one.get_home(), &layers) == before,
        "a layer has changed"
    );
    let (two, after) = two
        .sh(&format!(
            "sha256sum {FILE}; stat -c '%a %u %s %Y %h' {FILE}"
        ))
        .output();
    assert_eq!(content.stdout, after.stdout);
    let (_two, fresh) = two
        .reset()
        .sh(&format!(
            "sha256sum {FILE}; stat -c '%a %u %s %Y %h' {FILE}"
        ))
        .output();
    assert_eq!(content.stdout, fresh.stdout);
    let (_one, fresh) = one
        .reset()
        .sh(&format!(
            "sha256sum {FILE}; stat -c '%a %u %s %Y %h' {FILE}"
        ))
        .output();
    assert_eq!(content.stdout, fresh.stdout);
}
