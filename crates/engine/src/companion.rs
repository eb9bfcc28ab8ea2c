//! Processes that outlive the daemon, as the engine talks to them: the keeper and the gateway of networks.
//!
//! Each listens at a socket of its own and answers one request after the other. One that has died is known by the end of
//! the connection; another one is started in its place, with the listening socket as descriptor [`LISTENER_FD`].

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shedbox_linux::errno::Errno;
use shedbox_linux::seqpacket::{self, SeqPacket};
use shedbox_linux::{Error as KernelError, pidfd};

use crate::error::{Doing, EngineError, Result, on_path};

/// Number at which such a process finds its listening socket.
const LISTENER_FD: i32 = 3;
/// One that takes longer than this for an answer is taken for dead: all of them take milliseconds.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What such a process is called in messages: "the keeper".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Companion(pub(crate) &'static str);

/// Why a conversation failed.
pub(crate) enum Trouble {
    /// It is dead; another one can be asked.
    Gone(KernelError),
    Other(EngineError),
}

impl Companion {
    /// Connects to whoever listens; `None` when nobody does.
    pub(crate) fn reach(self, socket: &Path) -> Result<Option<SeqPacket>> {
        match SeqPacket::connect(socket) {
            Ok(connection) => Ok(Some(connection)),
            Err(KernelError {
                errno: Errno::ENOENT | Errno::ECONNREFUSED,
                ..
            }) => Ok(None),
            Err(error) => Err(error).doing(|| format!("reach {} at {}", self.0, socket.display())),
        }
    }

    /// Asks, and waits for the answer; a descriptor may come with it.
    pub(crate) fn converse<Reply: DeserializeOwned>(
        self,
        connection: &SeqPacket,
        request: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Option<OwnedFd>), Trouble> {
        let gone = |error: KernelError| match error.errno {
            Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN => Trouble::Gone(error),
            _ => Trouble::Other(EngineError::Kernel {
                action: format!("talk to {}", self.0),
                source: error,
            }),
        };
        let silent = |what: &str| {
            let detail = format!("{} {what}", self.0);
            Trouble::Gone(KernelError::new("recvmsg", detail, Errno::ECONNRESET))
        };
        let language = |error: serde_json::Error| {
            Trouble::Other(self.protocol(&format!("speaks another language: {error}")))
        };
        let text = serde_json::to_vec(request).map_err(language)?;
        connection.send(&text, fds).map_err(gone)?;
        if !pidfd::readable(connection, Some(ANSWER_TIMEOUT)).map_err(gone)? {
            return Err(silent("does not answer"));
        }
        let mut frame = connection
            .recv()
            .map_err(gone)?
            .ok_or_else(|| silent("has gone"))?;
        let reply = serde_json::from_slice(&frame.bytes).map_err(language)?;
        Ok((reply, frame.fds.pop()))
    }

    /// Starts one that listens at `socket`, in the place of one that does not any more; `program` starts it with these
    /// descriptors and gives its pid. What it says on standard error goes to the log.
    pub(crate) fn start(
        socket: &Path,
        log: Option<&Path>,
        program: impl FnOnce(&[(BorrowedFd<'_>, i32)]) -> Result<i32>,
    ) -> Result<i32> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing(|| on_path("remove", socket));
            }
            _ => {}
        }
        let listener = seqpacket::listen(socket).doing(|| on_path("listen at", socket))?;
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .doing(|| "open /dev/null".to_owned())?;
        let log = log.and_then(|path| File::options().append(true).open(path).ok());
        let errors = log.as_ref().map_or(null.as_fd(), AsFd::as_fd);
        program(&[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (errors, 2),
            (listener.as_fd(), LISTENER_FD),
        ])
    }

    /// It does what it should not.
    pub(crate) fn protocol(self, complaint: &str) -> EngineError {
        EngineError::Protocol {
            party: self.0.to_owned(),
            complaint: complaint.to_owned(),
        }
    }
}
