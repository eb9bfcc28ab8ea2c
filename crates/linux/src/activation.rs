//! Sockets handed over by a service manager. Source: sd_listen_fds(3).

#![allow(
    unsafe_code,
    reason = "a descriptor known by its number alone becomes an owned one"
)]

use std::os::fd::OwnedFd;

use crate::errno::Result;
use crate::fd;

/// First number of a passed descriptor.
const FIRST: i32 = 3;

/// Takes the descriptors that `LISTEN_PID` and `LISTEN_FDS` announce for this process; none when they are for another
/// one. Only the first call of a process returns them.
pub fn take(listen_pid: Option<&str>, listen_fds: Option<&str>) -> Result<Vec<OwnedFd>> {
    static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let count = announced(listen_pid, listen_fds, std::process::id());
    if count == 0 || TAKEN.swap(true, std::sync::atomic::Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    (FIRST..FIRST + count)
        .map(|number| {
            // SAFETY: the manager opened these numbers for this process before it ran its first instruction, nothing
            // of ours opens descriptors by number, and the flag above lets only one caller adopt them.
            unsafe { fd::adopt(number) }
        })
        .collect()
}

fn announced(listen_pid: Option<&str>, listen_fds: Option<&str>, own_pid: u32) -> i32 {
    let for_us = listen_pid.and_then(|pid| pid.parse::<u32>().ok()) == Some(own_pid);
    let count = listen_fds
        .and_then(|count| count.parse::<i32>().ok())
        .unwrap_or(0);
    if for_us { count.clamp(0, 64) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_announced_for_this_process() {
        assert_eq!(announced(Some("7"), Some("2"), 7), 2);
        assert_eq!(announced(Some("8"), Some("2"), 7), 0);
        assert_eq!(announced(None, Some("2"), 7), 0);
        assert_eq!(announced(Some("7"), Some("-1"), 7), 0);
        assert_eq!(announced(Some("7"), Some("x"), 7), 0);
    }
}
