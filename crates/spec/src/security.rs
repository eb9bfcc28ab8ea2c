//! What a process in a sandbox may do.

use serde::{Deserialize, Serialize};

pub use crate::capability::Capability;
pub use crate::landlock::{LandlockLevel, LandlockSpec};

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

/// Paths of /proc under which nothing is to be seen: files read as empty, directories (those that end in a slash) are
/// empty; neither can be written. What nobody inside could open anyway is left as it is.
///
/// Docker's list and what it makes read-only, and more. /sys needs no list: it shows only what programs use. Each path
/// costs every create a mount (some 7 µs), so what shows no more than sums over the whole host (`vmstat`, `zoneinfo`,
/// `diskstats`) or addresses that are zero to ordinary users (`iomem`, `ioports`) stays.
pub const MASKED_PATHS: &[&str] = &[
    // Hardware and its drivers: state of the host, and settings that root of the host may change.
    "/proc/acpi/",
    "/proc/asound/",
    "/proc/bus/",
    "/proc/fs/",
    "/proc/irq/",
    "/proc/scsi/",
    // Counters that tell what neighbours type and run (timing side channels).
    "/proc/interrupts",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/softirqs",
    "/proc/timer_list",
    "/proc/timer_stats",
    // Addresses and the state of the kernel's memory: what exploits are built with.
    "/proc/dynamic_debug/",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    // Messages, keys and the command line of the host's kernel, which may hold secrets.
    "/proc/bootconfig",
    "/proc/cmdline",
    "/proc/keys",
    "/proc/kmsg",
];

/// Paths that are read-only.
pub const READ_ONLY_PATHS: &[&str] = &[
    // Programs read settings there.
    "/proc/sys",
    // A write would be an order to the host's kernel; it must fail, not vanish.
    "/proc/sysrq-trigger",
];

/// What of /sys is there: the directory is a memory file system with these of the kernel's bound into it, read-only, and
/// nothing else. Paths below /sys.
pub const SYS_PATHS: &[&str] = &[
    // Processors and memory nodes: nproc, lscpu, language runtimes, numeric libraries.
    "devices/system/cpu",
    "devices/system/node",
    // Allocators and runtimes ask whether large pages come by themselves.
    "kernel/mm/transparent_hugepage",
];

/// What was asked for of a sandbox's walls. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Capabilities added to [`DEFAULT_CAPABILITIES`], by name with or without `CAP_`; `ALL` for every one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities taken away, in the same words. `ALL` first, then `cap_add`, as Docker does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// No program gains privileges by being executed (setuid, file capabilities).
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// The Landlock domain.
    pub landlock: LandlockSpec,
    /// Paths of the image that are hidden, on top of [`MASKED_PATHS`]: hidden tests, history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            no_new_privileges: true,
            seccomp: Seccomp::default(),
            landlock: LandlockSpec::default(),
            masked: Vec::new(),
        }
    }
}

/// Which system call filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// One of ours.
    Profile(SeccompProfile),
    /// The text of a profile in Docker's or OCI's JSON.
    Custom(String),
    /// Denies nothing and records what [`SeccompProfile::Default`] would have denied.
    Log,
}

impl Default for Seccomp {
    fn default() -> Self {
        Self::Profile(SeccompProfile::Default)
    }
}

/// Profiles that come with shedbox; `vendor/seccomp` has the data and the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompProfile {
    /// The default without what build tools and test suites hardly need: ptrace, foreign ABIs, NETLINK.
    Strict,
    /// The allowlist of every sandbox.
    #[default]
    Default,
    /// The default and what debuggers and profilers need: perf events, process_vm calls, personality.
    Dev,
    /// The default and user namespaces with what is mounted in them: for browsers and an agent's own sandbox.
    Nested,
    /// No filter.
    Unconfined,
}
