//! Ends of pipes, terminals and conversations with an init, as the runtime waits for them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_linux::fd;
use shedbox_linux::seqpacket::{Frame, SeqPacket};
use shedbox_spec::control::{FollowUp, Reply, Request};
use shedbox_spec::{Error, Result};
use tokio::io::unix::AsyncFd;

/// One end of a pipe, or the master of a terminal.
#[derive(Debug)]
pub(super) struct End(AsyncFd<OwnedFd>);

impl End {
    /// Takes it over; what is read or written through it does not block from now on.
    pub(super) fn new(end: OwnedFd) -> Result<Self> {
        let failed =
            |error: &dyn std::fmt::Display| Error::internal(format!("use a pipe: {error}"));
        fd::set_nonblocking(&end).map_err(|error| failed(&error))?;
        watch(end).map(Self).map_err(|error| failed(&error))
    }

    /// A pipe: our reading end, and the writing end for the sandbox.
    pub(super) fn from_sandbox() -> Result<(Self, OwnedFd)> {
        let (read, write) = pipe()?;
        Ok((Self::new(read)?, write))
    }

    /// A pipe: our writing end, and the reading end for the sandbox.
    pub(super) fn to_sandbox() -> Result<(Self, OwnedFd)> {
        let (read, write) = pipe()?;
        Ok((Self::new(write)?, read))
    }

    /// Reads what is there, waiting for the first byte; 0 is the end. A terminal whose other side has closed gives EIO,
    /// which is an end as well. Source: pty(7).
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(outcome) = ready.try_io(|end| read_once(end.get_ref(), buffer)) {
                return outcome;
            }
        }
    }

    /// Reads what is there without waiting; `None` when nothing is.
    pub(super) fn read_now(&self, buffer: &mut [u8]) -> Option<usize> {
        read_once(self.0.get_ref(), buffer).ok()
    }

    /// Writes all of it.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            let outcome = ready.try_io(|end| fd::write(end.get_ref(), bytes).map_err(os_error));
            if let Ok(outcome) = outcome {
                bytes = &bytes[outcome?..];
            }
        }
        Ok(())
    }
}

/// Has the runtime wait for a descriptor.
#[expect(
    deprecated,
    reason = "its successor is unsafe; what that one asks for holds here: the descriptor is owned and stays the same one"
)]
fn watch<T: std::os::fd::AsRawFd>(end: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(end)
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    fd::pipe().map_err(|error| {
        Error::new(
            shedbox_spec::Kind::Exhausted,
            format!("cannot make a pipe: {error}"),
        )
        .with_hint("the daemon may have too many open files: `ulimit -n`")
    })
}

fn read_once(end: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match fd::read(end, buffer) {
        Err(error) if error.errno == Errno::EIO => Ok(0),
        other => other.map_err(os_error),
    }
}

fn os_error(error: shedbox_linux::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno as i32)
}

/// A conversation with the init of a sandbox about one command, its main process or its files.
#[derive(Debug)]
pub(super) struct Control(AsyncFd<SeqPacket>);

impl Control {
    /// Connects to the init at `socket` and asks; the descriptors go with the request.
    pub(super) fn ask(socket: &Path, request: &Request, fds: &[OwnedFd]) -> Result<Self> {
        let lost = |error: shedbox_linux::Error| match error.errno {
            Errno::ENOENT | Errno::ECONNREFUSED | Errno::EPIPE | Errno::ECONNRESET => {
                Error::conflict("the sandbox is not running")
            }
            _ => Error::internal(format!("cannot reach the sandbox: {error}")),
        };
        let connection = SeqPacket::connect(socket).map_err(lost)?;
        let frame = serde_json::to_vec(request).map_err(|error| internal(&error))?;
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        connection.send(&frame, &fds).map_err(lost)?;
        watch(connection)
            .map(Self)
            .map_err(|error| internal(&error))
    }

    /// The next answer; an error when the init has gone.
    pub(super) async fn reply(&self) -> Result<(Reply, Option<OwnedFd>)> {
        loop {
            let mut ready = self.0.readable().await.map_err(|error| internal(&error))?;
            let received = ready.try_io(|socket| socket.get_ref().try_recv().map_err(os_error));
            match received {
                Err(_) => {} // not ready after all
                Ok(Ok(Some(Frame { bytes, mut fds }))) => {
                    let reply = serde_json::from_slice(&bytes).map_err(|error| internal(&error))?;
                    return Ok((reply, fds.pop()));
                }
                Ok(Ok(None)) => return Err(Error::conflict("the sandbox has gone")),
                Ok(Err(error)) => return Err(internal(&error)),
            }
        }
    }

    /// Says something about the command. One that has ended already has nothing to hear.
    pub(super) fn follow_up(&self, what: &FollowUp) {
        if let Ok(frame) = serde_json::to_vec(what) {
            let _ = self.0.get_ref().try_send(&frame, &[]);
        }
    }
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("talking to the sandbox: {error}"))
}
