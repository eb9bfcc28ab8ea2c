//! The directory that is the command's own: HOME and TMPDIR, gone with it.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use shedbox_linux::Result;
use shedbox_linux::errno::Errno;
use shedbox_linux::path;
use shedbox_linux::tree::{self, Entries};

/// The part that the command sees. What is around it is the runner's, so that removal can move things about there.
const HOME: &str = "home";
/// Names that are tried before giving up: each left by a shedbox of the same pid that was killed.
const ATTEMPTS: u32 = 1000;

/// See the module.
#[derive(Debug, Clone)]
pub struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one that only this user can enter, in `base`.
    pub fn new(base: &Path) -> Result<Self> {
        let dir = path::open_dir(base)?;
        let mut attempt = 0;
        loop {
            let name = format!("shedbox-{}-{attempt}", std::process::id());
            match path::mkdir_at(&dir, &name, 0o700) {
                Err(error) if error.errno == Errno::EEXIST && attempt < ATTEMPTS => attempt += 1,
                made => {
                    made?;
                    path::mkdir_at(path::open_dir_at(&dir, &name)?, HOME, 0o700)?;
                    return Ok(Self(base.join(name)));
                }
            }
        }
    }

    /// The path that the command gets.
    pub fn home(&self) -> PathBuf {
        self.0.join(HOME)
    }

    /// Removes it. What cannot be removed stays: it is the user's own, under a name that says where it is from.
    pub fn remove(&self) {
        let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name()) else {
            return;
        };
        let Ok(parent) = path::open_dir(parent) else {
            return;
        };
        if let Ok(dir) = path::open_dir_at(&parent, name) {
            empty(&dir);
        }
        let _ = path::rmdir_at(&parent, name);
    }
}

/// Removes everything in `dir`, in rounds: what lies deep comes to the top.
fn empty(dir: &OwnedFd) {
    let mut count = 0u64;
    let mut fresh = || {
        count += 1;
        OsString::from(format!("deep-{count}"))
    };
    loop {
        let names: Vec<OsString> = path::open_dir_at(dir, ".")
            .and_then(Entries::new)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.name))
            .collect();
        if names.is_empty() {
            return;
        }
        for name in names {
            if tree::remove(dir.as_fd(), &name, &mut fresh, &mut || {
                ControlFlow::Continue(())
            })
            .is_err()
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_for_one_and_removed_whole() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let base = tempfile::tempdir().unwrap();
        let dir = PrivateDirectory::new(base.path()).unwrap();
        let other = PrivateDirectory::new(base.path()).unwrap();
        assert_ne!(dir.home(), other.home());
        let mode = std::fs::metadata(dir.home().parent().unwrap()).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o700);
        let deep = dir.home().join("d/".repeat(200));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("f"), "x").unwrap();
        let kept = base.path().join("kept");
        std::fs::write(&kept, "x").unwrap();
        symlink(&kept, dir.home().join("link")).unwrap();
        dir.remove();
        other.remove();
        let left: Vec<_> = std::fs::read_dir(base.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(kept.exists());
    }
}
