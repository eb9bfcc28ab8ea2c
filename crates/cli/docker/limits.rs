//! Flags of limits, which `create`, `run` and `update` have.

use anyhow::Result;
use serde_json::{Value, json};
use shedbox_spec::size;

/// Flags that can be changed later on.
#[derive(Debug, clap::Args)]
pub(super) struct Limits {
    #[arg(short, long)]
    memory: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<String>,
    #[arg(long)]
    memory_reservation: Option<String>,
    #[arg(long)]
    cpus: Option<String>,
    #[arg(short = 'c', long)]
    cpu_shares: Option<i64>,
    #[arg(long)]
    cpu_period: Option<i64>,
    #[arg(long, allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    #[arg(long)]
    cpuset_cpus: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    pids_limit: Option<i64>,
}

impl Limits {
    /// As fields of a `HostConfig`; what was not given is 0 or empty, which says nothing.
    pub(super) fn host_config(&self) -> Result<Value> {
        let cpus = self.cpus.as_deref().map(shedbox_spec::limits::cpus);
        Ok(json!({
            "Memory": bytes(self.memory.as_deref())?,
            "MemorySwap": bytes(self.memory_swap.as_deref())?,
            "MemoryReservation": bytes(self.memory_reservation.as_deref())?,
            "NanoCpus": cpus.transpose()?.unwrap_or(0),
            "CpuShares": self.cpu_shares.unwrap_or(0),
            "CpuPeriod": self.cpu_period.unwrap_or(0),
            "CpuQuota": self.cpu_quota.unwrap_or(0),
            "CpusetCpus": self.cpuset_cpus.clone().unwrap_or_default(),
            "PidsLimit": self.pids_limit.unwrap_or(0),
        }))
    }
}

/// -1 is no limit; nothing is 0.
pub(super) fn bytes(text: Option<&str>) -> Result<i64> {
    match text {
        None => Ok(0),
        Some("-1") => Ok(-1),
        Some(text) => Ok(i64::try_from(size::parse_bytes(text)?)?),
    }
}
