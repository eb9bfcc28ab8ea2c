//! Options about limits on resources.

use anyhow::Result;
use clap::ValueEnum;
use shedbox_spec::limits::{self, IoLimit, Limits, LimitsMode};
use shedbox_spec::{Error, Kind, size};

/// Limits that can also be changed later: `run`, `create` and `update`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ResourceOptions {
    /// Limit on memory, for example `512m`
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// Limit on memory and swap together; -1 for no limit on swap. As much swap as memory when absent
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Memory above which it is reclaimed and the sandbox slowed down
    #[arg(long, value_name = "BYTES")]
    memory_high: Option<String>,
    /// Memory that is left alone as long as others have some to give
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,
    /// Limit on CPU time in CPUs, for example `1.5`
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Microseconds of CPU time in each period; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Length of a period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Weight against other sandboxes when CPUs are short, 2 to 262144; 1024 is everybody's
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// CPUs to run on, for example `0-3,5`
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Limit on processes and threads; -1 for none
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Bytes a second that may be read from a disk, for example `/dev/sda:10m`
    #[arg(long, value_name = "DEVICE:BYTES")]
    device_read_bps: Vec<String>,
    /// Bytes a second that may be written to a disk
    #[arg(long, value_name = "DEVICE:BYTES")]
    device_write_bps: Vec<String>,
    /// Reads a second from a disk
    #[arg(long, value_name = "DEVICE:NUMBER")]
    device_read_iops: Vec<String>,
    /// Writes a second to a disk
    #[arg(long, value_name = "DEVICE:NUMBER")]
    device_write_iops: Vec<String>,
}

/// Limits of a new sandbox.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitOptions {
    #[command(flatten)]
    resources: ResourceOptions,
    /// When memory runs out, end the whole sandbox and not only one command
    #[arg(long)]
    oom_group: bool,
    /// How soon the host takes its processes when memory runs out, -1000 to 1000
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    oom_score_adj: Option<i32>,
    /// Refused: control groups of version 2 always end something when memory runs out
    #[arg(long, hide = true)]
    oom_kill_disable: bool,
    /// Room for what is written: bytes, then `inodes=N` and `backing=auto|quota|tmpfs|watchdog`
    #[arg(long, value_name = "BYTES[,OPTIONS]")]
    disk: Option<String>,
    /// What to do where limits cannot be enforced
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    limits: Mode,
}

/// See [`LimitsMode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Mode {
    /// Refuse
    #[default]
    Require,
    /// Enforce what rlimits can, and warn of the rest
    BestEffort,
}

impl ResourceOptions {
    pub(crate) fn spec(&self) -> Result<Limits> {
        let bytes = |text: &Option<String>| text.as_deref().map(size::parse_bytes).transpose();
        let mut io = Vec::new();
        type Field = fn(&mut IoLimit) -> &mut Option<u64>;
        let rates: [(&[String], bool, Field); 4] = [
            (&self.device_read_bps, true, |limit| &mut limit.read_bps),
            (&self.device_write_bps, true, |limit| &mut limit.write_bps),
            (&self.device_read_iops, false, |limit| &mut limit.read_iops),
            (&self.device_write_iops, false, |limit| {
                &mut limit.write_iops
            }),
        ];
        for (texts, is_bytes, field) in rates {
            for text in texts {
                let (device, rate) = limits::device_rate(text, is_bytes)?;
                *field(IoLimit::of(&mut io, &device)) = Some(rate);
            }
        }
        let memory_swap = match self.memory_swap.as_deref() {
            Some("-1") => Some(-1),
            Some(text) => Some(
                i64::try_from(size::parse_bytes(text)?)
                    .map_err(|_| Error::invalid(format!("--memory-swap {text} is too much")))?,
            ),
            None => None,
        };
        Ok(Limits {
            memory: bytes(&self.memory)?,
            memory_swap,
            memory_high: bytes(&self.memory_high)?,
            memory_low: bytes(&self.memory_reservation)?,
            nano_cpus: self.cpus.as_deref().map(limits::cpus).transpose()?,
            cpu_quota_us: self.cpu_quota,
            cpu_period_us: self.cpu_period,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            // Docker has both for none.
            pids: self
                .pids_limit
                .map(|pids| if pids == 0 { -1 } else { pids }),
            io,
            ..Limits::default()
        })
    }
}

impl LimitOptions {
    pub(crate) fn spec(&self) -> Result<Limits> {
        if self.oom_kill_disable {
            return Err(Error::new(
                Kind::Unsupported,
                "--oom-kill-disable: control groups of version 2 cannot leave a process waiting for memory",
            )
            .with_hint("--memory-high slows a sandbox down instead; --oom-score-adj chooses who goes first")
            .into());
        }
        let limits = Limits {
            oom_group: self.oom_group,
            oom_score_adj: self.oom_score_adj,
            disk: self.disk.as_deref().map(limits::disk).transpose()?,
            mode: match self.limits {
                Mode::Require => LimitsMode::Require,
                Mode::BestEffort => LimitsMode::BestEffort,
            },
            ..self.resources.spec()?
        };
        limits.validate()?;
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitOptions,
    }

    fn limits(line: &str) -> Result<Limits> {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace()))?
            .limits
            .spec()
    }

    #[test]
    fn options_become_limits() {
        let found = limits(
            "-m 64m --memory-swap -1 --cpus 1.5 --pids-limit 0 --device-read-bps /dev/a:1k \
             --device-write-iops /dev/a:7 --disk 1g,inodes=5 --limits=best-effort --oom-group",
        );
        let expected = Limits {
            memory: Some(64 << 20),
            memory_swap: Some(-1),
            nano_cpus: Some(1_500_000_000),
            pids: Some(-1),
            io: vec![IoLimit {
                device: "/dev/a".into(),
                read_bps: Some(1024),
                write_iops: Some(7),
                ..IoLimit::default()
            }],
            disk: Some(limits::disk("1g,inodes=5").unwrap()),
            mode: LimitsMode::BestEffort,
            oom_group: true,
            ..Limits::default()
        };
        assert_eq!(found.unwrap(), expected);
        assert!(limits("").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_is_said_before_a_daemon_is_asked() {
        for (line, part) in [
            ("--oom-kill-disable", "version 2"),
            ("--memory 1m", "6 MiB"),
            ("--cpus x", "`x`"),
            ("--cpuset-cpus a", "`a`"),
            ("--device-read-bps sda:1m", "`sda:1m`"),
        ] {
            let error = limits(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
