//! CVE-2021-30465, CVE-2021-25741, CVE-2024-1753: a directory that two sandboxes share is a place where one of them
//! decides what the other's mounts lead to, unless they are resolved where it cannot.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, scratch};

/// The source of a volume lies in another volume of the same sandbox, which replaces it by a link to the host's files.
#[test]
fn a_source_that_was_replaced_by_a_link_is_refused() {
    require!(userns);
    let host = scratch();
    std::fs::create_dir(host.path().join("private")).unwrap();
    std::fs::write(host.path().join("private/secret"), "the host's").unwrap();
    let private = host.path().join("private").display().to_string();
    for access in ["rw", "ro", "cow"] {
        let shared = host.path().join(format!("shared.{access}"));
        std::fs::create_dir_all(shared.join("a/sub")).unwrap();
        std::fs::write(shared.join("a/sub/file"), "its own").unwrap();
        for (part, link) in [
            ("a/sub", private.clone()),
            ("a", private.replace("/private", "")),
        ] {
            let case = Case::host()
                .option(format!("--volume={}:/shared", shared.display()))
                .option(format!(
                    "--volume={}:/sub:{access}",
                    shared.join("a/sub").display()
                ))
                .sh("cat /sub/file")
                .stdout("its own");
            let case = case
                .sh(&format!("mv /shared/{part} /shared/was; ln -s {link} /shared/{part}; mkdir -p /shared/was/sub; ln -sf {private} {}/x 2>/dev/null; ls -d /shared/{part}", "/shared/was"))
                .stdout(&format!("/shared/{part}"));
            // The spare of the first reset may have been built before; that of the second was not.
            for _ in 0..3 {
                let output = case
                    .get_home()
                    .shedbox(["reset", case.name()])
                    .output()
                    .unwrap();
                let (said, ()) = (String::from_utf8_lossy(&output.stderr), ());
                if !output.status.success() {
                    assert!(
                        said.contains("volume") || said.contains("symbolic"),
                        "{said}"
                    );
                }
                let output = case
                    .get_home()
                    .shedbox(["exec", case.name(), "cat", "/sub/secret"])
                    .output()
                    .unwrap();
                assert!(!output.status.success(), "{access} {part}: {output:?}");
            }
            drop(case);
            std::fs::remove_file(shared.join(part)).unwrap();
            std::fs::rename(shared.join("was"), shared.join(part)).unwrap();
        }
    }
}

/// A target lies in a volume that another sandbox has, too, and swaps for a link all the time.
#[test]
fn a_target_that_is_swapped_all_the_time() {
    require!(userns);
    let (host, data, shared) = (scratch(), scratch(), scratch());
    std::fs::write(data.path().join("file"), "data").unwrap();
    std::fs::create_dir(shared.path().join("target")).unwrap();
    std::os::unix::fs::symlink(host.path(), shared.path().join("link")).unwrap();
    let volume = format!("--volume={}:/shared", shared.path().display());
    let attacker = Attack::new(include_str!("swap.py"))
        .with("/shared/target")
        .with("/shared/link")
        .left_in(Case::host().option(&volume));
    for _ in 0..25 {
        let output = attacker
            .get_home()
            .shedbox([
                "run",
                "--rm",
                &volume,
                &format!("--volume={}:/shared/target/deep", data.path().display()),
                "host",
                "true",
            ])
            .output()
            .unwrap();
        assert!(matches!(output.status.code(), Some(0 | 125)), "{output:?}");
        assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 0);
    }
    let swaps = attacker.sh("cat /tmp/swaps").output();
    let count: u64 = String::from_utf8_lossy(&swaps.1.stdout)
        .trim()
        .parse()
        .unwrap();
    assert!(count > 1000, "{count} swaps");
}
