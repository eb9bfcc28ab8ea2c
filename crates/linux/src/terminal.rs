//! The caller's own terminal: its size and its raw mode. Source: termios(3), ioctl_tty(2).

use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::errno::{Context, Result};

/// Size of a terminal in character cells, (rows, columns); `None` when it is not a terminal or does not know.
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A terminal in raw mode: every byte that is typed is passed on as it is. Dropping it restores what was before.
#[derive(Debug)]
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Saves the state of `terminal` and makes it raw. ENOTTY when it is not a terminal.
    pub fn enter(terminal: impl AsFd) -> Result<Self> {
        let terminal = rustix::io::fcntl_dupfd_cloexec(terminal, 3)
            .call("fcntl", || "F_DUPFD_CLOEXEC".into())?;
        let before = tcgetattr(&terminal).call("tcgetattr", String::new)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Drain, &raw).call("tcsetattr", String::new)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::termios::LocalModes;

    #[test]
    fn raw_and_back() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let echo = |fd: &OwnedFd| {
            tcgetattr(fd)
                .unwrap()
                .local_modes
                .contains(LocalModes::ECHO)
        };
        assert!(echo(&pty.slave));
        let raw = Raw::enter(&pty.slave).unwrap();
        assert!(!echo(&pty.slave));
        drop(raw);
        assert!(echo(&pty.slave));
        assert_eq!(size(&pty.slave), None);
        crate::pty::set_size(&pty.master, 31, 77).unwrap();
        assert_eq!(size(&pty.slave), Some((31, 77)));
    }

    #[test]
    fn a_pipe_is_no_terminal() {
        let (read, _write) = crate::fd::pipe().unwrap();
        assert_eq!(size(&read), None);
        assert_eq!(
            Raw::enter(&read).unwrap_err().errno,
            crate::errno::Errno::ENOTTY
        );
    }
}
