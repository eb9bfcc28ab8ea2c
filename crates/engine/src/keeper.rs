//! The keeper as the engine sees it: found or started, asked for generations.
//!
//! The keeper runs from a sealed copy of its program, so that nothing that can write our files can change what clones
//! the generations. It survives the daemon; one that is gone is replaced at the next request, and generations it had
//! cloned go on without it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use shedbox_linux::errno::Errno;
use shedbox_linux::seqpacket::{self, SeqPacket};
use shedbox_linux::spawn::{self, Program};
use shedbox_spec::control::{KeeperReply, KeeperRequest, PROTOCOL_VERSION};
use shedbox_spec::generation::GenerationSpec;

use crate::companion::{Companion, Trouble};
use crate::error::{Doing, EngineError, Result, on_path};

const KEEPER: Companion = Companion("the keeper");

/// A keeper that answers.
#[derive(Debug)]
pub struct Greeting {
    /// The connection to it.
    pub connection: SeqPacket,
    /// Its user namespace.
    pub namespace: OwnedFd,
    /// The version it speaks.
    pub version: u32,
    /// Its pid.
    pub pid: i32,
}

/// Asks whoever listens at `socket` who it is; `None` when nobody does.
///
/// A daemon that is about to enter its user namespace asks first, so that it joins the one that holds its sandboxes.
pub fn greet(socket: &Path) -> Result<Option<Greeting>> {
    let Some(connection) = KEEPER.reach(socket)? else {
        return Ok(None);
    };
    match KEEPER.converse(&connection, &KeeperRequest::Hello, &[]) {
        Ok((KeeperReply::Hello { version, pid }, Some(namespace))) => Ok(Some(Greeting {
            connection,
            namespace,
            version,
            pid,
        })),
        Ok(_) => Err(KEEPER.protocol("did not say who it is")),
        // It died between the connection and the answer.
        Err(Trouble::Gone(_)) => Ok(None),
        Err(Trouble::Other(error)) => Err(error),
    }
}

/// What the engine knows of the keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    socket: PathBuf,
    log: Option<PathBuf>,
    /// The connection and, when this process started it, its pid. Held for one question and its answer.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<SeqPacket>,
    child: Option<i32>,
}

/// Whose namespaces a new generation shares.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Join<'a> {
    /// Nobody's.
    Nobody,
    /// User and network namespaces of the living generation behind a pidfd.
    Live(BorrowedFd<'a>),
    /// The network namespace of another sandbox's init, by its pidfd.
    Network(BorrowedFd<'a>),
}

impl<'a> Join<'a> {
    fn pidfd(self) -> Option<BorrowedFd<'a>> {
        match self {
            Self::Nobody => None,
            Self::Live(pidfd) | Self::Network(pidfd) => Some(pidfd),
        }
    }
}

impl Keeper {
    pub(crate) fn new(socket: PathBuf, log: Option<PathBuf>) -> Self {
        Self {
            socket,
            log,
            state: Mutex::default(),
        }
    }

    /// Finds or starts the keeper now instead of at the first request.
    pub(crate) fn ensure(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.connected(&mut state).map(drop)
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> Result<i32> {
        match self.ask(&KeeperRequest::Hello, &[])? {
            (KeeperReply::Hello { pid, .. }, _) => Ok(pid),
            _ => Err(KEEPER.protocol("did not say who it is")),
        }
    }

    /// Makes a cgroup namespace whose root is the group of a directory.
    pub(crate) fn cgroup_namespace(&self, directory: BorrowedFd<'_>) -> Result<OwnedFd> {
        match self.ask(&KeeperRequest::CgroupNamespace, &[directory])? {
            (KeeperReply::Namespace, Some(namespace)) => Ok(namespace),
            (KeeperReply::Failed(failure), _) => Err(EngineError::Generation {
                sandbox: "in a cgroup".to_owned(),
                failure,
            }),
            _ => Err(KEEPER.protocol("did not make a cgroup namespace")),
        }
    }

    /// Clones a generation; gives the pid and pidfd of its init. `cgroup` is the directory of its group and the
    /// namespace whose root that is.
    pub(crate) fn spawn(
        &self,
        spec: GenerationSpec,
        [control, listener, log]: [BorrowedFd<'_>; 3],
        cgroup: Option<[BorrowedFd<'_>; 2]>,
        join: Join<'_>,
    ) -> Result<(i32, OwnedFd)> {
        let sandbox = spec.sandbox.get(..12).unwrap_or(&spec.sandbox).to_owned();
        let request = KeeperRequest::Spawn {
            spec: Box::new(spec),
            cgroup: cgroup.is_some(),
            join: matches!(join, Join::Live(_)),
            join_network: matches!(join, Join::Network(_)),
        };
        let fds: Vec<_> = [control, listener, log]
            .into_iter()
            .chain(cgroup.into_iter().flatten())
            .chain(join.pidfd())
            .collect();
        match self.ask(&request, &fds)? {
            (KeeperReply::Spawned { pid }, Some(pidfd)) => Ok((pid, pidfd)),
            (KeeperReply::Failed(failure), _) => Err(EngineError::Generation { sandbox, failure }),
            _ => Err(KEEPER.protocol("did not answer a request to clone")),
        }
    }

    /// Asks; should the keeper have died, another one.
    fn ask(
        &self,
        request: &KeeperRequest,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(KeeperReply, Option<OwnedFd>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut retried = false;
        loop {
            let connection = self.connected(&mut state)?;
            match KEEPER.converse(connection, request, fds) {
                Ok(answer) => return Ok(answer),
                // Should it have cloned before it died: the caller's next attempt has another control socket, and an
                // init whose control socket closes before it is activated leaves by itself.
                Err(Trouble::Gone(error)) if !retried => {
                    tracing::warn!(
                        error = error.to_string(),
                        "the keeper has gone; starting another one"
                    );
                    state.connection = None;
                    retried = true;
                }
                Err(Trouble::Gone(error)) => {
                    state.connection = None;
                    return Err(error).doing(|| "talk to the keeper".to_owned());
                }
                Err(Trouble::Other(error)) => return Err(error),
            }
        }
    }

    fn connected<'a>(&self, state: &'a mut State) -> Result<&'a SeqPacket> {
        if state.connection.is_none() {
            if let Some(pid) = state.child.filter(|pid| spawn::reap(*pid)) {
                tracing::debug!(pid, "reaped the keeper");
                state.child = None;
            }
            let connection = match greet(&self.socket)? {
                Some(greeting) if greeting.version == PROTOCOL_VERSION => greeting.connection,
                // One of another version leaves when its generations have ended; ours takes over its name.
                _ => self.start(state)?,
            };
            state.connection = Some(connection);
        }
        // Set three lines above when it was not there.
        state
            .connection
            .as_ref()
            .ok_or_else(|| KEEPER.protocol("is not there"))
    }

    fn start(&self, state: &mut State) -> Result<SeqPacket> {
        let pid = Companion::start(&self.socket, self.log.as_deref(), start_program)?;
        state.child = Some(pid);
        let greeting = greet(&self.socket)?.ok_or_else(|| KEEPER.protocol("ended at once"))?;
        if greeting.version != PROTOCOL_VERSION {
            return Err(KEEPER.protocol("is of another release than the daemon"));
        }
        tracing::info!(pid = greeting.pid, "keeper started");
        Ok(greeting.connection)
    }
}

/// All that the keeper, and so every init, has of the daemon's environment: by it the owner can tell whose it is. Inside
/// nobody can read it (init is not dumpable).
const KEPT: [&str; 1] = ["SHEDBOX_ROOT"];

/// Starts `$SHEDBOX_KEEPER`, else `shedbox-keeper` beside this program, else this program with the argument `keeper`.
fn start_program(fds: &[(BorrowedFd<'_>, i32)]) -> Result<i32> {
    let explicit = std::env::var_os("SHEDBOX_KEEPER")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let beside = || {
        let path = std::env::current_exe()
            .ok()?
            .parent()?
            .join("shedbox-keeper");
        path.is_file().then_some(path)
    };
    let (path, argv) = match explicit.or_else(beside) {
        Some(path) => (path, vec![OsStr::new("shedbox-keeper")]),
        None => (
            PathBuf::from("/proc/self/exe"),
            vec![OsStr::new("shedbox"), OsStr::new("keeper")],
        ),
    };
    let content = std::fs::read(&path).doing(|| on_path("read the keeper's program", &path))?;
    let copy = seqpacket::sealed_memfd("shedbox-keeper", &content)
        .doing(|| "copy the keeper's program".to_owned())?;
    match spawn::session(Program::Open(copy.as_fd()), &argv, &KEPT, fds) {
        // vm.memfd_noexec, or a policy with the same effect.
        Err(error) if error.errno == Errno::EACCES => {
            tracing::warn!(
                "this host runs nothing from memory files: the keeper runs from its own file"
            );
            spawn::session(Program::Path(&path), &argv, &KEPT, fds)
        }
        other => other,
    }
    .doing(|| on_path("start the keeper", &path))
}
