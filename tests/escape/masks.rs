//! CVE-2025-31133, 52565, 52881, CVE-2026-41579, 47766, CVE-2019-19921, CVE-2023-27561: an image that is not what the
//! runtime thinks when it mounts over /proc, /dev and the console, or writes there.

use std::os::unix::fs::symlink;

use crate::require;
use crate::rootfs::Rootfs;
use crate::support::{Case, Home, scratch};

/// What /dev, /proc and /sys are in a sandbox that was not attacked.
const SOUND: &str = "stat -f -c %T /proc /sys /dev/pts; stat -c '%F %t:%T' /dev/null /dev/zero; \
     [ -s /proc/keys ] && echo keys; cat /proc/sys/kernel/core_pattern >/dev/null && echo read; \
     echo x 2>/dev/null >/proc/sys/kernel/core_pattern || echo refused";
const AS_IT_IS: &str =
    "proc\ntmpfs\ndevpts\ncharacter special file 1:3\ncharacter special file 1:5\nread\nrefused";

#[test]
fn devices_of_the_image_are_not_used() {
    require!(userns);
    // The null device that masks are made of, and the terminals, are links to what the attacker wants written.
    let rootfs = Rootfs::new();
    for (name, target) in [
        ("null", "/proc/sys/kernel/core_pattern"),
        ("zero", "../../../../../../etc/passwd"),
        ("pts", "/proc"),
        ("console", "/proc/sysrq-trigger"),
        ("ptmx", "/etc/passwd"),
        ("shm", "/proc/sys"),
        ("tty", "/proc/self/fd/7"),
        (".shedbox", "/etc"),
    ] {
        symlink(target, rootfs.path().join("dev").join(name)).unwrap();
    }
    symlink("/bin/busybox", rootfs.path().join("bin/sed")).unwrap();
    let case = Case::rootfs(rootfs.text()).sh(SOUND).stdout(AS_IT_IS);
    let case = case
        .with("--tty")
        .sh("readlink /proc/self/fd/0; test -c /dev/pts/0 && echo terminal")
        .stdout("/dev/pts/0\r\nterminal\r");
    case.reset().sh(SOUND).stdout(AS_IT_IS);
    // The directory is as it was: nothing was made through the links.
    assert_eq!(
        std::fs::read_dir(rootfs.path().join("etc"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn terminals_are_not_links_that_were_planted() {
    require!(userns);
    // CVE-2025-52565: /dev/pts/0 or /dev/console is replaced before the terminal is bound there.
    Case::host()
        .sh("ln -sf /proc/sysrq-trigger /dev/console 2>/dev/null; ln -s /etc/passwd /dev/pts/0; rm -rf /dev/pts; mv /dev/ptmx /dev/p; ln -s /etc/passwd /dev/ptmx; true")
        .ok()
        .with("--tty")
        .sh("tty; stat -f -c %T /dev/pts")
        .stdout("/dev/pts/0\r\ndevpts\r");
}

/// A volume whose place is, through a link of the image, one that shedbox itself mounts or writes to.
#[test]
fn a_volume_does_not_take_the_place_of_proc_dev_or_sys() {
    require!(userns);
    let content = scratch();
    for (name, target) in [
        ("keys", "/etc/passwd"),
        ("null", "/etc/passwd"),
        ("sysrq-trigger", "/etc/passwd"),
    ] {
        symlink(target, content.path().join(name)).unwrap();
    }
    std::fs::create_dir_all(content.path().join("sys/net/ipv4")).unwrap();
    std::fs::write(
        content
            .path()
            .join("sys/net/ipv4/ip_unprivileged_port_start"),
        "mine",
    )
    .unwrap();
    let home = Home::new();
    let volume = |target: &str| format!("--volume={}:{target}", content.path().display());
    for target in ["/proc", "/dev", "/proc/sys", "/proc/self/../sys", "/"] {
        home.refused(
            ["run", "--rm", &volume(target), "host", "true"],
            125,
            "mount path",
        );
    }
    let rootfs = Rootfs::new()
        .link("p", "/proc".as_ref())
        .link("s", "../../sys".as_ref())
        .link("d", "/dev".as_ref())
        .link("n", "/dev/null".as_ref())
        .link("k", "/proc/sys".as_ref());
    for target in [
        "/p",
        "/s",
        "/d",
        "/n",
        "/k",
        "/p/sys",
        "/d/pts",
        "/p/self/fd",
        "/p/1",
    ] {
        let output = home
            .shedbox([
                "run",
                "--rm",
                &volume(target),
                "--rootfs",
                rootfs.text(),
                "sh",
                "-c",
                SOUND,
            ])
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.code() == Some(125) || stdout.trim_end() == AS_IT_IS,
            "{target}: {output:?}"
        );
    }
    // Nothing was written where a setting of the kernel was thought to be.
    assert_eq!(
        std::fs::read_to_string(
            content
                .path()
                .join("sys/net/ipv4/ip_unprivileged_port_start")
        )
        .unwrap(),
        "mine"
    );
}
