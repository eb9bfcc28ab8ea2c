//! Deletion in the background.
//!
//! Discarding is one rename. The thread takes its work from the directory itself, so the backlog costs no memory and
//! survives the daemon. Content comes from sandboxes and is treated as hostile, see [`shedbox_linux::tree`].

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use shedbox_linux::errno::Errno;
use shedbox_linux::path::{self, Rename};
use shedbox_linux::tree::{Entries, Removal};
use shedbox_linux::{disk, tree};

use crate::Result;
use crate::error::Doing;
use crate::name::fresh;

/// More things than this are not left to the background thread alone, which gets what nobody else wants and on a machine that
/// is always busy would fall behind for ever.
const CROWDED: u64 = 128;
/// So few are.
const CALM: u64 = 32;

/// A directory whose content a background thread deletes. The thread ends with the last handle, leaving the rest to the
/// next [`Trash::open`].
#[derive(Debug)]
pub struct Trash {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Works at the usual priority while it is crowded.
    helper: Mutex<Option<JoinHandle<()>>>,
}

/// What the trash has done and has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrashStats {
    /// Things that wait.
    pub waiting: u64,
    /// Files and directories deleted since the start.
    pub deleted: u64,
    /// Things that could not be deleted; tried again with the next discard.
    pub failed: u64,
}

#[derive(Debug)]
struct Shared {
    dir: OwnedFd,
    /// Counts discards (written by callers), so that the thread knows of those it has not looked for yet.
    discards: Mutex<Progress>,
    wake: Condvar,
    idle: Condvar,
    stop: AtomicBool,
    deleted: AtomicU64,
}

#[derive(Debug, Default)]
struct Progress {
    /// Written by `discard`.
    discarded: u64,
    /// The value of `discarded` when the thread last began to read the directory and found nothing left to do.
    settled: Option<u64>,
    /// Things in the directory.
    waiting: u64,
    /// Things there that could not be deleted.
    failed: u64,
    /// Things that one of the threads is at.
    claimed: HashSet<OsString>,
    /// There is a helper.
    helped: bool,
}

/// What a sweep has left behind.
#[derive(Debug, Default)]
struct Left {
    failed: HashSet<OsString>,
    /// Some of it is the other thread's.
    claimed: bool,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Plain counters: a panic elsewhere leaves nothing half-done.
        lock(&self.discards)
    }
}

impl Trash {
    /// Opens or creates the directory and starts its thread, which begins with what an earlier daemon left.
    pub fn open(dir: &Path) -> Result<Arc<Self>> {
        crate::root::make_private_dir(dir)?;
        let fd = path::open_dir(dir).doing(|| format!("open the trash `{}`", dir.display()))?;
        let shared = Arc::new(Shared {
            dir: fd,
            discards: Mutex::default(),
            wake: Condvar::new(),
            idle: Condvar::new(),
            stop: AtomicBool::new(false),
            deleted: AtomicU64::new(0),
        });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("trash".to_owned())
            .spawn(move || work(&worker))
            .doing(|| "start the trash thread".to_owned())?;
        Ok(Arc::new(Self {
            path: dir.to_owned(),
            shared,
            thread: Mutex::new(Some(thread)),
            helper: Mutex::default(),
        }))
    }

    /// Moves a file or directory of the same file system here, in one rename, and returns. Gives its new place.
    pub fn discard(&self, path: &Path) -> Result<PathBuf> {
        self.discard_at(path::CURRENT, path)
    }

    /// The same for a name (or path) in an open directory.
    pub fn discard_at(&self, dir: impl AsFd, name: impl AsRef<Path>) -> Result<PathBuf> {
        let new = fresh();
        path::rename_at(dir, name.as_ref(), &self.shared.dir, &new, Rename::Replace)
            .doing(|| format!("move `{}` to the trash", name.as_ref().display()))?;
        let mut progress = self.shared.progress();
        progress.discarded += 1;
        progress.waiting += 1;
        let crowded = progress.waiting > CROWDED + progress.failed && !progress.helped;
        progress.helped |= crowded;
        drop(progress);
        self.shared.wake.notify_one();
        if crowded {
            self.start_helper();
        }
        Ok(self.path.join(new))
    }

    fn start_helper(&self) {
        let shared = Arc::clone(&self.shared);
        let started = std::thread::Builder::new()
            .name("trash-helper".to_owned())
            .spawn(move || help(&shared));
        match started {
            // The one before has said that it is done.
            Ok(helper) => *lock(&self.helper) = Some(helper),
            Err(error) => {
                self.shared.progress().helped = false;
                tracing::warn!(%error, "nobody helps with the trash");
            }
        }
    }

    /// Moves a file or directory of the same file system here and deletes it in this thread, at its priority: for a
    /// caller who needs the room. A directory tree of unusual depth is left to the background thread in parts.
    pub fn delete(&self, path: &Path) -> Result<()> {
        let new = self.discard(path)?;
        let name = new.file_name().unwrap_or_default();
        // The background thread may be at it as well: who comes second finds less.
        match remove(&self.shared, name, &mut 0) {
            Err(error) if error.errno == Errno::ENOTEMPTY => Ok(()),
            other => other
                .map(drop)
                .doing(|| format!("delete `{}`", new.display())),
        }
    }

    /// Waits until nothing is left but what cannot be deleted.
    pub fn empty(&self) {
        let mut progress = self.shared.progress();
        while progress.settled != Some(progress.discarded)
            && !self.shared.stop.load(Ordering::Relaxed)
        {
            progress = self
                .shared
                .idle
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counters.
    pub fn stats(&self) -> TrashStats {
        let progress = self.shared.progress();
        TrashStats {
            waiting: progress.waiting,
            failed: progress.failed,
            deleted: self.shared.deleted.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Trash {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        drop(self.shared.progress()); // the thread is either before its check of `stop` or in its wait
        self.shared.wake.notify_all();
        for thread in [&self.thread, &self.helper] {
            let thread = lock(thread).take();
            if let Some(thread) = thread
                && thread.join().is_err()
            {
                tracing::error!("a trash thread had panicked");
            }
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(shared: &Shared) {
    if let Err(error) = disk::background_thread() {
        tracing::debug!(%error, "the trash runs at normal priority");
    }
    while !shared.stop.load(Ordering::Relaxed) {
        let seen = shared.progress().discarded;
        let left = sweep(shared, 0);
        let mut progress = shared.progress();
        if left.claimed {
            while !progress.claimed.is_empty() && !shared.stop.load(Ordering::Relaxed) {
                progress = shared
                    .wake
                    .wait(progress)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            continue;
        }
        let failed = left.failed.len() as u64;
        progress.failed = failed;
        if progress.discarded == seen {
            progress.waiting = failed;
            progress.settled = Some(seen);
            shared.idle.notify_all();
        }
        while progress.discarded == seen && !shared.stop.load(Ordering::Relaxed) {
            progress = shared
                .wake
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
    shared.idle.notify_all();
}

/// The helper: until there is little left, or only what the background thread is at or nobody can delete.
fn help(shared: &Shared) {
    sweep(shared, CALM);
    shared.progress().helped = false;
    shared.wake.notify_all();
}

/// Deletes what is in the directory until no more than `enough` are left, failures and what the other thread is at excepted.
fn sweep(shared: &Shared, enough: u64) -> Left {
    let mut left = Left::default();
    loop {
        let mut found = false;
        left.claimed = false;
        let entries = path::open_dir_at(&shared.dir, ".").and_then(Entries::new);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "cannot read the trash");
                return left;
            }
        };
        for entry in entries {
            let name = match entry {
                Ok(entry) => entry.name,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the trash");
                    return left;
                }
            };
            if left.failed.contains(&name) {
                continue;
            }
            if !shared.progress().claimed.insert(name.clone()) {
                left.claimed = true;
                continue;
            }
            found = true;
            let mut names = 0;
            let removal = remove(shared, &name, &mut names);
            let mut progress = shared.progress();
            progress.claimed.remove(&name);
            match removal {
                // Without a name it was the other thread's.
                Ok(Removal::Done) => {
                    progress.waiting = progress.waiting.saturating_sub(names.min(1));
                    if progress.waiting < enough + progress.failed {
                        return left;
                    }
                }
                Ok(Removal::Stopped) => return left,
                Err(error) => {
                    drop(progress);
                    tracing::warn!(%error, name = %name.to_string_lossy(), "cannot empty the trash");
                    left.failed.insert(name);
                }
            }
        }
        if !found {
            return left;
        }
    }
}

/// Deletes one thing; `names` counts what was in it, and itself.
fn remove(shared: &Shared, name: &OsStr, names: &mut u64) -> shedbox_linux::Result<Removal> {
    tree::remove(
        shared.dir.as_fd(),
        name,
        &mut || {
            shared.progress().waiting += 1;
            fresh().into()
        },
        &mut || {
            *names += 1;
            shared.deleted.fetch_add(1, Ordering::Relaxed);
            if shared.stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )
}

#[cfg(test)]
#[path = "trash_tests.rs"]
mod tests;
