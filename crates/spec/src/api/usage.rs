//! What sandboxes and the host use: counters, pressure, what was taken back.

use serde::{Deserialize, Serialize};

/// What a sandbox uses and has used in its present life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxStats {
    /// Counted by the kernel for the sandbox's cgroup, init included. Otherwise sums over the processes that live now.
    pub from_cgroup: bool,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Of it, in programs.
    pub user_us: Option<u64>,
    /// Of it, in the kernel.
    pub system_us: Option<u64>,
    /// What the limit on CPU time did, where CPU time can be limited.
    pub throttling: Option<Throttling>,
    /// Memory in bytes: with a cgroup all that is charged to it, page cache included; otherwise resident memory added
    /// up, in which shared pages count in each process.
    pub memory: u64,
    /// More about memory, where a cgroup counts it.
    pub memory_detail: Option<MemoryUse>,
    /// Processes and threads with a cgroup, init included; otherwise processes without init.
    pub pids: u64,
    /// Most at once (Linux 6.1).
    pub pids_peak: Option<u64>,
    /// Limit on them.
    pub pids_limit: Option<u64>,
    /// By block device.
    pub io: Vec<IoUse>,
    /// Time spent waiting.
    pub pressure: PressureReport,
}

/// Memory of a cgroup, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryUse {
    /// Most at once (Linux 5.19).
    pub peak: Option<u64>,
    /// Limit on it; absent for none.
    pub limit: Option<u64>,
    /// On swap; absent where the kernel does not count it.
    pub swap: Option<u64>,
    /// Of processes' own data.
    pub anon: u64,
    /// Of page cache, memory file systems included.
    pub file: u64,
    /// Processes killed because the limit was reached.
    pub oom_kills: u64,
}

/// How a limit on CPU time worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttling {
    /// Periods with something to run.
    pub periods: u64,
    /// Of these, periods in which the limit was reached.
    pub throttled: u64,
    /// Time that processes were held up, in microseconds.
    pub throttled_us: u64,
}

/// Input and output on a block device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IoUse {
    /// `major:minor`.
    pub device: String,
    /// Bytes.
    pub read_bytes: u64,
    /// Bytes.
    pub write_bytes: u64,
    /// Operations.
    pub reads: u64,
    /// Operations.
    pub writes: u64,
}

/// Pressure stall information of the three resources; absent where the kernel has none (`psi=1`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PressureReport {
    /// Waiting for a CPU.
    pub cpu: Option<Pressure>,
    /// Waiting for memory.
    pub memory: Option<Pressure>,
    /// Waiting for a disk.
    pub io: Option<Pressure>,
}

/// Source: Documentation/accounting/psi.rst.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// At least one process waited.
    pub some: Stall,
    /// All of them waited.
    pub full: Option<Stall>,
}

/// Time spent waiting.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last 5 minutes.
    pub avg300: f64,
    /// In all, in microseconds.
    pub total_us: u64,
}

/// Pressure on the host and on all sandboxes of this daemon together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostPressure {
    /// `/proc/pressure`.
    pub host: PressureReport,
    /// Of the cgroup above all sandboxes, when there is one.
    pub sandboxes: Option<PressureReport>,
}

/// What became of a request to give memory back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reclaimed {
    /// Bytes by which the sandbox's memory shrank.
    pub bytes: u64,
    /// The kernel found as much as was asked for.
    pub complete: bool,
}

/// What became of new limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Updated {
    /// What could not be had and was done without.
    pub warnings: Vec<String>,
}
