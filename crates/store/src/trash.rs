//! Deletion in the background.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;

/// A directory whose content a background thread deletes.
#[derive(Debug)]
pub struct Trash {}

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

impl Trash {
    /// Opens or creates the directory and starts its thread, which begins with what an earlier daemon left.
    pub fn open(dir: &Path) -> Result<Arc<Self>> {
        let _ = dir;
        unimplemented!()
    }

    /// Moves a file or directory of the same file system here, in one rename, and returns. Gives its new place.
    pub fn discard(&self, path: &Path) -> Result<PathBuf> {
        let _ = path;
        unimplemented!()
    }

    /// Waits until nothing waits (or cannot be deleted).
    pub fn empty(&self) {
        unimplemented!()
    }

    /// Counters.
    pub fn stats(&self) -> TrashStats {
        unimplemented!()
    }
}
