//! Pseudo terminals. Source: pty(7), ioctl_tty(2).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::errno::{Context, Result};

/// A new pseudo terminal of the devpts instance whose root directory is `pts`: (master, slave).
///
/// The slave is opened through the master (TIOCGPTPEER, Linux 4.13), not by a path that somebody may have replaced.
pub fn open(pts: impl AsFd) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let master = openat(pts, "ptmx", flags, Mode::empty()).call("openat", || "pts/ptmx".into())?;
    let slave = slave_of(&master)?;
    Ok((master, slave))
}

/// The slave side of an open master.
pub fn slave_of(master: impl AsFd) -> Result<OwnedFd> {
    let master = master.as_fd();
    unlockpt(master).call("ioctl", || "TIOCSPTLCK".into())?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    ioctl_tiocgptpeer(master, flags).call("ioctl", || "TIOCGPTPEER".into())
}

/// Sets the size of a terminal in character cells; its foreground processes get SIGWINCH when it changes.
pub fn set_size(terminal: impl AsFd, rows: u16, cols: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).call("ioctl", || "TIOCSWINSZ".into())
}
