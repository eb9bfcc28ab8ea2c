//! Moves bytes between descriptors without taking them through the process's memory. Source: splice(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};

use crate::errno::{Context, Result};

/// A pipe that bytes rest in between two sockets. Neither end blocks.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// Makes one of the default size.
    pub fn new() -> Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .call("pipe2", || "O_NONBLOCK".into())?;
        Ok(Self { reader, writer })
    }

    /// Asks for another size and gives the one that it has then. EPERM beyond `/proc/sys/fs/pipe-max-size` or
    /// `pipe-user-pages-soft`; it keeps its size.
    pub fn resize(&self, bytes: usize) -> Result<usize> {
        fcntl_setpipe_size(&self.writer, bytes).call("fcntl", || format!("F_SETPIPE_SZ, {bytes}"))
    }

    /// The end that is read.
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The end that is written.
    pub fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Reads what rests in it, for those who cannot splice it on.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.reader, buffer)?)
    }
}

/// Moves up to `length` bytes; one of the two is a pipe. 0 is the end of the input. Does not wait: `WouldBlock` says that
/// the input is empty or the output full. EINVAL where the file system or the kind of socket cannot.
///
/// A broken output may raise SIGPIPE, which Rust's runtime ignores.
pub fn splice(from: impl AsFd, to: impl AsFd, length: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::pipe::splice(from, None, to, None, length, flags)?)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn bytes_go_through_and_the_end_shows() {
        let (mut sender, from) = UnixStream::pair().unwrap();
        let (to, mut receiver) = UnixStream::pair().unwrap();
        let pipe = Pipe::new().unwrap();
        assert_eq!(
            splice(pipe.reader(), &to, 10).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        sender.write_all(b"hello").unwrap();
        assert_eq!(splice(&from, pipe.writer(), 100).unwrap(), 5);
        assert_eq!(splice(pipe.reader(), &to, 2).unwrap(), 2);
        let mut rest = [0; 8];
        assert_eq!(pipe.read(&mut rest).unwrap(), 3);
        assert_eq!(&rest[..3], b"llo");
        let mut first = [0; 2];
        receiver.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"he");
        drop(sender);
        assert_eq!(splice(&from, pipe.writer(), 100).unwrap(), 0);
    }

    #[test]
    fn sizes_and_what_cannot_be_spliced() {
        let pipe = Pipe::new().unwrap();
        assert!(pipe.resize(8192).unwrap() >= 8192);
        let (a, b) = UnixStream::pair().unwrap();
        let error = splice(&a, &b, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
