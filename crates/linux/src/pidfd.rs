//! Process descriptors: name a process beyond reuse of its pid. Source: pidfd_open(2), pidfd_send_signal(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::errno::{Context, Errno, Error, Result};

/// Opens a descriptor of the process `pid`. Linux 5.3.
pub fn open(pid: i32) -> Result<OwnedFd> {
    let id = Pid::from_raw(pid)
        .ok_or_else(|| Error::new("pidfd_open", pid.to_string(), Errno::EINVAL))?;
    rustix::process::pidfd_open(id, PidfdFlags::empty()).call("pidfd_open", || pid.to_string())
}

/// Sends SIGKILL; a process that has ended already is no error.
pub fn kill(pidfd: BorrowedFd<'_>) -> Result<()> {
    send(pidfd, Signal::KILL, "SIGKILL")
}

/// Sends SIGTERM; a process that has ended already is no error.
pub fn terminate(pidfd: BorrowedFd<'_>) -> Result<()> {
    send(pidfd, Signal::TERM, "SIGTERM")
}

fn send(pidfd: BorrowedFd<'_>, signal: Signal, name: &str) -> Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.call("pidfd_send_signal", || name.to_owned()),
    }
}

/// Waits until the process has ended; false when `timeout` came first. `None` waits for ever.
pub fn wait(pidfd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<bool> {
    readable(pidfd, timeout)
}

/// Waits until a descriptor is readable or its other end has gone; false when `timeout` came first.
pub fn readable(fd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(|count| count > 0).call("poll", String::new),
        }
    }
}

/// Start time of a process in clock ticks since boot: with the pid it names a process across reboots of a daemon.
///
/// Parses the content of `/proc/<pid>/stat`. Source: proc_pid_stat(5), field 22.
pub fn start_time(stat: &str) -> Option<u64> {
    // The command name may hold spaces and brackets; fields are counted from the last bracket.
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_times_out_and_sees_the_end() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pidfd = open(child.id() as i32).unwrap();
        assert!(!wait(pidfd.as_fd(), Some(Duration::from_millis(10))).unwrap());
        kill(pidfd.as_fd()).unwrap();
        assert!(wait(pidfd.as_fd(), None).unwrap());
        child.wait().unwrap();
        kill(pidfd.as_fd()).unwrap();
    }

    #[test]
    fn start_time_of_a_process_with_an_odd_name() {
        let stat = "17 (a) b ) S 1 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1";
        assert_eq!(start_time(stat), Some(4711));
    }
}
