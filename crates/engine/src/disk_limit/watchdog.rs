//! The watchdog: where the file system keeps no quota for us, we look, and end a sandbox that takes more than its share.
//!
//! Looking into every tree all the time would cost more than the sandboxes do. So a thread looks at the file system as a
//! whole every [`PERIOD`], which is one cheap call, and counts a tree only when the file system has lost more room since
//! the last count than that sandbox had left: before that it cannot be over. Room that somebody else has freed meanwhile
//! would hide growth; so every tree is counted every few seconds as well. What a sandbox can take above its limit is what
//! it can write in one period and the time that a count takes.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use shedbox_linux::disk::{self, Room};
use shedbox_spec::api::Status;
use shedbox_spec::error::chain;

use super::usage::Usage;
use crate::Engine;
use crate::sandbox::Sandbox;

/// Time between looks at the file system.
const PERIOD: Duration = Duration::from_millis(50);
/// A tree is counted at least this often, whatever the file system says.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3);
/// Counting must leave most of a processor to others: a tree rests this many times as long as its last count took ...
const REST: u32 = 2;
/// ... and, when nothing has grown, this many times.
const LONG_REST: u32 = 20;
/// A count that takes longer than this is left to a thread of its own, so that the other sandboxes need not wait.
const QUICK: Duration = Duration::from_millis(20);

/// The sandboxes that are watched.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    list: Mutex<HashMap<u64, Entry>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Entry {
    sandbox: Weak<Sandbox>,
    limit: Usage,
    /// Somebody counts it now.
    busy: bool,
    last: Option<Count>,
}

/// A count that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) generation: u64,
    pub(super) usage: Usage,
    /// The file system just before it.
    pub(super) room: Room,
    pub(super) at: Instant,
    pub(super) took: Duration,
}

impl Watchdog {
    /// Watches a sandbox from now on; it is forgotten when it has gone.
    pub(crate) fn add(&self, sandbox: &Arc<Sandbox>, limit: Usage) {
        let key = Arc::as_ptr(sandbox) as u64;
        let entry = Entry {
            sandbox: Arc::downgrade(sandbox),
            limit,
            busy: false,
            last: None,
        };
        self.lock().insert(key, entry);
        self.changed.notify_one();
    }

    /// Starts the thread. It lives as long as the process; `engine` may go before.
    pub(crate) fn start(self: &Arc<Self>, engine: Weak<Engine>) -> std::io::Result<()> {
        let watchdog = Arc::clone(self);
        let run = move || {
            loop {
                watchdog.wait_for_work();
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                watchdog.look(&engine);
                drop(engine);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "nothing tells when a file system loses room"
                )]
                std::thread::sleep(PERIOD);
            }
        };
        std::thread::Builder::new()
            .name("disk limits".to_owned())
            .spawn(run)
            .map(drop)
    }

    fn wait_for_work(&self) {
        let list = self.lock();
        drop(
            self.changed
                .wait_while(list, |list| list.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn look(self: &Arc<Self>, engine: &Arc<Engine>) {
        let room = match disk::room(&engine.disk) {
            Ok(room) => room,
            Err(error) => {
                tracing::warn!(
                    error = error.to_string(),
                    "cannot see how much room is left"
                );
                return;
            }
        };
        let now = Instant::now();
        let mut due = Vec::new();
        self.lock().retain(|key, entry| {
            let Some(sandbox) = entry.sandbox.upgrade() else {
                return false;
            };
            let generation = {
                let state = sandbox.state();
                (state.life.status == Status::Running).then_some(state.life.generation)
            };
            if let Some(generation) = generation
                && !entry.busy
                && is_due(entry.last.as_ref(), generation, entry.limit, &room, now)
            {
                entry.busy = true;
                let quick = entry.last.is_some_and(|last| last.took < QUICK);
                due.push((*key, sandbox, generation, entry.limit, quick));
            }
            true
        });
        for (key, sandbox, generation, limit, quick) in due {
            let watchdog = Arc::clone(self);
            let work = move || {
                let counted = count(&sandbox, generation, limit, room, now);
                watchdog.counted(key, counted);
            };
            if quick {
                work();
            } else if let Err(error) = std::thread::Builder::new()
                .name("disk count".to_owned())
                .spawn(work)
            {
                tracing::warn!(error = error.to_string(), "cannot count a tree");
                self.counted(key, None);
            }
        }
    }

    fn counted(&self, key: u64, count: Option<Count>) {
        if let Some(entry) = self.lock().get_mut(&key) {
            entry.busy = false;
            entry.last = count.or(entry.last);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a tree has to be counted now.
fn is_due(last: Option<&Count>, generation: u64, limit: Usage, room: &Room, now: Instant) -> bool {
    let Some(last) = last.filter(|last| last.generation == generation) else {
        return true;
    };
    let since = now.saturating_duration_since(last.at);
    if since < last.took * REST {
        return false;
    }
    let lost_bytes = last.room.free_bytes.saturating_sub(room.free_bytes);
    let lost_inodes = last.room.free_inodes.saturating_sub(room.free_inodes);
    lost_bytes > limit.bytes.saturating_sub(last.usage.bytes)
        || lost_inodes > limit.inodes.saturating_sub(last.usage.inodes)
        || since >= AT_LEAST_EVERY.max(last.took * LONG_REST)
}

/// Counts the tree of a generation and ends it when it is over. `None`: it could not be counted.
fn count(
    sandbox: &Arc<Sandbox>,
    generation: u64,
    limit: Usage,
    room: Room,
    at: Instant,
) -> Option<Count> {
    let started = Instant::now();
    let usage = match super::usage_of(sandbox, generation) {
        Ok(usage) => usage?,
        Err(error) => {
            tracing::warn!(sandbox = %sandbox.record.id, error = chain(&error), "cannot count what a sandbox has written");
            return None;
        }
    };
    if usage.bytes > limit.bytes || usage.inodes > limit.inodes {
        super::end_above(sandbox, generation, usage, limit);
    }
    Some(Count {
        generation,
        usage,
        room,
        at,
        took: started.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_counted_when_it_could_be_over() {
        let room = |free_bytes, free_inodes| Room {
            total_bytes: 1000,
            free_bytes,
            total_inodes: 1000,
            free_inodes,
            read_only: false,
        };
        let usage = |bytes, inodes| Usage { bytes, inodes };
        let at = Instant::now();
        let last = Count {
            generation: 1,
            usage: usage(40, 4),
            room: room(500, 500),
            at,
            took: Duration::from_millis(10),
        };
        let limit = usage(100, 10);
        let after = |millis| at + Duration::from_millis(millis);
        let due = |room: Room, now| is_due(Some(&last), 1, limit, &room, now);
        assert!(is_due(None, 1, limit, &room(500, 500), at), "never counted");
        assert!(is_due(Some(&last), 2, limit, &room(500, 500), at), "reset");
        assert!(!due(room(440, 500), after(50)), "60 bytes were left");
        assert!(due(room(439, 500), after(50)), "61 were taken");
        assert!(!due(room(500, 494), after(50)), "6 inodes were left");
        assert!(due(room(500, 493), after(50)), "7 were taken");
        assert!(!due(room(0, 0), after(15)), "it rests");
        assert!(!due(room(900, 900), after(2900)));
        assert!(due(room(900, 900), after(3000)), "now and then");
    }
}
