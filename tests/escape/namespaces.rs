//! New namespaces by every call and every ABI, and the kernel interfaces behind most local exploits: nested user
//! namespaces (Dirty Frag, Fragnesia), AF_ALG (Copy Fail), io_uring, bpf, userfaultfd, keyrings, mounts.

use crate::attack::Attack;
use crate::require;
use crate::support::Case;

#[test]
fn no_interface_of_an_exploit_is_open() {
    require!(userns);
    let attack = Attack::new(include_str!("namespaces.py"));
    // The control makes new namespaces and nothing else: the rest of the list would be done to this machine.
    let control = attack
        .clone()
        .with("namespaces only")
        .without_walls(&["env"]);
    assert_eq!(control.outcome("clone user"), "status 7");
    assert_eq!(control.outcome("unshare user"), "0");
    assert_eq!(control.outcome("clone3 user"), "status 7");

    let (_case, seen) = attack.inside(Case::host());
    for what in [
        "user",
        "mount",
        "net",
        "pid",
        "cgroup",
        "uts",
        "ipc",
        "user+mount",
    ] {
        assert_eq!(
            seen.outcome(&format!("unshare {what}")),
            "EPERM",
            "unshare {what}"
        );
        assert_eq!(
            seen.outcome(&format!("clone {what}")),
            "EPERM",
            "clone {what}"
        );
    }
    for (what, outcome) in [
        ("unshare user, high bits", "EPERM"),
        ("clone user, high bits", "EPERM"),
        // So that C libraries fall back to clone, whose flags a filter can see.
        ("clone3 user", "ENOSYS"),
        ("clone3 plain", "ENOSYS"),
        ("setns own user", "EPERM"),
        ("setns own mnt", "EPERM"),
        ("setns own pid", "EPERM"),
        ("setns own net", "EPERM"),
        ("netlink route", "done"),
    ] {
        assert_eq!(seen.outcome(what), outcome, "{what}");
    }
    if cfg!(target_arch = "x86_64") {
        for what in [
            "i386 unshare user",
            "i386 socketcall vsock",
            "i386 socketcall alg",
            "i386 keyctl",
        ] {
            seen.is_one_of(what, &["ENOSYS", "EPERM", "killed by 31"]);
        }
        assert_eq!(seen.outcome("x32 unshare user"), "ENOSYS");
        assert_eq!(seen.outcome("x32 getpid"), "ENOSYS");
    }
    for (what, outcome) in seen.all().filter(|(what, _)| {
        what.starts_with("socket ")
            || (what.starts_with("netlink ") && *what != "netlink route")
            || *what == "inet raw"
    }) {
        assert!(
            ["EPERM", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EACCES"].contains(&outcome),
            "{what}: {outcome}"
        );
    }
    let mut calls = 0;
    for call in [
        "io_uring_setup",
        "userfaultfd",
        "bpf",
        "perf_event_open",
        "keyctl",
        "add_key",
        "request_key",
        "kexec_load",
        "init_module",
        "finit_module",
        "delete_module",
        "mount",
        "umount2",
        "fsopen",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "fspick",
        "swapon",
        "reboot",
        "acct",
        "syslog",
        "quotactl",
        "clock_settime",
        "settimeofday",
        "fanotify_init",
    ] {
        seen.is_one_of(call, &["EPERM", "ENOSYS"]);
        calls += 1;
    }
    assert_eq!(calls, 26);
}

#[test]
fn a_user_without_rights_has_the_same_walls() {
    require!(userns, many_ids);
    let attack = Attack::new(include_str!("namespaces.py"));
    let (case, root) = attack.inside(Case::host());
    let (_case, user) = attack.inside(case.with("--user=1000:1000"));
    assert_eq!(user.outcome("namespaces"), "as 1000");
    for (what, outcome) in root
        .all()
        .filter(|(what, _)| what.starts_with("clone") || what.starts_with("unshare"))
    {
        assert_eq!(user.outcome(what), outcome, "{what}");
    }
}
