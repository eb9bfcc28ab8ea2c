//! Limits → values of files: a plain list, made by pure functions.

use shedbox_spec::Result;
use shedbox_spec::limits::{CPU_PERIOD_US, Limits};

/// A value for one file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The controller that the file belongs to.
    pub(super) controller: &'static str,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// The option that asked for it; `None` when nobody did and it may be done without.
    pub(super) option: Option<&'static str>,
}

/// What `limits` mean. `default_pids` holds where no number of processes was asked for; 0 or less is no limit.
/// `device` gives major and minor number of a block device.
pub(super) fn settings(
    limits: &Limits,
    default_pids: i64,
    device: impl Fn(&str) -> Result<(u32, u32)>,
) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    memory(limits, &mut list);
    cpu(limits, &mut list);
    let pids = limits.pids.unwrap_or(default_pids);
    list.push(Setting {
        controller: "pids",
        file: "pids.max",
        value: if pids > 0 {
            pids.to_string()
        } else {
            "max".to_owned()
        },
        option: limits.pids.filter(|pids| *pids > 0).map(|_| "--pids-limit"),
    });
    for limit in &limits.io {
        let (major, minor) = device(&limit.device)?;
        let rates = [
            ("rbps", limit.read_bps),
            ("wbps", limit.write_bps),
            ("riops", limit.read_iops),
            ("wiops", limit.write_iops),
        ];
        let mut value = format!("{major}:{minor}");
        for (key, rate) in rates {
            if let Some(rate) = rate {
                value.push_str(&format!(" {key}={rate}"));
            }
        }
        list.push(Setting {
            controller: "io",
            file: "io.max",
            value,
            option: Some("--device-read-bps and the like"),
        });
    }
    Ok(list)
}

fn memory(limits: &Limits, list: &mut Vec<Setting>) {
    let mut add = |file, value: String, option| {
        list.push(Setting {
            controller: "memory",
            file,
            value,
            option,
        });
    };
    if let Some(memory) = limits.memory {
        add("memory.max", memory.to_string(), Some("--memory"));
        // Docker: as much swap as memory when nothing is said. The file is there only where the kernel counts swap.
        let (swap, option) = match limits.memory_swap {
            None => (memory.to_string(), None),
            Some(total) => match u64::try_from(total) {
                Ok(total) => (
                    total.saturating_sub(memory).to_string(),
                    Some("--memory-swap"),
                ),
                Err(_) => ("max".to_owned(), None),
            },
        };
        add("memory.swap.max", swap, option);
    }
    if let Some(high) = limits.memory_high {
        add("memory.high", high.to_string(), Some("--memory-high"));
    }
    if let Some(low) = limits.memory_low {
        add("memory.low", low.to_string(), Some("--memory-reservation"));
    }
}

fn cpu(limits: &Limits, list: &mut Vec<Setting>) {
    let mut add = |controller, file, value: String, option| {
        list.push(Setting {
            controller,
            file,
            value,
            option: Some(option),
        });
    };
    let period = limits.cpu_period_us.unwrap_or(CPU_PERIOD_US);
    if let Some(nanos) = limits.nano_cpus {
        let quota = u128::from(nanos) * u128::from(period) / 1_000_000_000;
        // The kernel takes no quota below a millisecond.
        let quota = quota.max(1000);
        add("cpu", "cpu.max", format!("{quota} {period}"), "--cpus");
    } else if limits.cpu_quota_us.is_some() || limits.cpu_period_us.is_some() {
        let quota = match limits.cpu_quota_us {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        add("cpu", "cpu.max", format!("{quota} {period}"), "--cpu-quota");
    }
    if let Some(shares) = limits.cpu_shares {
        add(
            "cpu",
            "cpu.weight",
            weight(shares).to_string(),
            "--cpu-shares",
        );
    }
    for (list_of_ids, file, option) in [
        (&limits.cpuset_cpus, "cpuset.cpus", "--cpuset-cpus"),
        (&limits.cpuset_mems, "cpuset.mems", "--cpuset-mems"),
    ] {
        if let Some(ids) = list_of_ids {
            add("cpuset", file, ids.clone(), option);
        }
    }
}

/// Docker's 2 to 262144 → the kernel's 1 to 10000, the default 1024 → the default 100: the curve of the OCI runtimes.
/// Source: opencontainers/cgroups, `ConvertCPUSharesToCgroupV2Value`.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::limits::IoLimit;

    fn written(limits: &Limits) -> Vec<(&'static str, String)> {
        settings(limits, 2048, |_| Ok((8, 16)))
            .unwrap()
            .into_iter()
            .map(|setting| (setting.file, setting.value))
            .collect()
    }

    fn limits() -> Limits {
        Limits::default()
    }

    #[test]
    fn nothing_asked_for_is_the_default_number_of_processes() {
        assert_eq!(written(&limits()), [("pids.max", "2048".to_owned())]);
        let plan = settings(&limits(), 2048, |_| Ok((0, 0))).unwrap();
        assert_eq!(plan[0].option, None);
        let none = Limits {
            pids: Some(-1),
            ..limits()
        };
        assert_eq!(written(&none), [("pids.max", "max".to_owned())]);
    }

    #[test]
    fn memory_and_swap_as_docker_counts() {
        for (swap, expected) in [
            (None, "1000000000"),
            (Some(1_500_000_000), "500000000"),
            (Some(1_000_000_000), "0"),
            (Some(-1), "max"),
        ] {
            let limits = Limits {
                memory: Some(1_000_000_000),
                memory_swap: swap,
                ..limits()
            };
            assert_eq!(
                written(&limits)[..2],
                [
                    ("memory.max", "1000000000".to_owned()),
                    ("memory.swap.max", expected.to_owned())
                ]
            );
        }
    }

    #[test]
    fn cpu_time() {
        let table = [
            (
                Limits {
                    nano_cpus: Some(1_500_000_000),
                    ..limits()
                },
                "150000 100000",
            ),
            (
                Limits {
                    cpu_quota_us: Some(5000),
                    cpu_period_us: Some(10_000),
                    ..limits()
                },
                "5000 10000",
            ),
            (
                Limits {
                    cpu_quota_us: Some(-1),
                    ..limits()
                },
                "max 100000",
            ),
        ];
        for (limits, expected) in table {
            assert_eq!(written(&limits)[0], ("cpu.max", expected.to_owned()));
        }
    }

    #[test]
    fn weights_keep_the_ends_and_the_default() {
        for (shares, expected) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(weight(shares), expected);
        }
        let all: Vec<u64> = (2..5000).map(weight).collect();
        assert!(all.is_sorted());
    }

    #[test]
    fn rates_of_a_device_are_one_line() {
        let io = vec![IoLimit {
            device: "/dev/sdb".into(),
            read_bps: Some(1 << 20),
            write_iops: Some(50),
            ..IoLimit::default()
        }];
        assert_eq!(
            written(&Limits { io, ..limits() })[1],
            ("io.max", "8:16 rbps=1048576 wiops=50".to_owned())
        );
    }
}
