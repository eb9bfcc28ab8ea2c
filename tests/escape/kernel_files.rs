//! Files of the kernel that run programs on the host (`core_pattern`, `modprobe`, `binfmt_misc`, `uevent_helper`,
//! `sysrq`), change it, or tell about it; and device nodes.

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, Lane};

/// Nothing was written and nothing was learnt: refused by permission or by the mount, hidden, or not there.
const CLOSED: &[&str] = &[
    "EACCES",
    "EPERM",
    "EROFS",
    "ENOENT",
    "the null device",
    "0 bytes",
    "0 entries",
];

#[test]
fn files_of_the_kernel_are_closed() {
    require!(userns);
    let attack = Attack::new(include_str!("kernel_files.py"));
    let (_case, seen) = attack.inside(Case::host());
    let mut tried = 0;
    for (what, outcome) in seen.all().filter(|(what, _)| what.starts_with('/')) {
        assert!(CLOSED.contains(&outcome), "{what}: {outcome}");
        tried += 1;
    }
    assert!(tried > 50, "{tried}");
    // What every kernel has, exactly.
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/pid_max",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/user/max_user_namespaces",
        "/proc/1/oom_score_adj",
    ] {
        seen.is_one_of(path, &["EROFS", "EACCES"]);
    }
    for path in ["/proc/keys", "/proc/timer_list"] {
        seen.is_one_of(path, CLOSED);
    }
    for what in ["disk", "memory", "kmsg", "null"] {
        // With a single id the call is answered with success, and there is nothing to open.
        let refused = match Lane::current() {
            Lane::Single => "ENOENT",
            _ => "EPERM",
        };
        assert_eq!(seen.outcome(&format!("mknod {what}")), refused);
    }
    for path in ["/proc/sys", "/proc/keys", "/proc", "/sys"] {
        assert_eq!(seen.outcome(&format!("umount {path}")), "EPERM");
        assert_eq!(seen.outcome(&format!("remount {path}")), "EPERM");
    }
}
