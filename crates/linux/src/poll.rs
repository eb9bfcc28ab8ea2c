//! poll(2): what can be read or written now. For a process with few descriptors and no wish to keep a set in step.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::errno::{Context, Result};

/// One descriptor and what to wait for. With neither flag only a hang-up is reported.
#[derive(Debug, Clone, Copy)]
pub struct Interest<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Wait until it can be read.
    pub read: bool,
    /// Wait until it can be written.
    pub write: bool,
}

/// What is true of one descriptor now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// A read will not wait.
    pub read: bool,
    /// A write will not wait.
    pub write: bool,
    /// The other end has gone, or the descriptor is broken.
    pub hangup: bool,
}

impl Readiness {
    /// Anything at all.
    pub fn any(self) -> bool {
        self.read || self.write || self.hangup
    }
}

/// Waits until one of them is ready or the time is over; `None` waits for ever. One answer for each, in order.
pub fn poll(interests: &[Interest<'_>], timeout: Option<Duration>) -> Result<Vec<Readiness>> {
    let mut fds: Vec<PollFd<'_>> = interests
        .iter()
        .map(|interest| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, interest.read);
            flags.set(PollFlags::OUT, interest.write);
            PollFd::from_borrowed_fd(interest.fd, flags)
        })
        .collect();
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno).call("poll", || format!("{} descriptors", fds.len())),
    }
    Ok(fds
        .iter()
        .map(|fd| {
            let seen = fd.revents();
            Readiness {
                read: seen.contains(PollFlags::IN),
                write: seen.contains(PollFlags::OUT),
                hangup: seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn interest(fd: BorrowedFd<'_>, read: bool, write: bool) -> Interest<'_> {
        Interest { fd, read, write }
    }

    #[test]
    fn readiness_of_a_pipe() {
        let (read, write) = crate::fd::pipe().unwrap();
        let now = Some(Duration::ZERO);
        let seen = poll(
            &[
                interest(read.as_fd(), true, false),
                interest(write.as_fd(), false, true),
            ],
            now,
        )
        .unwrap();
        assert_eq!(
            seen,
            [
                Readiness::default(),
                Readiness {
                    write: true,
                    ..Readiness::default()
                }
            ]
        );
        drop(write);
        let seen = poll(&[interest(read.as_fd(), true, false)], now).unwrap();
        assert!(seen[0].hangup);
    }
}
