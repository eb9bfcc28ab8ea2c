//! Snapshots: states of sandboxes' files that do not change any more.
//!
//! `snapshots/<id>` is the directory of a generation to which nobody writes: `upper`, `cow/<n>/upper`, the link `base` to
//! the snapshot that it lies on itself, and `snapshot.json`. A sandbox that stands on one has its chain of upper
//! directories as uppermost lower layers.
//!
//! A snapshot lives for as long as somebody uses it: a tag of a sandbox (`sandboxes/<id>/snapshots/<tag>`, a link), a
//! sandbox that stands on it or was forked from it, a snapshot above it. Nothing of that is counted on the disk. In memory
//! each user holds an [`Arc`]; when the last one has gone, [`Engine::sweep_snapshots`] moves the directory into the trash.
//! A crash in between leaves a directory without a user, which recovery takes away.

mod bases;
mod list;
mod take;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shedbox_linux::path;
use shedbox_spec::SnapshotId;

use crate::Engine;
use crate::disk_limit::{Usage, usage_below};
use crate::error::{Doing, Result, on_path};
use crate::record::{self, RECORD_VERSION};

pub(crate) use bases::{Base, Bases, read_id, write_link};

/// Most snapshots that lie over each other. The kernel takes 500 lower directories, an image has up to 127, and each one
/// makes looking for a name dearer: a chain of this length is merged into one copy by the next snapshot.
pub(crate) const MAX_DEPTH: usize = 16;

/// `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    version: u32,
    pub(crate) created_at: Timestamp,
    /// Nothing was written while it was made.
    pub(crate) consistent: bool,
    /// What could not be kept.
    pub(crate) warnings: Vec<String>,
}

impl About {
    fn now(consistent: bool, warnings: Vec<String>) -> Self {
        Self {
            version: RECORD_VERSION,
            created_at: Timestamp::now(),
            consistent,
            warnings,
        }
    }

    fn write(&self, dir: &Path) -> Result<()> {
        record::write_json(&dir.join(ABOUT), self)
    }
}

const ABOUT: &str = "snapshot.json";

/// One snapshot that somebody uses.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: SnapshotId,
    pub(crate) dir: PathBuf,
    pub(crate) about: About,
    pub(crate) parent: Base,
    /// Counted once: it does not change.
    usage: OnceLock<Usage>,
}

impl Snapshot {
    /// Itself and those that it lies on, uppermost first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Snapshot> {
        std::iter::successors(Some(self), |snapshot| snapshot.parent.as_deref())
    }

    /// Upper directories of the chain.
    pub(crate) fn uppers(&self) -> Vec<PathBuf> {
        self.chain()
            .map(|snapshot| snapshot.dir.join("upper"))
            .collect()
    }

    /// Room on the disk, without its parents.
    pub(crate) fn usage(&self) -> Result<Usage> {
        if let Some(usage) = self.usage.get() {
            return Ok(*usage);
        }
        let top = path::open_dir(&self.dir).doing(|| on_path("open", &self.dir))?;
        let usage = usage_below(top).doing(|| on_path("count", &self.dir))?;
        Ok(*self.usage.get_or_init(|| usage))
    }
}

/// All snapshots that somebody uses.
#[derive(Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    /// A leaf in the lock order.
    known: Mutex<HashMap<SnapshotId, Weak<Snapshot>>>,
    /// There are sandboxes that cannot be read: what they use is not known, so nothing goes.
    held: AtomicBool,
}

impl Snapshots {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            known: Mutex::default(),
            held: AtomicBool::new(false),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SnapshotId, Weak<Snapshot>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the files of a snapshot are.
    fn place(&self, id: &SnapshotId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// Where they are made. Recovery takes away what it finds there.
    fn place_of_new(&self, id: &SnapshotId) -> PathBuf {
        self.dir.join(format!(".new-{id}"))
    }

    /// Makes a snapshot known whose directory is complete.
    fn enter(&self, id: SnapshotId, about: About, parent: Base) -> Arc<Snapshot> {
        let snapshot = Arc::new(Snapshot {
            dir: self.place(&id),
            id,
            about,
            parent,
            usage: OnceLock::new(),
        });
        self.known()
            .insert(snapshot.id.clone(), Arc::downgrade(&snapshot));
        snapshot
    }

    /// Finds a snapshot, and all that it lies on, for recovery. `None` when it is not there, or not whole after a power
    /// loss.
    pub(crate) fn load(&self, id: &SnapshotId) -> Result<Base> {
        let mut missing = Vec::new();
        let mut next = Some(id.clone());
        let mut parent = None;
        while let Some(id) = next {
            if let Some(known) = self.known().get(&id).and_then(Weak::upgrade) {
                parent = Some(known);
                break;
            }
            let dir = self.place(&id);
            let Some(about) = record::read_versioned::<About>(&dir.join(ABOUT))? else {
                return Ok(None);
            };
            if missing.len() > MAX_DEPTH || !dir.join("upper").is_dir() {
                return Ok(None);
            }
            next = bases::read_link(&dir)?;
            missing.push((id, about));
        }
        for (id, about) in missing.into_iter().rev() {
            parent = Some(self.enter(id, about, parent));
        }
        Ok(parent)
    }

    /// Those that somebody uses.
    fn all(&self) -> Vec<Arc<Snapshot>> {
        self.known().values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets those that nobody uses any more, and gives their directories.
    fn take_unused(&self) -> Vec<PathBuf> {
        if self.held.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut known = self.known();
        let unused: Vec<SnapshotId> = known
            .iter()
            .filter(|(_, snapshot)| snapshot.strong_count() == 0)
            .map(|(id, _)| id.clone())
            .collect();
        unused
            .iter()
            .map(|id| {
                known.remove(id);
                self.place(id)
            })
            .collect()
    }
}

impl Engine {
    /// Moves what nobody uses any more into the trash. What cannot be moved is left for recovery.
    pub(crate) fn sweep_snapshots(&self) {
        for dir in self.snapshots.take_unused() {
            if let Err(error) = self.discard_if_there(&dir) {
                tracing::warn!(
                    error = shedbox_spec::error::chain(&error),
                    "left for recovery"
                );
            }
        }
    }

    /// Takes away what no sandbox uses. `all`: every sandbox has been found; otherwise only half-made ones go.
    pub(crate) fn recover_snapshots(&self, all: bool) -> Result<()> {
        self.snapshots.held.store(!all, Ordering::Relaxed);
        self.sweep_snapshots();
        let dir = &self.snapshots.dir;
        let entries = std::fs::read_dir(dir).doing(|| on_path("read directory", dir))?;
        for entry in entries {
            let entry = entry.doing(|| on_path("read directory", dir))?;
            let id = entry.file_name().into_string().map(SnapshotId::try_from);
            let goes = match id {
                Ok(Ok(id)) => all && !self.snapshots.known().contains_key(&id),
                _ => true,
            };
            if goes {
                self.discard_if_there(&entry.path())?;
            }
        }
        Ok(())
    }
}
