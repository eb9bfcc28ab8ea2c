//! Limits of a sandbox on the host's resources. Source: Documentation/admin-guide/cgroup-v2.rst.

mod parse;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use parse::{cpus, device_rate, disk, ids};

/// Least memory that a sandbox can be limited to, in bytes: Docker's, below which hardly a shell starts.
pub const MEMORY_MIN: u64 = 6 << 20;
/// Length of a period of CPU time in microseconds, when none is given: the kernel's own.
pub const CPU_PERIOD_US: u64 = 100_000;

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
    /// Memory in bytes that is reclaimed last, when others need some (`memory.low`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_low: Option<u64>,
    /// The whole sandbox ends when one of its processes runs out of memory (`memory.oom.group`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub oom_group: bool,
    /// CPU time per second of wall time, in billionths of a CPU (`cpu.max`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<u64>,
    /// The same as microseconds of CPU time in each period; not together with `nano_cpus`. -1 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota_us: Option<i64>,
    /// Length of such a period in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_period_us: Option<u64>,
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
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Limits {
    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The options that only a cgroup can enforce, as they were asked for.
    pub fn needing_cgroup(&self) -> Vec<&'static str> {
        let asked = [
            (self.memory.is_some(), "--memory"),
            (self.memory_swap.is_some(), "--memory-swap"),
            (self.memory_high.is_some(), "--memory-high"),
            (self.memory_low.is_some(), "--memory-reservation"),
            (self.oom_group, "--oom-group"),
            (self.nano_cpus.is_some(), "--cpus"),
            (self.cpu_quota_us.is_some(), "--cpu-quota"),
            (self.cpu_period_us.is_some(), "--cpu-period"),
            (self.cpu_shares.is_some(), "--cpu-shares"),
            (self.cpuset_cpus.is_some(), "--cpuset-cpus"),
            (self.cpuset_mems.is_some(), "--cpuset-mems"),
            (self.pids.is_some_and(|pids| pids > 0), "--pids-limit"),
            (!self.io.is_empty(), "--device-read-bps and the like"),
        ];
        asked
            .into_iter()
            .filter_map(|(asked, name)| asked.then_some(name))
            .collect()
    }

    /// These limits with those of `other` that it has: what `update` does.
    #[must_use]
    pub fn updated(&self, other: &Self) -> Self {
        let mut io = self.io.clone();
        for limit in &other.io {
            match io.iter_mut().find(|known| known.device == limit.device) {
                Some(known) => {
                    known.read_bps = limit.read_bps.or(known.read_bps);
                    known.write_bps = limit.write_bps.or(known.write_bps);
                    known.read_iops = limit.read_iops.or(known.read_iops);
                    known.write_iops = limit.write_iops.or(known.write_iops);
                }
                None => io.push(limit.clone()),
            }
        }
        // One way to say how much CPU time replaces the other.
        let by_cpus = other.nano_cpus.is_some();
        let by_quota = other.cpu_quota_us.is_some() || other.cpu_period_us.is_some();
        Self {
            memory: other.memory.or(self.memory),
            memory_swap: other.memory_swap.or(self.memory_swap),
            memory_high: other.memory_high.or(self.memory_high),
            memory_low: other.memory_low.or(self.memory_low),
            oom_group: other.oom_group || self.oom_group,
            nano_cpus: other.nano_cpus.or(self.nano_cpus.filter(|_| !by_quota)),
            cpu_quota_us: other
                .cpu_quota_us
                .or(self.cpu_quota_us.filter(|_| !by_cpus)),
            cpu_period_us: other
                .cpu_period_us
                .or(self.cpu_period_us.filter(|_| !by_cpus)),
            cpu_shares: other.cpu_shares.or(self.cpu_shares),
            cpuset_cpus: other
                .cpuset_cpus
                .clone()
                .or_else(|| self.cpuset_cpus.clone()),
            cpuset_mems: other
                .cpuset_mems
                .clone()
                .or_else(|| self.cpuset_mems.clone()),
            pids: other.pids.or(self.pids),
            io,
            oom_score_adj: other.oom_score_adj.or(self.oom_score_adj),
            disk: self.disk.clone(),
            mode: self.mode,
        }
    }

    /// Whether the values make sense, on any host.
    pub fn validate(&self) -> Result<()> {
        self.validate_memory()?;
        self.validate_cpu()?;
        if let Some(pids) = self.pids
            && pids < -1
        {
            return Err(Error::invalid(format!("invalid limit of {pids} processes"))
                .with_hint("a number from 1 on, or -1 for no limit"));
        }
        if let Some(adjustment) = self.oom_score_adj
            && !(-1000..=1000).contains(&adjustment)
        {
            return Err(Error::invalid(format!(
                "--oom-score-adj {adjustment} is not between -1000 and 1000"
            )));
        }
        for limit in &self.io {
            let rates = [
                limit.read_bps,
                limit.write_bps,
                limit.read_iops,
                limit.write_iops,
            ];
            if rates.contains(&Some(0)) {
                return Err(Error::invalid(format!(
                    "a rate of 0 on {} would stop every access",
                    limit.device
                )));
            }
        }
        Ok(())
    }

    fn validate_memory(&self) -> Result<()> {
        for (limit, name) in [
            (self.memory, "--memory"),
            (self.memory_high, "--memory-high"),
        ] {
            if limit.is_some_and(|bytes| bytes < MEMORY_MIN) {
                return Err(Error::invalid(format!("{name} is below 6 MiB"))
                    .with_hint("the least that a sandbox can do anything with is `6m`"));
            }
        }
        let Some(memory) = self.memory else {
            return match self.memory_swap {
                Some(_) => Err(Error::invalid("--memory-swap without --memory")
                    .with_hint("it limits memory and swap together: give both")),
                None => Ok(()),
            };
        };
        if let Some(swap) = self.memory_swap
            && swap != -1
            && u64::try_from(swap).map_or(true, |total| total < memory)
        {
            return Err(Error::invalid("--memory-swap is below --memory").with_hint(
                "it limits memory and swap together: the same value means no swap, -1 means no limit on it",
            ));
        }
        for (part, name) in [
            (self.memory_low, "--memory-reservation"),
            (self.memory_high, "--memory-high"),
        ] {
            if part.is_some_and(|part| part > memory) {
                return Err(Error::invalid(format!("{name} is above --memory")));
            }
        }
        Ok(())
    }

    fn validate_cpu(&self) -> Result<()> {
        if self.nano_cpus.is_some() && (self.cpu_quota_us.is_some() || self.cpu_period_us.is_some())
        {
            return Err(
                Error::invalid("--cpus together with --cpu-quota or --cpu-period")
                    .with_hint("both say how much CPU time there is: give one of them"),
            );
        }
        if self.nano_cpus.is_some_and(|cpus| cpus < 10_000_000) {
            return Err(Error::invalid("--cpus is below 0.01"));
        }
        if let Some(quota) = self.cpu_quota_us
            && quota != -1
            && quota < 1000
        {
            return Err(Error::invalid("--cpu-quota is below 1000 microseconds"));
        }
        if self
            .cpu_period_us
            .is_some_and(|period| !(1000..=1_000_000).contains(&period))
        {
            return Err(Error::invalid(
                "--cpu-period is not between 1000 and 1000000 microseconds",
            ));
        }
        if self
            .cpu_shares
            .is_some_and(|shares| !(2..=262_144).contains(&shares))
        {
            return Err(Error::invalid("--cpu-shares is not between 2 and 262144"));
        }
        for set in [&self.cpuset_cpus, &self.cpuset_mems].into_iter().flatten() {
            ids(set)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
