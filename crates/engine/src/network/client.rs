//! The gateway as the engine sees it: found or started when a sandbox needs it, asked one thing at a time.
//!
//! It survives the daemon. One that has died is replaced at the next request; it then knows nothing, so it is told all
//! networks, and the engine attaches again what runs.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shedbox_linux::errno::Errno;
use shedbox_linux::seqpacket::{self, SeqPacket};
use shedbox_linux::spawn::{self, Program};
use shedbox_linux::{Error as KernelError, pidfd};
use shedbox_spec::gateway::{GATEWAY_VERSION, NetworkSetup, Outbound, Reply, Request};

use crate::error::{Doing, EngineError, Result, on_path};

/// Number at which the gateway finds its listening socket.
const LISTENER_FD: i32 = 3;
/// Attaching takes about a millisecond; a gateway that is being started takes longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Of the daemon's environment: whose it is, and where programs are.
const KEPT: [&str; 2] = ["SHEDBOX_ROOT", "PATH"];

/// The connection to it.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    /// Where it writes what policies decided.
    audit: PathBuf,
    log: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<SeqPacket>,
    /// When this process started it.
    child: Option<i32>,
}

/// A gateway that was not there before.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Becomes readable when it ends.
    pub(crate) pidfd: OwnedFd,
    /// It was started just now, and knows no sandbox.
    pub(crate) started: bool,
}

enum Trouble {
    Gone(KernelError),
    Other(EngineError),
}

impl Client {
    pub(crate) fn new(socket: PathBuf, audit: PathBuf, log: Option<PathBuf>) -> Self {
        Self {
            socket,
            audit,
            log,
            state: Mutex::default(),
        }
    }

    /// Somebody listens there.
    pub(crate) fn is_there(&self) -> bool {
        SeqPacket::connect(&self.socket).is_ok()
    }

    /// Asks. `networks` tells what a gateway that is new to this daemon has to know first; it is returned when there was
    /// one, whatever came of the request: it is to be watched after a refusal, too. One that has gone again is not, or one
    /// that dies of every request would be started for ever.
    pub(crate) fn ask(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
        networks: impl Fn() -> Vec<NetworkSetup>,
    ) -> (Result<Reply>, Option<Fresh>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = None;
        let reply = self.ask_some(&mut state, &mut fresh, request, fds, networks);
        (reply, fresh.filter(|_| state.connection.is_some()))
    }

    fn ask_some(
        &self,
        state: &mut State,
        fresh: &mut Option<Fresh>,
        request: &Request,
        fds: &[BorrowedFd<'_>],
        networks: impl Fn() -> Vec<NetworkSetup>,
    ) -> Result<Reply> {
        let mut retried = false;
        loop {
            if state.connection.is_none() {
                *fresh = Some(self.connect(state, &networks)?);
            }
            // Set just above when it was not there.
            let Some(connection) = &state.connection else {
                return Err(protocol("is not there"));
            };
            match converse(connection, request, fds) {
                Ok(Reply::Failed(error)) => return Err(error.into()),
                Ok(reply) => return Ok(reply),
                Err(Trouble::Gone(error)) => {
                    state.connection = None;
                    if retried {
                        return Err(error).doing(|| "talk to the gateway".to_owned());
                    }
                    tracing::warn!(error = error.to_string(), "the gateway has gone");
                    retried = true;
                }
                Err(Trouble::Other(error)) => return Err(error),
            }
        }
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connection
            .is_some()
    }

    fn connect(
        &self,
        state: &mut State,
        networks: impl Fn() -> Vec<NetworkSetup>,
    ) -> Result<Fresh> {
        if let Some(pid) = state.child.filter(|pid| spawn::reap(*pid)) {
            tracing::debug!(pid, "reaped the gateway");
            state.child = None;
        }
        let (connection, pid, started) = if let Some((connection, pid)) = self.greet()? {
            (connection, pid, false)
        } else {
            self.start(state)?;
            let (connection, pid) = self
                .greet()?
                .ok_or_else(|| protocol("ended at once; the daemon's log says why"))?;
            tracing::info!(pid, "gateway started");
            (connection, pid, true)
        };
        let pidfd = pidfd::open(pid).doing(|| "watch the gateway".to_owned())?;
        for network in networks() {
            match converse(&connection, &Request::AddNetwork(network), &[]) {
                Ok(Reply::Done) => {}
                Ok(Reply::Failed(error)) => return Err(error.into()),
                Ok(_) => return Err(protocol("did not take a network")),
                Err(Trouble::Gone(error)) => {
                    return Err(error).doing(|| "talk to the gateway".to_owned());
                }
                Err(Trouble::Other(error)) => return Err(error),
            }
        }
        state.connection = Some(connection);
        Ok(Fresh { pidfd, started })
    }

    /// Who listens, when somebody of our version does.
    fn greet(&self) -> Result<Option<(SeqPacket, i32)>> {
        let connection = match SeqPacket::connect(&self.socket) {
            Ok(connection) => connection,
            Err(KernelError {
                errno: Errno::ENOENT | Errno::ECONNREFUSED,
                ..
            }) => return Ok(None),
            Err(error) => {
                return Err(error).doing(|| on_path("reach the gateway at", &self.socket));
            }
        };
        match converse(&connection, &Request::Hello, &[]) {
            Ok(Reply::Hello {
                version,
                pid,
                outbound,
            }) if version == GATEWAY_VERSION => {
                if let Outbound::Absent(error) = outbound {
                    tracing::warn!(hint = error.hint.as_deref(), "{}", error.message);
                }
                Ok(Some((connection, pid)))
            }
            Ok(_) => Err(protocol("is of another release than the daemon")),
            Err(Trouble::Gone(_)) => Ok(None),
            Err(Trouble::Other(error)) => Err(error),
        }
    }

    fn start(&self, state: &mut State) -> Result<()> {
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing(|| on_path("remove", &self.socket));
            }
            _ => {}
        }
        let listener =
            seqpacket::listen(&self.socket).doing(|| on_path("listen at", &self.socket))?;
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .doing(|| "open /dev/null".to_owned())?;
        let log = self
            .log
            .as_ref()
            .and_then(|path| File::options().append(true).open(path).ok());
        let errors = log.as_ref().map_or(null.as_fd(), AsFd::as_fd);
        let fds = [
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (errors, 2),
            (listener.as_fd(), LISTENER_FD),
        ];
        let argv = [
            OsStr::new("shedbox"),
            OsStr::new("gateway"),
            self.audit.as_os_str(),
        ];
        let program = Path::new("/proc/self/exe");
        let pid = spawn::session(Program::Path(program), &argv, &KEPT, &fds)
            .doing(|| "start the gateway".to_owned())?;
        state.child = Some(pid);
        Ok(())
    }
}

fn converse(
    connection: &SeqPacket,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<Reply, Trouble> {
    let gone = |error: KernelError| match error.errno {
        Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN => Trouble::Gone(error),
        _ => Trouble::Other(EngineError::Kernel {
            action: "talk to the gateway".to_owned(),
            source: error,
        }),
    };
    let silent = |words: &str| {
        Trouble::Gone(KernelError::new(
            "recvmsg",
            words.to_owned(),
            Errno::ECONNRESET,
        ))
    };
    let language = |error: serde_json::Error| {
        Trouble::Other(protocol(&format!("speaks another language: {error}")))
    };
    let text = serde_json::to_vec(request).map_err(language)?;
    connection.send(&text, fds).map_err(gone)?;
    if !pidfd::readable(connection, Some(ANSWER_TIMEOUT)).map_err(gone)? {
        return Err(silent("the gateway does not answer"));
    }
    let frame = connection
        .recv()
        .map_err(gone)?
        .ok_or_else(|| silent("the gateway has gone"))?;
    serde_json::from_slice(&frame.bytes).map_err(language)
}

fn protocol(complaint: &str) -> EngineError {
    EngineError::Protocol {
        party: "the gateway".to_owned(),
        complaint: complaint.to_owned(),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
