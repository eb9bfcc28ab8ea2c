//! One stream on its way through this process: from a command's pipe to where it is wanted, or the other way.
//!
//! Nothing here waits: [`Outflow::advance`] and [`Inflow::advance`] are called when poll(2) says so and stop at what
//! would block. Between pipes and files the bytes move by splice(2) and are never seen by this process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use shedbox_linux::errno::Errno;
use shedbox_linux::poll::{Interest, poll};
use shedbox_linux::stream::{self, StreamKind};
use shedbox_linux::{Error, Result, fd};
use shedbox_spec::detach_keys::Matcher;

use super::capture::Capture;
use super::stdio::Fd;

/// Bytes moved at once through memory: what a pipe holds unless it is enlarged.
const CHUNK: usize = 64 << 10;
/// Bytes moved at once by splice, and the size of a pipe that is found full.
const LARGE: usize = 1 << 20;
/// Bytes written at once to what has no non-blocking mode of its own, a terminal: what it takes once it is writable.
const SMALL_CHUNK: usize = 4 << 10;

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    Ended,
}

/// Where output goes.
#[derive(Debug)]
pub(crate) enum To {
    Fd(Fd),
    Memory(Capture),
}

/// Output of a command.
#[derive(Debug)]
pub(crate) struct Outflow {
    from: OwnedFd,
    pub(crate) to: To,
    kind: StreamKind,
    splice: bool,
    /// Read and not written yet.
    pending: Vec<u8>,
    written: usize,
    /// The destination takes nothing now.
    blocked: bool,
    /// The pipe has been found full and was enlarged.
    enlarged: bool,
    /// The command has ended: so many bytes are still to come, whoever else holds the pipe.
    left: Option<u64>,
}

impl Outflow {
    /// Copies `from`, a pipe or the master of a terminal.
    pub(crate) fn new(from: OwnedFd, to: To) -> Result<Self> {
        let kind = match &to {
            To::Fd(fd) => stream::kind(fd)?,
            To::Memory(_) => StreamKind::File,
        };
        let from_pipe = matches!(to, To::Fd(_)) && stream::kind(&from)? == StreamKind::Pipe;
        let splice = from_pipe && matches!(kind, StreamKind::Pipe | StreamKind::File);
        Ok(Self {
            from,
            to,
            kind,
            splice,
            pending: Vec::new(),
            written: 0,
            blocked: false,
            enlarged: false,
            left: None,
        })
    }

    /// What to wait for.
    pub(crate) fn interest(&self) -> Interest<'_> {
        match &self.to {
            To::Fd(to) if self.blocked => Interest {
                fd: to.as_fd(),
                read: false,
                write: true,
            },
            _ => Interest {
                fd: self.from.as_fd(),
                read: true,
                write: false,
            },
        }
    }

    /// The command has ended: only what is in the pipe now is still its output.
    pub(crate) fn finish(&mut self) -> Flow {
        let left = match stream::kind(&self.from) {
            Ok(StreamKind::Pipe) => stream::available(&self.from).unwrap_or(0),
            // A terminal: bytes may still be on their way through the kernel; reading stops when poll finds none.
            _ => 1 << 20,
        };
        self.left = Some(left);
        self.state()
    }

    fn state(&self) -> Flow {
        if self.left == Some(0) && self.pending.is_empty() {
            Flow::Ended
        } else {
            Flow::Open
        }
    }

    /// Moves what can be moved. An error of the destination ends the stream.
    pub(crate) fn advance(&mut self, buffer: &mut Vec<u8>) -> Result<Flow> {
        let was_blocked = std::mem::take(&mut self.blocked);
        if !self.pending.is_empty() {
            self.flush()?;
            return Ok(self.state());
        }
        let wanted = self.left.map_or(LARGE, |left| LARGE.min(left as usize));
        if self.splice {
            let To::Fd(to) = &self.to else {
                return Ok(Flow::Ended);
            };
            match stream::splice(&self.from, to, wanted) {
                Ok(0) => return Ok(Flow::Ended),
                Ok(count) => {
                    self.count(count);
                    return Ok(self.state());
                }
                // One of the two was ready, so it is the other one that is not.
                Err(error) if error.errno == Errno::EAGAIN => {
                    self.blocked = !was_blocked;
                    return Ok(self.state());
                }
                Err(error) if error.errno == Errno::EINVAL => self.splice = false,
                Err(error) => return Err(error),
            }
        }
        let small = self.kind == StreamKind::Terminal;
        let wanted = wanted.min(if small { SMALL_CHUNK } else { CHUNK });
        if let To::Fd(to) = &self.to
            && !writable(to.as_fd(), self.kind)?
        {
            self.blocked = true;
            return Ok(self.state());
        }
        buffer.resize(wanted, 0);
        let count = match fd::read(&self.from, buffer) {
            Ok(0) => return Ok(Flow::Ended),
            Ok(count) => count,
            Err(error) if error.errno == Errno::EAGAIN => return Ok(self.state()),
            // The last process that had the terminal open has closed it.
            Err(error) if error.errno == Errno::EIO => return Ok(Flow::Ended),
            Err(error) => return Err(error),
        };
        self.count(count);
        match &mut self.to {
            To::Memory(capture) => capture
                .push(&buffer[..count])
                .map_err(|error| Error::from_io("write", "spill file", &error))?,
            To::Fd(_) => {
                self.pending.extend_from_slice(&buffer[..count]);
                self.flush()?;
            }
        }
        Ok(self.state())
    }

    fn count(&mut self, count: usize) {
        if count >= CHUNK && !self.enlarged {
            self.enlarged = true;
            stream::enlarge(&self.from, LARGE);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
        }
    }

    fn flush(&mut self) -> Result<()> {
        let To::Fd(to) = &self.to else { return Ok(()) };
        while self.written < self.pending.len() {
            let end = self.pending.len().min(
                self.written
                    + if self.kind == StreamKind::Terminal {
                        SMALL_CHUNK
                    } else {
                        CHUNK
                    },
            );
            match fd::write(to, &self.pending[self.written..end]) {
                Ok(count) => self.written += count,
                Err(error) if error.errno == Errno::EAGAIN => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(())
    }

    /// A terminal that has nothing to say after the end of its command is done.
    pub(crate) fn ends_when_silent(&self) -> bool {
        self.left.is_some() && self.pending.is_empty() && !self.blocked
    }
}

fn writable(fd: BorrowedFd<'_>, kind: StreamKind) -> Result<bool> {
    if kind == StreamKind::File {
        return Ok(true);
    }
    let seen = poll(
        &[Interest {
            fd,
            read: false,
            write: true,
        }],
        Some(Duration::ZERO),
    )?;
    Ok(seen.iter().any(|seen| seen.any()))
}

/// Input of a command.
#[derive(Debug)]
pub(crate) struct Inflow {
    /// Absent when only `pending` is to be sent.
    from: Option<Fd>,
    /// Non-blocking.
    to: OwnedFd,
    splice: bool,
    pending: Vec<u8>,
    written: usize,
    blocked: bool,
    keys: Option<Matcher>,
}

/// What came of moving input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Open,
    Ended,
    /// The detach keys were typed.
    Detach,
}

impl Inflow {
    /// Copies `from` to `to`, a pipe or the master of a terminal; looks for the detach keys on the way.
    pub(crate) fn new(from: Fd, to: OwnedFd, keys: Option<Matcher>) -> Result<Self> {
        fd::set_nonblocking(&to)?;
        let splice =
            keys.is_none() && matches!(stream::kind(&from)?, StreamKind::Pipe | StreamKind::File);
        Ok(Self {
            from: Some(from),
            to,
            splice,
            pending: Vec::new(),
            written: 0,
            blocked: false,
            keys,
        })
    }

    /// Sends these bytes and ends.
    pub(crate) fn bytes(bytes: Vec<u8>, to: OwnedFd) -> Result<Self> {
        fd::set_nonblocking(&to)?;
        Ok(Self {
            from: None,
            to,
            splice: false,
            pending: bytes,
            written: 0,
            blocked: true,
            keys: None,
        })
    }

    /// What to wait for.
    pub(crate) fn interest(&self) -> Interest<'_> {
        match &self.from {
            Some(from) if !self.blocked => Interest {
                fd: from.as_fd(),
                read: true,
                write: false,
            },
            _ => Interest {
                fd: self.to.as_fd(),
                read: false,
                write: true,
            },
        }
    }

    /// Moves what can be moved. A command that reads no more ends its input without an error.
    pub(crate) fn advance(&mut self, buffer: &mut Vec<u8>) -> Result<Moved> {
        let was_blocked = std::mem::take(&mut self.blocked);
        if self.written < self.pending.len() {
            return self.flush();
        }
        let Some(from) = &self.from else {
            return Ok(Moved::Ended);
        };
        if self.splice {
            match stream::splice(from, &self.to, CHUNK) {
                Ok(0) => return Ok(Moved::Ended),
                Ok(_) => return Ok(Moved::Open),
                // One of the two was ready, so it is the other one that is not.
                Err(error) if error.errno == Errno::EAGAIN => {
                    self.blocked = !was_blocked;
                    return Ok(Moved::Open);
                }
                Err(error) if error.errno == Errno::EPIPE => return Ok(Moved::Ended),
                Err(error) if error.errno == Errno::EINVAL => self.splice = false,
                Err(error) => return Err(error),
            }
        }
        buffer.resize(CHUNK, 0);
        let count = match fd::read(from, buffer) {
            Ok(0) => return Ok(Moved::Ended),
            Ok(count) => count,
            Err(error) if error.errno == Errno::EAGAIN => return Ok(Moved::Open),
            // The terminal has gone, or it belongs to another session.
            Err(error) if error.errno == Errno::EIO => return Ok(Moved::Ended),
            Err(error) => return Err(error),
        };
        match &mut self.keys {
            Some(keys) => {
                if keys.feed(&buffer[..count], &mut self.pending) {
                    return Ok(Moved::Detach);
                }
            }
            None => self.pending.extend_from_slice(&buffer[..count]),
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<Moved> {
        while self.written < self.pending.len() {
            match fd::write(&self.to, &self.pending[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.errno == Errno::EAGAIN => {
                    self.blocked = true;
                    return Ok(Moved::Open);
                }
                Err(error) if matches!(error.errno, Errno::EPIPE | Errno::EIO) => {
                    return Ok(Moved::Ended);
                }
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(if self.from.is_some() {
            Moved::Open
        } else {
            Moved::Ended
        })
    }
}
