//! Moving bytes between streams: splice(2), what waits in a pipe, what kind of stream a descriptor is.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::pipe::SpliceFlags;

use crate::errno::{Context, Result};

/// What a descriptor leads to, as far as copying to it cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// A pipe or FIFO.
    Pipe,
    /// A regular file, or a device that is no terminal: always ready.
    File,
    /// A socket.
    Socket,
    /// A terminal.
    Terminal,
}

/// What kind of stream `fd` is.
pub fn kind(fd: impl AsFd) -> Result<StreamKind> {
    let mode = rustix::fs::fstat(&fd).call("fstat", String::new)?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Fifo => StreamKind::Pipe,
        FileType::Socket => StreamKind::Socket,
        FileType::CharacterDevice if rustix::termios::isatty(&fd) => StreamKind::Terminal,
        _ => StreamKind::File,
    })
}

/// Moves up to `length` bytes; one of the two must be a pipe. Never waits for a pipe (EAGAIN), may wait for the other
/// one. 0 is the end of `from`. EINVAL when the pair cannot be spliced, a file opened for appending for example.
pub fn splice(from: impl AsFd, to: impl AsFd, length: usize) -> Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    loop {
        match rustix::pipe::splice(from.as_fd(), None, to.as_fd(), None, length, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.call("splice", String::new),
        }
    }
}

/// Gives a pipe a larger buffer, in bytes, as far as the user's limit (pipe-user-pages-soft) allows: a busy pipe moves
/// more at each wake-up. What cannot be had is done without. Source: fcntl(2), F_SETPIPE_SZ.
pub fn enlarge(pipe: impl AsFd, bytes: usize) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
}

/// Bytes that can be read from a pipe now. Source: ioctl_pipe(2), FIONREAD.
pub fn available(pipe: impl AsFd) -> Result<u64> {
    rustix::io::ioctl_fionread(pipe).call("ioctl", || "FIONREAD".into())
}

/// Standard input of this process. EBADF on use when the process was started without one.
pub fn stdin() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

/// Standard output of this process; see [`stdin`].
pub fn stdout() -> BorrowedFd<'static> {
    rustix::stdio::stdout()
}

/// Standard error of this process; see [`stdin`].
pub fn stderr() -> BorrowedFd<'static> {
    rustix::stdio::stderr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::fd::{pipe, read, write_all};

    #[test]
    fn splice_between_pipes_does_not_wait() {
        let (a_read, a_write) = pipe().unwrap();
        let (b_read, b_write) = pipe().unwrap();
        assert_eq!(
            splice(&a_read, &b_write, 100).unwrap_err().errno,
            Errno::EAGAIN
        );
        write_all(&a_write, b"hello").unwrap();
        assert_eq!(available(&a_read).unwrap(), 5);
        assert_eq!(splice(&a_read, &b_write, 100).unwrap(), 5);
        let mut buffer = [0; 10];
        assert_eq!(read(&b_read, &mut buffer).unwrap(), 5);
        drop(a_write);
        assert_eq!(splice(&a_read, &b_write, 100).unwrap(), 0);
        assert_eq!(kind(&a_read).unwrap(), StreamKind::Pipe);
    }

    #[test]
    fn splice_into_an_appending_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let append = std::fs::File::options()
            .append(true)
            .open(file.path())
            .unwrap();
        let (read, write) = pipe().unwrap();
        write_all(&write, b"x").unwrap();
        assert_eq!(splice(&read, &append, 1).unwrap_err().errno, Errno::EINVAL);
        assert_eq!(kind(&append).unwrap(), StreamKind::File);
    }
}
