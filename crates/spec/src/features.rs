//! What is really in force in a sandbox: read back from the kernel, not taken from what was asked for.
//!
//! A process is started in the sandbox the way every command is, and reads its own files of /proc ([`Probe`]). The daemon
//! adds what only it can see (its own namespaces, the cgroup on the host) and compares with what was asked for
//! ([`violations`]). Sources: `proc_pid_status(5)`, `proc_pid_limits(5)`, `proc_pid_mountinfo(5)`, namespaces(7).

mod judge;
mod parse;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::landlock::LandlockInForce;
use crate::ulimit::Ulimit;

pub use judge::violations;
pub use parse::{mounts, ranges};

/// Kinds of namespaces that a sandbox has of its own, by their names in `/proc/<pid>/ns`.
pub const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// What a process in the sandbox read of itself, as the kernel wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// `/proc/self/status`.
    pub status: String,
    /// `/proc/self/limits`.
    pub limits: String,
    /// `/proc/self/mountinfo`.
    pub mountinfo: String,
    /// `/proc/self/cgroup`.
    pub cgroup: String,
    /// `/proc/self/uid_map`.
    pub uid_map: String,
    /// `/proc/self/gid_map`.
    pub gid_map: String,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: String,
    /// What the links in `/proc/self/ns` lead to, by kind: `mnt` → `mnt:[4026531840]`.
    pub namespaces: BTreeMap<String, String>,
    /// Paths that were to be hidden and show something.
    pub exposed: Vec<String>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Features {
    /// What the sandbox is made of: `namespaces`.
    pub isolation: String,
    /// The generation that was looked at.
    pub generation: u64,
    /// The process that was started to look: its credentials and restrictions.
    pub process: ProcessFeatures,
    /// Ids inside and outside.
    pub user_map: UserMap,
    /// Namespaces, each compared with the daemon's.
    pub namespaces: Vec<NamespaceFeature>,
    /// Landlock, as init found it when it entered its domain.
    pub landlock: LandlockInForce,
    /// Resource limits.
    pub limits: Vec<Ulimit>,
    /// The mounts that make the walls: `/`, `/dev`, `/proc`, `/sys` and what is read-only in them.
    pub mounts: Vec<MountFeature>,
    /// Paths that show nothing.
    pub hidden: Vec<String>,
    /// The cgroup, when the sandbox has one of its own.
    pub cgroup: Option<CgroupFeatures>,
    /// What was asked for and was not found.
    pub violations: Vec<String>,
}

/// Credentials and restrictions of a process. Source: `proc_pid_status(5)`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessFeatures {
    /// Effective user id, inside.
    pub uid: u32,
    /// Effective group id, inside.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// File mode creation mask, octal.
    pub umask: String,
    /// Nothing that it executes gains privileges.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: SeccompFeatures,
    /// Capability sets.
    pub capabilities: CapabilitySets,
    /// Standing when memory runs out.
    pub oom_score_adj: i32,
}

/// The system call filter of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SeccompFeatures {
    /// `disabled`, `strict` or `filter`.
    pub mode: String,
    /// Filters installed, each of which must allow a call. Absent before Linux 5.9.
    pub filters: Option<u32>,
    /// The profile that was asked for.
    pub profile: String,
}

/// The five sets of capabilities(7), as names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are capabilities(7)'s")]
pub struct CapabilitySets {
    pub permitted: Vec<String>,
    pub effective: Vec<String>,
    pub inheritable: Vec<String>,
    pub bounding: Vec<String>,
    pub ambient: Vec<String>,
}

/// Ids of the sandbox and what they are in the daemon's user namespace. Source: `user_namespaces(7)`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UserMap {
    /// Users.
    pub uid: Vec<IdRange>,
    /// Groups.
    pub gid: Vec<IdRange>,
}

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id outside, as the process that read it sees it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceFeature {
    /// `mnt`, `pid`, …
    pub kind: String,
    /// What names it on this host; 0 when it could not be read.
    pub inode: u64,
    /// It is the daemon's, which means the host's.
    pub shared: bool,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MountFeature {
    /// Where, inside.
    pub target: String,
    /// Kind of file system.
    pub file_system: String,
    /// Options of this mount: `ro`, `nosuid`, …
    pub options: Vec<String>,
    /// What of the file system is shown there.
    pub root: String,
}

impl MountFeature {
    /// Whether an option is set.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }
}

/// The cgroup of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupFeatures {
    /// Its path in the host's hierarchy.
    pub path: String,
    /// What `/proc/self/cgroup` shows inside.
    pub inside: String,
    /// Files that hold limits, with their content: `memory.max`, `pids.max`, `cpu.max`, …
    pub files: BTreeMap<String, String>,
}
