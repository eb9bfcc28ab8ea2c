//! Limits of a sandbox on the host's resources. Source: Documentation/admin-guide/cgroup-v2.rst.

use serde::{Deserialize, Serialize};

/// What was asked for. Every field may be absent: no limit of that kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory in bytes (`memory.max`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Memory and swap together in bytes, as Docker counts; -1 for unlimited swap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// Memory in bytes above which it is reclaimed and slowed (`memory.high`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_high: Option<u64>,
    /// The whole sandbox ends when one of its processes runs out of memory (`memory.oom.group`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub oom_group: bool,
    /// CPU time per second of wall time, in billionths of a CPU (`cpu.max`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<u64>,
    /// Relative weight as Docker counts it, 2 to 262144 (`cpu.weight`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// CPUs it may run on, `0-3,5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    /// Processes and threads; -1 for no limit, absent for the default of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    /// Rates on block devices (`io.max`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io: Vec<IoLimit>,
    /// Added to the badness of every process inside, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Room for the upper directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskLimit>,
    /// What to do where there is no cgroup to enforce a limit with.
    #[serde(skip_serializing_if = "LimitsMode::is_default")]
    pub mode: LimitsMode,
}

/// A rate on a block device; each field in bytes or operations per second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IoLimit {
    /// Path of the device on the host.
    pub device: String,
    /// Bytes read per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bps: Option<u64>,
    /// Bytes written per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_bps: Option<u64>,
    /// Reads per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_iops: Option<u64>,
    /// Writes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_iops: Option<u64>,
}

/// Room for the files that a sandbox writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskLimit {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories; absent for no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// How it is enforced.
    #[serde(default)]
    pub backing: DiskBacking,
}

/// How a disk limit is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskBacking {
    /// A project quota where the file system has it and we may set it, else the watchdog.
    #[default]
    Auto,
    /// The file system's project quota, or an error.
    Quota,
    /// The upper directory is in memory, with that size.
    Tmpfs,
    /// We look, and stop the sandbox when it is over.
    Watchdog,
}

/// What to do where a limit cannot be enforced by a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsMode {
    /// It is an error.
    #[default]
    Require,
    /// Processes, files and address space by rlimits; a warning for the rest.
    BestEffort,
}

impl LimitsMode {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Limits {
    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
