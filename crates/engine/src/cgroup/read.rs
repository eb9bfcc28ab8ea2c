//! The formats of cgroup files, as pure functions of their text. Source: cgroup-v2.rst, "Interface Files".

use shedbox_spec::api::{IoUse, Pressure, Stall};

/// `max`, or a number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of a key in a file of lines `key value`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(number)
}

/// `io.stat`: lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
pub(super) fn io(text: &str) -> Vec<IoUse> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let device = words.next().filter(|device| device.contains(':'))?;
            let mut found = IoUse {
                device: device.to_owned(),
                ..IoUse::default()
            };
            for word in words {
                let Some((key, value)) = word.split_once('=') else {
                    continue;
                };
                let value = value.parse().unwrap_or(0);
                match key {
                    "rbytes" => found.read_bytes = value,
                    "wbytes" => found.write_bytes = value,
                    "rios" => found.reads = value,
                    "wios" => found.writes = value,
                    _ => {}
                }
            }
            Some(found)
        })
        .collect()
}

/// A pressure file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and `full` likewise. `None` when it has no `some`.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let stall = |kind: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        let mut stall = Stall::default();
        for word in line.split_ascii_whitespace() {
            let (key, value) = word.split_once('=')?;
            match key {
                "avg10" => stall.avg10 = value.parse().ok()?,
                "avg60" => stall.avg60 = value.parse().ok()?,
                "avg300" => stall.avg300 = value.parse().ok()?,
                "total" => stall.total_us = value.parse().ok()?,
                _ => {}
            }
        }
        Some(stall)
    };
    Some(Pressure {
        some: stall("some")?,
        // The kernel has none for CPUs in old releases.
        full: stall("full"),
    })
}

/// The path of a process in the unified hierarchy, from `/proc/<pid>/cgroup`.
pub(super) fn own_group(proc_cgroup: &str) -> Option<&str> {
    proc_cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
}

/// Whether the unified hierarchy is mounted at `target`, from `/proc/self/mountinfo`.
pub(super) fn is_unified(mountinfo: &str, target: &str) -> bool {
    let mut kind = None;
    for line in mountinfo.lines() {
        let (mount, rest) = line.split_once(" - ").unwrap_or_default();
        if mount.split(' ').nth(4) == Some(target) {
            // The last one covers those before.
            kind = rest.split(' ').next();
        }
    }
    kind == Some("cgroup2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_keys() {
        assert_eq!((number("max\n"), number("17\n")), (None, Some(17)));
        let stat = "usage_usec 1200\nuser_usec 800\nnr_throttled 3\n";
        assert_eq!(keyed(stat, "user_usec"), Some(800));
        assert_eq!(keyed(stat, "user"), None);
        assert_eq!(keyed(stat, "system_usec"), None);
    }

    #[test]
    fn io_of_two_devices() {
        let text = "8:16 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n\
                    8:0 rbytes=1 wbytes=0 rios=1 wios=0\nnonsense\n";
        let found = io(text);
        assert_eq!(found.len(), 2);
        let first = IoUse {
            device: "8:16".into(),
            read_bytes: 4096,
            write_bytes: 8192,
            reads: 1,
            writes: 2,
        };
        assert_eq!(found[0], first);
    }

    #[test]
    fn pressure_with_and_without_full() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.00 total=123456\n\
                    full avg10=0.25 avg60=0.00 avg300=0.00 total=99\n";
        let found = pressure(text).unwrap();
        assert!((found.some.avg10 - 1.5).abs() < 1e-9 && found.some.total_us == 123_456);
        assert_eq!(found.full.unwrap().total_us, 99);
        let some = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(pressure(some).unwrap().full, None);
        assert_eq!(pressure(""), None);
        assert_eq!(pressure("some avg10=x total=1\n"), None);
    }

    #[test]
    fn groups_and_mounts() {
        assert_eq!(
            own_group("12:pids:/a\n0::/user.slice/x.scope\n"),
            Some("/user.slice/x.scope")
        );
        assert_eq!(own_group("12:pids:/a\n"), None);
        let unified = "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert!(is_unified(unified, "/sys/fs/cgroup"));
        let covered = format!("{unified}31 30 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n");
        assert!(!is_unified(&covered, "/sys/fs/cgroup"));
        assert!(!is_unified("", "/sys/fs/cgroup"));
    }
}
