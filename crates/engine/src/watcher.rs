//! One thread that waits for all inits and owners: a sandbox costs two entries in an epoll set, not a thread.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shedbox_linux::epoll::Epoll;
use shedbox_spec::control::InitEvent;
use shedbox_spec::exec::ExecResult;

use crate::error::{Doing, Result};
use crate::init::{Init, Message, Silent};
use crate::sandbox::Sandbox;

/// What the watcher tells the engine. Called on the watcher's thread: must not wait for a sandbox's turn.
pub(crate) trait Observer: Send + Sync {
    /// The main process of a generation has ended.
    fn main_exited(&self, sandbox: &Arc<Sandbox>, init: &Arc<Init>, result: ExecResult);
    /// A generation is over that no operation has ended.
    fn init_ended(&self, sandbox: &Arc<Sandbox>, init: &Arc<Init>);
    /// The process that owns a sandbox has ended.
    fn owner_ended(&self, sandbox: &Arc<Sandbox>);
}

/// The set.
#[derive(Debug)]
pub(crate) struct Watcher {
    epoll: Epoll,
    next_token: AtomicU64,
    /// By token; the epoll set and this map change together. Innermost lock: nothing else is taken while it is held.
    entries: Mutex<HashMap<u64, Entry>>,
}

#[derive(Debug, Clone)]
enum Entry {
    /// The control socket of an init (its token) or its pidfd (its token + 1).
    Init(Weak<Sandbox>, Arc<Init>),
    Owner(Weak<Sandbox>, Arc<OwnedFd>),
}

impl Watcher {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let epoll = Epoll::new().doing(|| "watch sandboxes".to_owned())?;
        Ok(Arc::new(Self {
            epoll,
            next_token: AtomicU64::new(0),
            entries: Mutex::default(),
        }))
    }

    /// Starts the thread. It lives as long as the process; `observer` may go before.
    pub(crate) fn start(self: &Arc<Self>, observer: Weak<dyn Observer>) -> Result<()> {
        let watcher = Arc::clone(self);
        std::thread::Builder::new()
            .name("watcher".to_owned())
            .spawn(move || {
                while let Some(observer) = { watcher.epoll.wait().ok().zip(observer.upgrade()) } {
                    let (tokens, observer) = observer;
                    for token in tokens {
                        watcher.dispatch(token, &*observer);
                    }
                }
            })
            .map(drop)
            .doing(|| "start a thread".to_owned())
    }

    /// A number for a new init; the next one belongs to it as well.
    pub(crate) fn token(&self) -> u64 {
        self.next_token.fetch_add(2, Ordering::Relaxed)
    }

    /// Listens to the init of a sandbox.
    pub(crate) fn watch(&self, sandbox: &Arc<Sandbox>, init: &Arc<Init>) -> Result<()> {
        let entry = Entry::Init(Arc::downgrade(sandbox), Arc::clone(init));
        {
            let mut entries = self.lock();
            entries.insert(init.token, entry.clone());
            entries.insert(init.token + 1, entry);
        }
        init.with_control(|control| self.epoll.add(control, init.token))
            .and_then(|()| self.epoll.add(init.pidfd.as_fd(), init.token + 1))
            .doing(|| "watch an init".to_owned())
    }

    /// Stops listening: from here on an operation converses with this init. The watcher may still be in the middle of
    /// one message; `Init`'s lock keeps the two apart.
    pub(crate) fn forget(&self, init: &Init) {
        {
            let mut entries = self.lock();
            entries.remove(&init.token);
            entries.remove(&(init.token + 1));
        }
        // Not there: it has been forgotten already, when its control socket closed.
        let _ = init.with_control(|control| self.epoll.remove(control));
        let _ = self.epoll.remove(init.pidfd.as_fd());
    }

    /// Listens to the process that owns a sandbox.
    pub(crate) fn watch_owner(&self, sandbox: &Arc<Sandbox>, pidfd: OwnedFd) -> Result<()> {
        let token = self.token();
        let pidfd = Arc::new(pidfd);
        self.lock().insert(
            token,
            Entry::Owner(Arc::downgrade(sandbox), Arc::clone(&pidfd)),
        );
        self.epoll
            .add(pidfd.as_fd(), token)
            .doing(|| "watch the owner of a sandbox".to_owned())
    }

    /// Stops listening to the owner of a sandbox.
    pub(crate) fn forget_owner(&self, sandbox: &Weak<Sandbox>) {
        let owned = |entry: &Entry| matches!(entry, Entry::Owner(of, _) if of.ptr_eq(sandbox));
        self.lock().retain(|_, entry| {
            if let (true, Entry::Owner(_, pidfd)) = (owned(entry), &*entry) {
                let _ = self.epoll.remove(pidfd.as_fd()); // closing it below has the same effect
                return false;
            }
            true
        });
    }

    fn dispatch(&self, token: u64, observer: &dyn Observer) {
        // Gone: an operation has taken the init over since the event.
        let Some(entry) = self.lock().get(&token).cloned() else {
            return;
        };
        match entry {
            Entry::Owner(sandbox, pidfd) => {
                self.lock().remove(&token);
                let _ = self.epoll.remove(pidfd.as_fd()); // closing it below has the same effect
                if let Some(sandbox) = sandbox.upgrade() {
                    observer.owner_ended(&sandbox);
                }
            }
            Entry::Init(sandbox, init) => {
                let Some(sandbox) = sandbox.upgrade() else {
                    return self.forget(&init);
                };
                // Its end comes after its last word: read that first.
                let gone = read_messages(&sandbox, &init, observer);
                if token == init.token + 1 {
                    self.forget(&init);
                    observer.init_ended(&sandbox, &init);
                } else if gone {
                    // The pidfd will tell the rest.
                    let _ = init.with_control(|control| self.epoll.remove(control));
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True when nothing more will come.
fn read_messages(sandbox: &Arc<Sandbox>, init: &Arc<Init>, observer: &dyn Observer) -> bool {
    loop {
        match init.poll_message() {
            Ok(Some(Message::Event(InitEvent::MainExited { result }))) => {
                observer.main_exited(sandbox, init, result);
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(Silent::Busy) => return false,
            Err(Silent::Gone) => return true,
        }
    }
}
