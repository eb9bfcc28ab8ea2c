//! The process that owns a sandbox: named by pid and start time, watched by pidfd.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use shedbox_linux::pidfd;

/// A process on this boot of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// Its pid as the daemon sees it.
    pub(crate) pid: i32,
    /// Its start time in clock ticks since boot: a reused pid has another one.
    pub(crate) start_time: u64,
}

impl Owner {
    /// Names a living process; `None` when it has ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self {
            pid,
            start_time: pidfd::start_time(&stat)?,
        })
    }

    /// A descriptor to watch it by; `None` when it has ended, also when its pid is another process's now.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        let pidfd = pidfd::open(self.pid).ok()?;
        // Looked at after the descriptor is open: from here on the pid cannot come to mean another process unnoticed.
        (Self::of(self.pid) == Some(*self)).then_some(pidfd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_pid_is_somebody_else() {
        let own = Owner::of(std::process::id() as i32).unwrap();
        assert!(own.open().is_some());
        assert!(
            Owner {
                start_time: own.start_time + 1,
                ..own
            }
            .open()
            .is_none()
        );
        assert!(Owner::of(i32::MAX).is_none());
    }
}
