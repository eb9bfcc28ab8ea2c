//! One sandbox in memory.
//!
//! # Locks
//!
//! In this order, each taken only while those to its left may be held:
//!
//! 0. `Pool::building`, see [`crate::recycle`]; then its list, a leaf.
//! 1. `Sandbox::turn`: one operation at a time changes a sandbox (start, reset, stop, remove, building its spare). May
//!    be held for as long as a stop takes. Nobody takes two turns.
//! 2. `Engine::registry`: ids and names. Held for look-ups only.
//! 3. `Sandbox::saving`: while `state.json` is written.
//! 4. `Sandbox::state`: what listings show. Held for a few instructions.
//! 5. `Sandbox::wire`, then `Networks::state`, `network::Client::state`.
//! 6. `Sandbox::bases`, `Snapshots::known`, `Background::queue`, `Keeper::state`, `Init::control`, `Watcher::entries`: leaves.
//!
//! The watcher's thread and `kill` take no turn, so neither waits for a stop. `remove --force` takes one, but kills the
//! init first, which ends a stop that holds it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use shedbox_linux::seqpacket;
use shedbox_spec::api::{Status, WaitResult};
use shedbox_spec::generation::Rootfs;
use shedbox_spec::limits::Limits;

use crate::disk_limit::Gauge;
use crate::error::{Doing, Result, on_path};
use crate::init::Init;
use crate::life::Life;
use crate::network::wire::Wire;
use crate::record::{Layout, Record};
use crate::recycle::Ready;
use crate::snapshot::Bases;

/// One sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) record: Record,
    pub(crate) layout: Layout,
    pub(crate) socket: PathBuf,
    /// Lower directories, binds and masks, computed once; snapshots, upper and work are added for each generation.
    pub(crate) rootfs: OnceLock<Rootfs>,
    /// The owner in the record does not count any more; written with the turn.
    pub(crate) disowned: AtomicBool,
    /// What it had written when the watchdog last looked.
    pub(crate) gauge: Gauge,
    /// A leaf in the lock order.
    name: Mutex<Arc<str>>,
    turn: Mutex<Turn>,
    state: Mutex<State>,
    /// In force: the record's, and what `update` made of them. A leaf in the lock order.
    limits: Mutex<Limits>,
    /// How it is connected.
    wire: Mutex<Wire>,
    /// The snapshots that it uses. A leaf in the lock order.
    bases: Mutex<Bases>,
    /// Writers of `state.json` take turns.
    saving: Mutex<()>,
}

/// What only the holder of the turn touches.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    listener: Option<Listener>,
    /// The init that serves files of a sandbox that does not run.
    pub(crate) files: Option<FilesInit>,
    /// The generation that its first start takes.
    pub(crate) ready: Option<Ready>,
}

/// An init over the upper directory of a stopped sandbox.
#[derive(Debug)]
pub(crate) struct FilesInit {
    pub(crate) init: Arc<Init>,
    pub(crate) socket: PathBuf,
}

/// The listening sandbox socket; every generation gets a copy of it.
#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    /// It is bound under another name until a generation of it takes over: an adopted init still serves the old one.
    unpublished: Option<PathBuf>,
}

/// What listings show.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) life: Life,
    pub(crate) live: Option<Arc<Init>>,
    pub(crate) spare: Option<Arc<Init>>,
    pub(crate) warnings: Vec<String>,
    /// Somebody has asked for the end that is coming.
    pub(crate) stop_asked: bool,
    waiters: Vec<Waiter>,
}

/// Called once, with how the sandbox ended. It is dropped unused when whoever asked has gone.
pub type Notify = dyn Fn(WaitResult) + Send + Sync;

#[derive(Clone)]
struct Waiter {
    until_removed: bool,
    notify: Weak<Notify>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter")
            .field("until_removed", &self.until_removed)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    pub(crate) fn new(record: Record, layout: Layout, socket: PathBuf, life: Life) -> Self {
        Self {
            limits: Mutex::new(record.spec.limits.clone()),
            name: Mutex::new(record.name.as_str().into()),
            record,
            layout,
            socket,
            rootfs: OnceLock::new(),
            disowned: AtomicBool::new(false),
            gauge: Gauge::default(),
            turn: Mutex::default(),
            wire: Mutex::default(),
            bases: Mutex::default(),
            saving: Mutex::default(),
            state: Mutex::new(State {
                life,
                live: None,
                spare: None,
                warnings: Vec::new(),
                stop_asked: false,
                waiters: Vec::new(),
            }),
        }
    }

    pub(crate) fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, unless somebody has it.
    pub(crate) fn try_turn(&self) -> Option<MutexGuard<'_, Turn>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is connected. Held for a few instructions, or while it is written.
    pub(crate) fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshots that it uses. Held for a few instructions.
    pub(crate) fn bases(&self) -> MutexGuard<'_, Bases> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn saving(&self) -> MutexGuard<'_, ()> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the state for the next daemon. A failure costs at most what a power loss would.
    pub(crate) fn save(&self) {
        let _saving = self.saving();
        let saved = self.state().life.to_saved();
        if saved.status != Status::Removing
            && let Err(error) = self.layout.write_state(&saved)
        {
            tracing::warn!(sandbox = %self.record.id, error = shedbox_spec::error::chain(&error), "state not written");
        }
    }

    /// Its limits as they are now.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    pub(crate) fn has_main(&self) -> bool {
        !self.record.resolved.argv.is_empty()
    }

    /// What it is called now.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_name(&self, name: &str) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    /// The record with what has changed since it was written.
    pub(crate) fn record_now(&self) -> Record {
        let mut record = self.record.clone();
        self.name().as_ref().clone_into(&mut record.name);
        record.spec.limits = self.limits();
        if self.disowned.load(Ordering::Acquire) {
            record.owner = None;
        }
        record
    }
}

impl Turn {
    /// The listening socket, made when this daemon does not have it yet. `taken` when a living init of an earlier
    /// daemon listens at `socket`.
    pub(crate) fn listener(
        &mut self,
        socket: &Path,
        taken: bool,
    ) -> Result<std::os::fd::BorrowedFd<'_>> {
        if self.listener.is_none() {
            let (path, unpublished) = if taken {
                let path = socket.with_extension("next");
                (path.clone(), Some(path))
            } else {
                (socket.to_owned(), None)
            };
            remove_socket(&path)?;
            let fd = seqpacket::listen(&path).doing(|| on_path("listen at", &path))?;
            self.listener = Some(Listener { fd, unpublished });
        }
        // Set just above when it was not there.
        match &self.listener {
            Some(listener) => Ok(listener.fd.as_fd()),
            None => Err(shedbox_spec::Error::internal("the sandbox socket is gone").into()),
        }
    }

    /// Closes the listening socket of a sandbox that does not run: who connects is to be refused, not kept waiting. An
    /// init that was to serve it goes.
    pub(crate) fn close_listener(&mut self, socket: &Path) -> Result<()> {
        self.end_ready();
        let unpublished = self
            .listener
            .take()
            .and_then(|listener| listener.unpublished);
        unpublished.map_or(Ok(()), |path| remove_socket(&path))?;
        remove_socket(socket)
    }

    /// Moves the socket to its own name; what the old name led to stays with the init that serves it.
    pub(crate) fn publish(&mut self, socket: &Path) -> Result<()> {
        match self
            .listener
            .as_mut()
            .and_then(|listener| listener.unpublished.take())
        {
            Some(path) => std::fs::rename(&path, socket).doing(|| on_path("publish", socket)),
            None => Ok(()),
        }
    }
}

/// Unlinks a socket file that may not be there.
pub(crate) fn remove_socket(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| on_path("remove", path))
        }
        _ => Ok(()),
    }
}

impl State {
    /// Calls `notify` when the sandbox does not run any more, or is removed.
    pub(crate) fn add_waiter(&mut self, until_removed: bool, notify: Weak<Notify>) {
        self.waiters
            .retain(|waiter| waiter.notify.strong_count() > 0);
        self.waiters.push(Waiter {
            until_removed,
            notify,
        });
    }

    /// Takes the waiters that an end concerns; the caller notifies them without the lock.
    pub(crate) fn ended(&mut self, removed: bool, has_main: bool) -> Ended {
        let (due, waiting) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| removed || !waiter.until_removed);
        self.waiters = waiting;
        Ended {
            result: self.life.wait_result(has_main),
            waiters: due,
        }
    }
}

/// Waiters to notify.
#[must_use]
pub(crate) struct Ended {
    result: WaitResult,
    waiters: Vec<Waiter>,
}

impl Ended {
    /// How it ended.
    pub(crate) fn result(&self) -> &WaitResult {
        &self.result
    }

    pub(crate) fn notify(self) {
        for waiter in self.waiters {
            if let Some(notify) = waiter.notify.upgrade() {
                notify(self.result.clone());
            }
        }
    }
}
