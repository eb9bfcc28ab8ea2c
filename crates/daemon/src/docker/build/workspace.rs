//! The directory of one build below the data root: contents of archives, and what commands are shown of them.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use shedbox_spec::{Error, Result};

/// What a directory of builds that are under way is called.
const WORK: &str = "work";

/// A directory that goes with its last user.
#[derive(Debug)]
pub(super) struct Workspace(PathBuf);

impl Workspace {
    /// A new one; `root` is the directory of all builds.
    pub(super) fn make(root: &Path) -> Result<Self> {
        let dir = root.join(WORK).join(super::super::random_hex()?);
        fs::create_dir_all(&dir)
            .map_err(|error| Error::internal(format!("cannot make {}: {error}", dir.display())))?;
        Ok(Self(dir))
    }

    /// A path in it that nobody has used.
    pub(super) fn fresh(&self) -> Result<PathBuf> {
        Ok(self.0.join(super::super::random_hex()?))
    }

    /// A new file in it.
    pub(super) fn file(&self) -> Result<File> {
        let path = self.fresh()?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| Error::internal(format!("cannot make {}: {error}", path.display())))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let dir = std::mem::take(&mut self.0);
        let remove = move || {
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "files of a build stay");
            }
        };
        // A large one takes a while, which is not for a thread of the runtime.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// What builds of a daemon that has died have left.
pub(super) fn sweep(root: &Path) {
    let dir = root.join(WORK);
    if let Err(error) = fs::remove_dir_all(&dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(dir = %dir.display(), %error, "files of former builds stay");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_last_user() {
        let root = tempfile::tempdir().unwrap();
        let space = std::sync::Arc::new(Workspace::make(root.path()).unwrap());
        drop(space.file().unwrap());
        let other = std::sync::Arc::clone(&space);
        drop(space);
        assert_eq!(fs::read_dir(root.path().join(WORK)).unwrap().count(), 1);
        drop(other);
        assert_eq!(fs::read_dir(root.path().join(WORK)).unwrap().count(), 0);
        drop(Workspace::make(root.path()).map(std::mem::forget));
        sweep(root.path());
        sweep(root.path());
        assert!(!root.path().join(WORK).exists());
    }
}
