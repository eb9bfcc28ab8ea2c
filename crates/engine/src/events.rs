//! What happens to sandboxes, told to whoever listens in this process: the event stream of the Docker API, restart
//! policies and health checks hang on it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use shedbox_spec::SandboxId;
use shedbox_spec::api::WaitResult;

use crate::Engine;
use crate::sandbox::Sandbox;

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It is there.
    Created,
    /// A generation lives and its main process was started. Not said of a reset.
    Started,
    /// Its main process, or an idle sandbox as a whole, has ended. `stopped`: because somebody asked for it.
    Ended {
        /// How.
        result: WaitResult,
        /// A stop or a kill was asked for.
        stopped: bool,
    },
    /// A stop that somebody asked for is done; the end itself was told before.
    Stopped,
    /// It has shed what it had written.
    Reset,
    /// Its processes are stopped where they are.
    Paused,
    /// They go on.
    Unpaused,
    /// A signal was sent to its main process.
    Killed {
        /// Number of the signal.
        signal: i32,
    },
    /// It has another name.
    Renamed {
        /// The name before.
        before: String,
    },
    /// It has other limits.
    Updated,
    /// It has gone.
    Removed,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Which sandbox.
    pub id: SandboxId,
    /// Its name at that time.
    pub name: String,
    /// The image as it was asked for; the directory, or `host`.
    pub source: String,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// What has happened.
    pub what: Happening,
}

/// Called for each event, on the thread on which it happens and perhaps with the sandbox's turn held: it must return at
/// once and must not call the engine.
pub type Listener = dyn Fn(Event) + Send + Sync;

/// Who listens.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<Vec<Weak<Listener>>>);

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listeners").finish()
    }
}

impl Engine {
    /// Has `listener` called from now on, for as long as the caller keeps it.
    pub fn listen(&self, listener: &Arc<Listener>) {
        let mut all = self
            .listeners
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|listener| listener.strong_count() > 0);
        all.push(Arc::downgrade(listener));
    }

    pub(crate) fn tell(&self, sandbox: &Sandbox, what: Happening) {
        let listeners: Vec<_> = {
            let all = self
                .listeners
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        if listeners.is_empty() {
            return;
        }
        let event = Event {
            at: Timestamp::now(),
            id: sandbox.record.id.clone(),
            name: sandbox.name().to_string(),
            source: sandbox.record.spec.source.to_string(),
            labels: sandbox.record.resolved.labels.clone(),
            what,
        };
        for listener in listeners {
            listener(event.clone());
        }
    }
}
