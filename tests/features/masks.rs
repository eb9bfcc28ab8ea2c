//! `--mask`: what was hidden stays hidden from a root who does everything to the paths around it.

use crate::require;
use crate::support::{Case, scratch};

/// A tree with a secret file and a secret directory, and links that lead to them.
fn tree() -> tempfile::TempDir {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    for name in ["bin", "repo/.git/objects", "repo/tests/hidden", "repo/src"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    for (name, content) in [
        ("repo/.git/HEAD", "ref: secret\n"),
        ("repo/.git/objects/pack", "SECRET"),
        ("repo/tests/hidden/test_answers.py", "SECRET"),
        ("repo/tests/visible.py", "seen"),
        ("repo/answers", "SECRET"),
        ("repo/src/main.py", "code"),
    ] {
        std::fs::write(at(name), content).unwrap();
    }
    std::os::unix::fs::symlink("/repo/answers", at("link")).unwrap();
    // All programs are one.
    for name in [
        "sh", "cat", "ls", "mv", "rm", "rmdir", "cp", "ln", "mkdir", "find", "grep", "test",
        "sleep", "tar", "true", "touch", "umount", "wc", "chmod",
    ] {
        std::os::unix::fs::symlink("/bin/busybox", at("bin").join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", at("bin/busybox")).expect("the static busybox of scripts/setup");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn masked(dir: &tempfile::TempDir) -> Case {
    Case::rootfs(dir.path().to_str().expect("UTF-8"))
        .option("--mask=/repo/.git")
        .option("--mask=/repo/tests/hidden")
        // A link: what it leads to is hidden.
        .option("--mask=/link")
}

const LOOK: &str = "ls -A /repo/.git /repo/tests/hidden; cat /repo/answers /link; grep -r SECRET /repo /link; \
                    find / -xdev -type f 2>/dev/null | grep -v -e ^/proc -e ^/sys | while read f; do grep -l SECRET $f 2>/dev/null; done; true";
const NOTHING: &str = "/repo/.git:\n\n/repo/tests/hidden:";

#[test]
fn files_and_directories_are_empty() {
    require!(userns, program "busybox");
    let dir = tree();
    let case = masked(&dir)
        .sh(LOOK)
        .stdout(NOTHING)
        .sh("cat /repo/src/main.py /repo/tests/visible.py")
        .stdout("codeseen");
    case.reset().sh(LOOK).stdout(NOTHING);
}

#[test]
fn they_cannot_be_written_moved_or_removed() {
    require!(userns, program "busybox");
    let dir = tree();
    masked(&dir)
        .sh("for act in 'touch /repo/.git/x' 'mkdir /repo/.git/x' 'chmod 777 /repo/answers' 'rm /repo/answers' 'rm -r /repo/.git' \
             'rmdir /repo/tests/hidden' 'mv /repo/.git /g' 'mv /repo/answers /a' 'mv /bin/true /repo/answers' 'ln /repo/answers /a' \
             'umount /repo/.git' 'umount -l /repo/answers'; do $act 2>/dev/null && echo $act worked; done; echo x 2>/dev/null >/repo/answers && echo written; true")
        .stdout("")
        .sh(LOOK)
        .stdout(NOTHING);
}

#[test]
fn moving_and_removing_what_is_around_them_shows_nothing() {
    require!(userns, program "busybox");
    let dir = tree();
    // A directory of a layer cannot be renamed (overlay: EXDEV), so mv copies, and copies what shows.
    masked(&dir)
        .sh("mv /repo /moved 2>/dev/null; mv /repo/tests /t 2>/dev/null; cp -a /repo /copy 2>/dev/null; rm -rf /repo 2>/dev/null; \
             mkdir -p /repo/tests; mv /moved/tests /repo/tests2 2>/dev/null; grep -rl SECRET /repo /moved /copy /t 2>/dev/null; true")
        .stdout("")
        .sh("find / -xdev -name 'test_answers*'; grep -rl SECRET /repo /link 2>/dev/null; true")
        .stdout("")
        .reset()
        .sh(LOOK)
        .stdout(NOTHING);
}

#[test]
fn a_directory_made_by_the_sandbox_takes_its_mask_along() {
    require!(userns, program "busybox");
    let dir = tree();
    // The parent is the upper layer's own after this, so it can be renamed; the mount goes with it.
    masked(&dir)
        .sh("touch /repo/new; chmod 700 /repo /repo/tests; mv /repo/tests /repo/moved 2>/dev/null; \
             ls -A /repo/tests/hidden /repo/moved/hidden 2>/dev/null | grep -v ':$'; grep -rl SECRET /repo; true")
        .stdout("");
}

#[test]
fn copies_and_differences_do_not_show_them() {
    require!(userns, program "busybox", program "tar");
    let dir = tree();
    let case = masked(&dir).sh("true").ok();
    let out = scratch();
    let target = out.path().join("repo");
    let source = format!("{}:/repo", case.name());
    case.get_home()
        .run(["cp", &source, target.to_str().expect("UTF-8")]);
    assert_eq!(
        std::fs::read_to_string(target.join("src/main.py")).unwrap(),
        "code"
    );
    assert_eq!(std::fs::read_to_string(target.join("answers")).unwrap(), "");
    assert_eq!(std::fs::read_dir(target.join(".git")).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_dir(target.join("tests/hidden"))
            .unwrap()
            .count(),
        0
    );
    case.command(["diff"]).stdout("");
}

#[test]
fn what_is_not_there_is_a_warning_and_what_makes_no_sense_an_error() {
    require!(userns);
    let (case, output) = Case::host()
        .option("--mask=/nowhere/at/all")
        .command(["inspect"])
        .output();
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.contains("nothing to hide at /nowhere/at/all: it is not there"),
        "{text}"
    );
    for (path, complaint) in [
        ("relative", "absolute"),
        ("", "absolute"),
        ("/", "all of the sandbox"),
        ("/..", "all of the sandbox"),
    ] {
        case.get_home().refused(
            ["run", "--rm", &format!("--mask={path}"), "host", "true"],
            125,
            complaint,
        );
    }
}
