//! What a process in a sandbox may do.

use serde::{Deserialize, Serialize};

/// The capabilities that a root process in a sandbox has inside the sandbox's own user namespace: Podman's eleven less
/// SYS_CHROOT (a chroot made inside is a way to confuse path checks, and package managers do not need it).
///
/// Source: capabilities(7); Podman's default list.
pub const DEFAULT_CAPABILITIES: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
];

/// Paths under which nothing is to be seen: files read as empty, directories are empty.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths that are read-only.
pub const READ_ONLY_PATHS: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// A capability by its number in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "the names are the kernel's; capabilities(7) explains them"
)]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    NetBindService = 10,
    NetAdmin = 12,
    NetRaw = 13,
    SysChroot = 18,
    SysPtrace = 19,
    SysAdmin = 21,
    Mknod = 27,
    AuditWrite = 29,
    Setfcap = 31,
}

impl Capability {
    /// Its bit in a capability set.
    pub fn bit(self) -> u64 {
        1 << (self as u8)
    }
}
