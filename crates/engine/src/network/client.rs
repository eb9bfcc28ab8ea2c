//! The gateway as the engine sees it: found or started when a sandbox needs it, asked one thing at a time.
//!
//! It survives the daemon. One that has died is replaced at the next request; it then knows nothing, so it is told all
//! networks, and the engine attaches again what runs.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use shedbox_linux::errno::Errno;
use shedbox_linux::pidfd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::spawn::{self, Program};
use shedbox_linux::userns;
use shedbox_spec::gateway::{GATEWAY_VERSION, NetworkSetup, Outbound, Reply, Request};

use crate::companion::{ANSWER_TIMEOUT, Companion, Trouble};
use crate::error::{Doing, Result};

/// How the gateway is spoken to.
pub(super) const GATEWAY: Companion = Companion("the gateway");
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
                return Err(GATEWAY.protocol("is not there"));
            };
            match GATEWAY.converse(connection, request, fds) {
                Ok((Reply::Failed(error), _)) => return Err(error.into()),
                Ok((reply, _)) => return Ok(reply),
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
                .ok_or_else(|| GATEWAY.protocol("ended at once; the daemon's log says why"))?;
            tracing::info!(pid, "gateway started");
            (connection, pid, true)
        };
        let pidfd = pidfd::open(pid).doing(|| "watch the gateway".to_owned())?;
        for network in networks() {
            match GATEWAY.converse(&connection, &Request::AddNetwork(network), &[]) {
                Ok((Reply::Done, _)) => {}
                Ok((Reply::Failed(error), _)) => return Err(error.into()),
                Ok(_) => return Err(GATEWAY.protocol("did not take a network")),
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
        let Some(connection) = GATEWAY.reach(&self.socket)? else {
            return Ok(None);
        };
        let own = userns::own_id().doing(|| "look at the user namespace".to_owned())?;
        match GATEWAY.converse(&connection, &Request::Hello, &[]) {
            Ok((
                Reply::Hello {
                    version: GATEWAY_VERSION,
                    pid,
                    user_namespace,
                    outbound,
                },
                _,
            )) if user_namespace == own => {
                if let Outbound::Absent(error) = outbound {
                    tracing::warn!(hint = error.hint.as_deref(), "{}", error.message);
                }
                Ok(Some((connection, pid)))
            }
            // An update has left it behind, or daemon and keeper have ended with nothing to hold their user namespace but it.
            // What it had connected is connected again by its successor.
            Ok((Reply::Hello { version, pid, .. }, _)) => {
                tracing::info!(
                    pid,
                    version,
                    "the gateway is of another release or user namespace and is replaced"
                );
                end(pid)?;
                Ok(None)
            }
            Ok(_) => Err(GATEWAY.protocol("does not say who it is")),
            Err(Trouble::Gone(_)) => Ok(None),
            Err(Trouble::Other(error)) => Err(error),
        }
    }

    fn start(&self, state: &mut State) -> Result<()> {
        // One that hangs would keep ports and interfaces.
        if let Some(pid) = state.child.take() {
            end(pid)?;
            spawn::reap(pid);
        }
        let argv = [
            OsStr::new("shedbox"),
            OsStr::new("gateway"),
            self.audit.as_os_str(),
        ];
        let program = Program::Path(Path::new("/proc/self/exe"));
        let pid = Companion::start(&self.socket, self.log.as_deref(), |fds| {
            spawn::session(program, &argv, &KEPT, fds).doing(|| "start the gateway".to_owned())
        })?;
        state.child = Some(pid);
        Ok(())
    }
}

/// Ends a gateway, and waits until its interfaces and ports are free.
fn end(pid: i32) -> Result<()> {
    let doing = || format!("end the gateway, process {pid}");
    if pid == std::process::id() as i32 {
        return Err(GATEWAY.protocol("says that it is this process"));
    }
    let pidfd = match pidfd::open(pid) {
        Err(error) if error.errno == Errno::ESRCH => return Ok(()),
        other => other.doing(doing)?,
    };
    pidfd::kill(pidfd.as_fd()).doing(doing)?;
    pidfd::wait(pidfd.as_fd(), Some(ANSWER_TIMEOUT)).doing(doing)?;
    Ok(())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
