//! Bytes on their way to a descriptor that may be slow: written as far as it takes them, kept otherwise.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use shedbox_linux::errno::Errno;
use shedbox_linux::{Result, fd};

/// Bytes kept for one slow reader before its source is no longer read.
pub(crate) const HIGH_WATER: usize = 256 << 10;

/// A non-blocking descriptor with what it has not taken yet.
#[derive(Debug)]
pub(crate) struct Sink {
    fd: OwnedFd,
    waiting: VecDeque<u8>,
}

impl Sink {
    /// Takes a descriptor over and makes it non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> Result<Self> {
        fd::set_nonblocking(&fd)?;
        Ok(Self {
            fd,
            waiting: VecDeque::new(),
        })
    }

    /// Writes or keeps `bytes`. An error means that nobody reads any more.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend(bytes);
        self.flush()
    }

    /// Writes what is kept, as far as it goes.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match fd::write(&self.fd, front) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.errno == Errno::EAGAIN => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Something is kept.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// So much is kept that its source should rest.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= HIGH_WATER
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_a_slow_reader_has_not_taken() {
        let (read, write) = fd::pipe().unwrap();
        let mut sink = Sink::new(write).unwrap();
        let bytes: Vec<u8> = (0..HIGH_WATER + 100_000).map(|i| i as u8).collect();
        sink.push(&bytes).unwrap();
        assert!(sink.is_waiting() && sink.is_full());
        let mut got = Vec::new();
        let mut chunk = vec![0; 50_000];
        while got.len() < bytes.len() {
            let count = fd::read(&read, &mut chunk).unwrap();
            got.extend_from_slice(&chunk[..count]);
            sink.flush().unwrap();
        }
        assert!(got == bytes);
        drop(read);
        assert_eq!(sink.push(b"x").unwrap_err().errno, Errno::EPIPE);
    }
}
