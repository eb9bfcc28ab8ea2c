//! Limits.

use shedbox_spec::limits::{IoLimit, Limits, LimitsMode};
use shedbox_spec::ulimit::{Resource, Ulimit};
use shedbox_spec::{Error, Result};

use super::positive;
use crate::body::{self, HostConfig};

/// Of a create, and of an update. 0 says nothing; where the host has no cgroup to enforce one with, a warning comes, as it
/// does from dockerd.
pub fn limits(host: &HostConfig) -> Result<Limits> {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let mut limits = Limits {
        memory: positive(host.memory),
        memory_swap: (host.memory_swap != 0).then_some(host.memory_swap),
        memory_low: positive(host.memory_reservation),
        nano_cpus: positive(host.nano_cpus),
        cpu_quota_us: (host.cpu_quota != 0).then_some(host.cpu_quota),
        cpu_period_us: positive(host.cpu_period),
        cpu_shares: positive(host.cpu_shares),
        cpuset_cpus: text(&host.cpuset_cpus),
        cpuset_mems: text(&host.cpuset_mems),
        pids: host
            .pids_limit
            .filter(|limit| *limit != 0)
            .map(|limit| limit.max(-1)),
        oom_score_adj: (host.oom_score_adj != 0).then_some(host.oom_score_adj),
        mode: LimitsMode::BestEffort,
        ..Limits::default()
    };
    if limits.nano_cpus.is_some()
        && (limits.cpu_quota_us.is_some() || limits.cpu_period_us.is_some())
    {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if host.oom_kill_disable {
        return Err(Error::invalid(
            "OomKillDisable is not supported: a sandbox that may not be killed could stop the host",
        ));
    }
    for rate in &host.blkio_device_read_bps {
        IoLimit::of(&mut limits.io, &rate.path).read_bps = Some(rate.rate);
    }
    for rate in &host.blkio_device_write_bps {
        IoLimit::of(&mut limits.io, &rate.path).write_bps = Some(rate.rate);
    }
    for rate in &host.blkio_device_read_iops {
        IoLimit::of(&mut limits.io, &rate.path).read_iops = Some(rate.rate);
    }
    for rate in &host.blkio_device_write_iops {
        IoLimit::of(&mut limits.io, &rate.path).write_iops = Some(rate.rate);
    }
    for (name, value) in &host.storage_opt {
        if name != "size" {
            return Err(Error::invalid(format!("unknown storage option {name}")));
        }
        limits.disk = Some(shedbox_spec::limits::disk(value)?);
    }
    limits.validate()?;
    Ok(limits)
}

/// -1 is no limit.
pub(super) fn ulimits(list: &[body::Ulimit]) -> Result<Vec<Ulimit>> {
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    list.iter()
        .map(|limit| {
            Ok(Ulimit {
                resource: Resource::parse(&limit.name)?,
                soft: value(limit.soft),
                hard: value(limit.hard),
            })
        })
        .collect()
}
