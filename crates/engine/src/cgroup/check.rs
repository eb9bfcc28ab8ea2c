//! Limits against what the host has.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use shedbox_spec::limits::{Limits, ids};
use shedbox_spec::{Error, Result};

/// CPUs and memory nodes of this host, as lists of ranges.
const CPUS_ONLINE: &str = "/sys/devices/system/cpu/online";
const NODES_ONLINE: &str = "/sys/devices/system/node/online";

/// Refuses what this host cannot give.
pub(super) fn against_host(limits: &Limits) -> Result<()> {
    // Nearly all limits have nothing to do with either, and a create reads no file for them.
    let online = |asked: bool, path: &str| {
        if !asked {
            return Vec::new();
        }
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // A kernel without NUMA has no nodes to show, and one.
        ids(text.trim()).unwrap_or_else(|_| vec![0])
    };
    let counted = limits.nano_cpus.is_some() || limits.cpuset_cpus.is_some();
    let cpus = online(counted, CPUS_ONLINE);
    let nodes = online(limits.cpuset_mems.is_some(), NODES_ONLINE);
    against(limits, &cpus, &nodes)
}

fn against(limits: &Limits, cpus: &[u32], nodes: &[u32]) -> Result<()> {
    let most = cpus.len() as u64 * 1_000_000_000;
    if let Some(nanos) = limits.nano_cpus
        && nanos > most
    {
        let cpus = cpus.len();
        return Err(Error::invalid(format!(
            "--cpus {} is more than this host has",
            nanos as f64 / 1e9
        ))
        .with_hint(format!("from 0.01 to {cpus}: there are {cpus} CPUs")));
    }
    for (list, there, option, what) in [
        (&limits.cpuset_cpus, cpus, "--cpuset-cpus", "CPU"),
        (&limits.cpuset_mems, nodes, "--cpuset-mems", "memory node"),
    ] {
        let Some(list) = list else { continue };
        if let Some(unknown) = ids(list)?.iter().find(|id| !there.contains(id)) {
            return Err(Error::invalid(format!(
                "{option} {list}: this host has no {what} {unknown}"
            ))
            .with_hint(format!("there are {}", ranges(there))));
        }
    }
    Ok(())
}

/// `0-3,5`.
fn ranges(ids: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *id => *last = *id,
            _ => parts.push((*id, *id)),
        }
    }
    let shown = parts.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Major and minor number of the disk behind a device file. Rates hold for whole disks, so a partition stands for its
/// disk. Source: cgroup-v2.rst, io.max; sysfs, `partition`.
pub(super) fn device(path: &str) -> Result<(u32, u32)> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Error::invalid(format!("device {path}: {error}")))?;
    if !metadata.file_type().is_block_device() {
        return Err(
            Error::invalid(format!("{path} is not a block device")).with_hint(
                "name the disk, for example `/dev/sda`; `lsblk` shows which one a file system is on",
            ),
        );
    }
    let numbers = (major(metadata.rdev()), minor(metadata.rdev()));
    Ok(disk_of(numbers).unwrap_or(numbers))
}

/// The disk of a partition.
fn disk_of((major, minor): (u32, u32)) -> Option<(u32, u32)> {
    let entry = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    if !entry.join("partition").exists() {
        return None;
    }
    numbers(&std::fs::read_to_string(entry.parent()?.join("dev")).ok()?)
}

/// `8:16`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Source: makedev(3), as Linux has numbered devices since 2.6.
fn major(device: u64) -> u32 {
    (((device >> 32) & 0xffff_f000) | ((device >> 8) & 0xfff)) as u32
}

fn minor(device: u64) -> u32 {
    (((device >> 12) & 0xffff_ff00) | (device & 0xff)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is() {
        let refused = |limits: Limits| against(&limits, &[0, 1, 2, 3, 5], &[0]).unwrap_err();
        let error = refused(Limits {
            nano_cpus: Some(5_500_000_000),
            ..Limits::default()
        });
        assert_eq!(error.message, "--cpus 5.5 is more than this host has");
        let error = refused(Limits {
            cpuset_cpus: Some("0,4".into()),
            ..Limits::default()
        });
        assert_eq!(
            (error.message.as_str(), error.hint.as_deref()),
            (
                "--cpuset-cpus 0,4: this host has no CPU 4",
                Some("there are 0-3,5")
            )
        );
        let error = refused(Limits {
            cpuset_mems: Some("1".into()),
            ..Limits::default()
        });
        assert!(error.message.contains("no memory node 1"));
        let good = Limits {
            nano_cpus: Some(5_000_000_000),
            cpuset_cpus: Some("5".into()),
            ..Limits::default()
        };
        assert_eq!(against(&good, &[0, 1, 2, 3, 5], &[0]), Ok(()));
    }

    #[test]
    fn devices() {
        assert!(device("/no/such/device").is_err());
        assert_eq!(
            device("/dev/null").unwrap_err().message,
            "/dev/null is not a block device"
        );
        assert_eq!(numbers("8:16\n"), Some((8, 16)));
        assert_eq!((major(0x0810), minor(0x0810)), (8, 16));
    }
}
