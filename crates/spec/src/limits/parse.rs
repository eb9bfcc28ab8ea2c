//! Limits as people write them.

use super::{DiskBacking, DiskLimit, IoLimit};
use crate::size::parse_bytes;
use crate::{Error, Result};

/// Billionths of a CPU from a decimal number such as `1.5`.
pub fn cpus(text: &str) -> Result<u64> {
    let invalid = || {
        Error::invalid(format!("invalid number of CPUs `{text}`"))
            .with_hint("a decimal number such as `1.5`")
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() || text == "." || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(invalid());
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| invalid())?
    };
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| invalid())?;
    whole
        .checked_mul(1_000_000_000)
        .and_then(|nanos| nanos.checked_add(fraction))
        .ok_or_else(invalid)
}

/// The numbers of a list such as `0-3,5`, in order. Source: cpuset(7), list format.
pub fn ids(list: &str) -> Result<Vec<u32>> {
    let invalid = || {
        Error::invalid(format!("invalid list of CPUs or memory nodes `{list}`"))
            .with_hint("numbers and ranges, for example `0-3,5`")
    };
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u32 = first.parse().map_err(|_| invalid())?;
        let last: u32 = last.parse().map_err(|_| invalid())?;
        // No machine has more; a typing error must not become a gigabyte of numbers.
        if first > last || last > 1 << 16 {
            return Err(invalid());
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// `DEVICE:RATE` as (path, bytes or operations per second); with `bytes` the rate may have a unit.
pub fn device_rate(text: &str, bytes: bool) -> Result<(String, u64)> {
    let invalid = || {
        let example = if bytes {
            "/dev/sda:10m"
        } else {
            "/dev/sda:500"
        };
        Error::invalid(format!("invalid rate `{text}`")).with_hint(format!(
            "a device and what it may do in a second: `{example}`"
        ))
    };
    let (device, rate) = text.rsplit_once(':').ok_or_else(invalid)?;
    if !device.starts_with('/') {
        return Err(invalid());
    }
    let rate = if bytes {
        parse_bytes(rate)?
    } else {
        rate.parse().map_err(|_| invalid())?
    };
    Ok((device.to_owned(), rate))
}

/// `SIZE[,inodes=N][,backing=auto|quota|tmpfs|watchdog]`.
pub fn disk(text: &str) -> Result<DiskLimit> {
    let mut parts = text.split(',');
    let bytes = parse_bytes(parts.next().unwrap_or_default())?;
    let mut limit = DiskLimit {
        bytes,
        inodes: None,
        backing: DiskBacking::Auto,
    };
    if bytes == 0 {
        return Err(Error::invalid("a disk limit of 0 leaves no room at all"));
    }
    for part in parts {
        match part.split_once('=') {
            Some(("inodes", number)) => {
                let inodes = number.parse().ok().filter(|inodes| *inodes > 0);
                limit.inodes = Some(inodes.ok_or_else(|| {
                    Error::invalid(format!("invalid number of inodes `{number}`"))
                })?);
            }
            Some(("backing", name)) => {
                limit.backing = match name {
                    "auto" => DiskBacking::Auto,
                    "quota" => DiskBacking::Quota,
                    "tmpfs" => DiskBacking::Tmpfs,
                    "watchdog" => DiskBacking::Watchdog,
                    _ => {
                        return Err(Error::invalid(format!("unknown backing `{name}`"))
                            .with_hint("use auto, quota, tmpfs or watchdog"));
                    }
                }
            }
            _ => {
                return Err(Error::invalid(format!("unknown disk option `{part}`"))
                    .with_hint("for example `--disk 2g,inodes=100000,backing=quota`"));
            }
        }
    }
    Ok(limit)
}

impl IoLimit {
    /// The entry for a device in a list, made when it is not there yet.
    pub fn of<'a>(list: &'a mut Vec<Self>, device: &str) -> &'a mut Self {
        let index = list
            .iter()
            .position(|limit| limit.device == device)
            .unwrap_or_else(|| {
                list.push(Self {
                    device: device.to_owned(),
                    ..Self::default()
                });
                list.len() - 1
            });
        &mut list[index]
    }
}
