//! /etc/passwd and its kin belong to the image: a FIFO, a giant, a link or a directory there must not hold us up or fill
//! our memory.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::require;
use crate::rootfs::Rootfs;
use crate::support::{Case, Home, patience};

const QUICK: Duration = Duration::from_secs(5);

/// Puts something that is no file of accounts at a path.
type Trap = fn(&std::path::Path);

fn fifo(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn traps_in_the_image_hold_nobody_up() {
    require!(userns);
    let traps: [(&str, Trap); 7] = [
        ("fifo", fifo),
        ("giant", |path| {
            std::fs::File::create(path)
                .unwrap()
                .set_len(1 << 42)
                .unwrap();
        }),
        ("directory", |path| std::fs::create_dir(path).unwrap()),
        ("link to a fifo", |path| {
            fifo(&path.with_extension("fifo"));
            symlink(path.with_extension("fifo").file_name().unwrap(), path).unwrap();
        }),
        ("link to the host's", |path| {
            symlink("../../../../../../etc/passwd", path).unwrap();
        }),
        ("endless device", |path| symlink("/dev/zero", path).unwrap()),
        ("loop", |path| symlink("passwd", path).unwrap()),
    ];
    let home = Home::new();
    for (what, trap) in traps {
        let rootfs = Rootfs::new();
        for name in ["passwd", "group"] {
            trap(&rootfs.path().join("etc").join(name));
        }
        let began = Instant::now();
        for user in ["0:0", "root-of-the-host"] {
            let output = home
                .shedbox([
                    "run",
                    "--rm",
                    "--user",
                    user,
                    "--rootfs",
                    rootfs.text(),
                    "echo",
                    "runs",
                ])
                .output()
                .unwrap();
            // Numbers need no file; whatever cannot be read as one is refused with words, not waited for.
            match output.status.code() {
                Some(0) => assert_eq!((user, &*output.stdout), ("0:0", &b"runs\n"[..]), "{what}"),
                Some(126) => assert!(!output.stderr.is_empty(), "{what}: {output:?}"),
                _ => panic!("{what}: {output:?}"),
            }
        }
        assert!(began.elapsed() < QUICK, "{what}: {:?}", began.elapsed());
    }
}

#[test]
fn traps_that_are_set_later_hold_nobody_up() {
    require!(userns, image "debian");
    let began = Instant::now();
    let mut case = Case::image("debian")
        .with("--user=root")
        .exec(["id", "-u"])
        .stdout("0");
    for trap in [
        "rm /etc/passwd; mkfifo /etc/passwd",
        "rm /etc/passwd; ln -s /dev/zero /etc/passwd",
        "rm /etc/passwd; truncate -s 4T /etc/passwd",
        "rm /etc/passwd; mkdir /etc/passwd",
        "rmdir /etc/passwd; ln -s /proc/kmsg /etc/passwd",
        "rm /etc/passwd; printf 'root:x:0:0:%s\\n' $(head -c 3000000 /dev/zero | tr '\\0' a) >/etc/passwd",
    ] {
        case = case.with("--user=0:0").sh(trap).output().0;
        let (next, output) = case.with("--user=root").exec(["id", "-u"]).output();
        assert!(
            matches!(output.status.code(), Some(0 | 126)),
            "{trap}: {output:?}"
        );
        case = next.reset();
    }
    assert!(
        began.elapsed() < patience(6 * QUICK),
        "{:?}",
        began.elapsed()
    );
    case.with("--user=root").exec(["id", "-u"]).stdout("0");
}
