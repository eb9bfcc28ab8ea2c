//! Empty directories made ahead of need: making an inode can cost more than cloning a generation.
//!
//! ext4 without a journal, for one, passes over every inode that was deleted in the last minute when it looks for a
//! free one: 20 µs become 500. So the background thread keeps a few sets of directories, and an operation takes one by
//! a rename. What is left of them when the daemon goes is cleared away by the next one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shedbox_store::upper;

use crate::error::{Doing, Result, on_path};
use crate::record::{Layout, make_directory};

/// How many of each kind are kept.
const KEPT: usize = 8;

/// Sets of directories that belong to no sandbox yet.
#[derive(Debug)]
pub(crate) struct Blanks {
    /// Where sandboxes are: the same file system.
    dir: PathBuf,
    next: AtomicU64,
    /// A whole sandbox: `live/{upper,work}`, `log` and the empty files of its records.
    homes: Mutex<Vec<PathBuf>>,
    /// One generation: `{upper,work}` and an empty mark.
    generations: Mutex<Vec<PathBuf>>,
}

impl Blanks {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            next: AtomicU64::new(0),
            homes: Mutex::default(),
            generations: Mutex::default(),
        }
    }

    /// A directory for a new sandbox, made now when none is kept.
    pub(crate) fn home(&self) -> Result<PathBuf> {
        let kept = lock(&self.homes).pop();
        kept.map_or_else(|| self.make_home(), Ok)
    }

    /// Moves a directory for a generation to `place`, where nothing is.
    pub(crate) fn generation(&self, place: &Path) -> Result<()> {
        let kept = lock(&self.generations).pop();
        let blank = kept.map_or_else(|| self.make_generation(), Ok)?;
        std::fs::rename(&blank, place).doing(|| on_path("make directory", place))
    }

    /// Makes one set that is missing; false when none is.
    pub(crate) fn refill(&self) -> Result<bool> {
        if lock(&self.homes).len() < KEPT {
            let home = self.make_home()?;
            lock(&self.homes).push(home);
        } else if lock(&self.generations).len() < KEPT {
            let generation = self.make_generation()?;
            lock(&self.generations).push(generation);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn make_home(&self) -> Result<PathBuf> {
        let layout = Layout { dir: self.fresh() };
        make_directory(&layout.dir)?;
        make_directory(&layout.log())?;
        upper::make(&layout.live(), &[])?;
        layout.make_files()?;
        Ok(layout.dir)
    }

    fn make_generation(&self) -> Result<PathBuf> {
        let dir = self.fresh();
        upper::make(&dir, &[])?;
        let mark = dir.join(crate::generation::GENERATION_MARK);
        std::fs::File::create(&mark).doing(|| on_path("make", &mark))?;
        Ok(dir)
    }

    /// A name that recovery takes for nobody's.
    fn fresh(&self) -> PathBuf {
        self.dir.join(format!(
            ".new-{}",
            self.next.fetch_add(1, Ordering::Relaxed)
        ))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_ones_are_used_before_new_ones_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let blanks = Blanks::new(dir.path().to_owned());
        let mut made = 0;
        while blanks.refill().unwrap() {
            made += 1;
        }
        assert_eq!(made, 2 * KEPT);
        let homes: Vec<PathBuf> = (0..=KEPT).map(|_| blanks.home().unwrap()).collect();
        assert_eq!(
            homes.iter().collect::<std::collections::HashSet<_>>().len(),
            KEPT + 1
        );
        for home in homes {
            assert!(
                home.join("live/upper").is_dir()
                    && home.join("live/work").is_dir()
                    && home.join("log").is_dir()
            );
        }
        let place = dir.path().join("spare");
        blanks.generation(&place).unwrap();
        assert!(place.join("upper").is_dir() && place.join("generation").is_file());
    }
}
