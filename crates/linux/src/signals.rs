//! Signals as a readable descriptor. Source: signalfd(2).

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::errno::{Context, Errno, Error, Result};

/// A set of signals that this thread no longer handles but reads. Signals whose default is to be ignored (SIGWINCH)
/// arrive as well: a blocked signal is never dropped.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks the signals in the calling thread (threads it starts later inherit that) and opens the descriptor, which
    /// does not block.
    pub fn block(numbers: &[i32]) -> Result<Self> {
        let mut set = SigSet::empty();
        for &number in numbers {
            let signal = Signal::try_from(number)
                .map_err(|_| Error::new("signalfd", format!("signal {number}"), Errno::EINVAL))?;
            set.add(signal);
        }
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .call("signalfd", String::new)?;
        let before = set
            .thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)
            .call("pthread_sigmask", || "SIG_BLOCK".into())?;
        Ok(Self { fd, before })
    }

    /// The next signal that has arrived, by number; `None` when there is none.
    pub fn next(&self) -> Result<Option<i32>> {
        let seen = self.fd.read_signal().call("read", || "signalfd".into())?;
        Ok(seen.map(|info| info.ssi_signo as i32))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The mask was valid before; setting it cannot fail.
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_by_default_arrive_too() {
        let signals = Signals::block(&[10, 28]).unwrap();
        assert_eq!(signals.next().unwrap(), None);
        nix::sys::signal::raise(Signal::SIGWINCH).unwrap();
        nix::sys::signal::raise(Signal::SIGUSR1).unwrap();
        let mut seen = vec![signals.next().unwrap(), signals.next().unwrap()];
        seen.sort_unstable();
        assert_eq!(seen, [Some(10), Some(28)]);
    }
}
