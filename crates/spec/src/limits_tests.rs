use super::*;
use crate::Kind;

fn limits() -> Limits {
    Limits::default()
}

#[test]
fn what_makes_no_sense_is_refused_with_the_option_named() {
    let mib = |count: u64| Some(count << 20);
    let bad = [
        (
            Limits {
                memory: mib(5),
                ..limits()
            },
            "--memory is below 6 MiB",
        ),
        (
            Limits {
                memory_high: Some(1),
                ..limits()
            },
            "--memory-high is below",
        ),
        (
            Limits {
                memory_swap: Some(1 << 30),
                ..limits()
            },
            "without --memory",
        ),
        (
            Limits {
                memory: mib(64),
                memory_swap: Some(32 << 20),
                ..limits()
            },
            "--memory-swap is below --memory",
        ),
        (
            Limits {
                memory: mib(64),
                memory_swap: Some(-2),
                ..limits()
            },
            "--memory-swap",
        ),
        (
            Limits {
                memory: mib(64),
                memory_low: mib(65),
                ..limits()
            },
            "--memory-reservation is above",
        ),
        (
            Limits {
                nano_cpus: Some(9_999_999),
                ..limits()
            },
            "--cpus is below 0.01",
        ),
        (
            Limits {
                nano_cpus: Some(1_000_000_000),
                cpu_quota_us: Some(5000),
                ..limits()
            },
            "--cpus together",
        ),
        (
            Limits {
                cpu_quota_us: Some(10),
                ..limits()
            },
            "--cpu-quota",
        ),
        (
            Limits {
                cpu_period_us: Some(999),
                ..limits()
            },
            "--cpu-period",
        ),
        (
            Limits {
                cpu_shares: Some(1),
                ..limits()
            },
            "--cpu-shares",
        ),
        (
            Limits {
                cpuset_cpus: Some("1-".into()),
                ..limits()
            },
            "`1-`",
        ),
        (
            Limits {
                pids: Some(-2),
                ..limits()
            },
            "-2 processes",
        ),
        (
            Limits {
                oom_score_adj: Some(1001),
                ..limits()
            },
            "1001",
        ),
        (
            Limits {
                io: vec![IoLimit {
                    device: "/dev/x".into(),
                    read_bps: Some(0),
                    ..IoLimit::default()
                }],
                ..limits()
            },
            "/dev/x",
        ),
    ];
    for (limits, part) in bad {
        let error = limits.validate().unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(
            error.message.contains(part),
            "{} has no {part}",
            error.message
        );
    }
}

#[test]
fn what_makes_sense_passes() {
    for good in [
        limits(),
        Limits {
            memory: Some(6 << 20),
            memory_swap: Some(6 << 20),
            ..limits()
        },
        Limits {
            memory: Some(6 << 20),
            memory_swap: Some(-1),
            ..limits()
        },
        Limits {
            cpu_quota_us: Some(-1),
            cpu_period_us: Some(50_000),
            ..limits()
        },
        Limits {
            pids: Some(-1),
            ..limits()
        },
        Limits {
            cpuset_cpus: Some("0-3,5".into()),
            ..limits()
        },
    ] {
        assert_eq!(good.validate(), Ok(()), "{good:?}");
    }
}

#[test]
fn numbers_of_cpus() {
    for (text, nanos) in [
        ("1", 1_000_000_000),
        ("1.5", 1_500_000_000),
        (".25", 250_000_000),
        ("2.", 2_000_000_000),
        ("0.000000001", 1),
    ] {
        assert_eq!(cpus(text), Ok(nanos), "{text}");
    }
    for bad in [
        "",
        ".",
        "a",
        "-1",
        "1e3",
        "1.0000000001",
        "1,5",
        "99999999999999999999",
    ] {
        assert!(cpus(bad).is_err(), "{bad}");
    }
}

#[test]
fn lists_of_ids() {
    assert_eq!(ids("3,0-2,1"), Ok(vec![0, 1, 2, 3]));
    for bad in ["", "a", "2-1", "1,", "-1", "0-4294967295", "0 1"] {
        assert!(ids(bad).is_err(), "{bad}");
    }
}

#[test]
fn rates_of_devices() {
    assert_eq!(
        device_rate("/dev/sda:10m", true),
        Ok(("/dev/sda".into(), 10 << 20))
    );
    assert_eq!(device_rate("/dev/a:b:7", false), Ok(("/dev/a:b".into(), 7)));
    for (bad, bytes) in [
        ("/dev/sda", true),
        ("sda:1m", true),
        ("/dev/sda:1m", false),
        ("/dev/sda:", true),
    ] {
        assert!(device_rate(bad, bytes).is_err(), "{bad}");
    }
}

#[test]
fn disk_limits() {
    let limit = disk("2g,inodes=1000,backing=quota").unwrap();
    assert_eq!(
        limit,
        DiskLimit {
            bytes: 2 << 30,
            inodes: Some(1000),
            backing: DiskBacking::Quota
        }
    );
    assert_eq!(disk("64m").unwrap().backing, DiskBacking::Auto);
    for bad in [
        "",
        "0",
        "x",
        "1g,inodes=0",
        "1g,inodes=x",
        "1g,backing=loop",
        "1g,",
        "1g,quota",
    ] {
        assert!(disk(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_update_changes_only_what_it_names() {
    let before = Limits {
        memory: Some(64 << 20),
        cpu_quota_us: Some(50_000),
        io: vec![IoLimit {
            device: "/dev/a".into(),
            read_bps: Some(1),
            ..IoLimit::default()
        }],
        ..limits()
    };
    let change = Limits {
        pids: Some(7),
        nano_cpus: Some(1_000_000_000),
        io: vec![IoLimit {
            device: "/dev/a".into(),
            write_bps: Some(2),
            ..IoLimit::default()
        }],
        ..limits()
    };
    let after = before.updated(&change);
    let expected = Limits {
        memory: Some(64 << 20),
        pids: Some(7),
        nano_cpus: Some(1_000_000_000),
        cpu_quota_us: None,
        io: vec![IoLimit {
            device: "/dev/a".into(),
            read_bps: Some(1),
            write_bps: Some(2),
            ..IoLimit::default()
        }],
        ..limits()
    };
    assert_eq!(after, expected);
    assert_eq!(before.updated(&limits()), before);
}

#[test]
fn only_some_limits_need_a_cgroup() {
    let without = Limits {
        pids: Some(-1),
        oom_score_adj: Some(5),
        disk: Some(disk("1g").unwrap()),
        ..limits()
    };
    assert!(without.needing_cgroup().is_empty());
    let with = Limits {
        memory: Some(1 << 30),
        pids: Some(5),
        ..limits()
    };
    assert_eq!(with.needing_cgroup(), ["--memory", "--pids-limit"]);
}
