//! Changes in one directory. Source: inotify(7).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::errno::{Context, Errno, Result};

/// Watches a directory for files that are written, made, renamed or removed.
#[derive(Debug)]
pub struct DirectoryWatch(Inotify);

impl DirectoryWatch {
    /// Watches the directory at `path` from now on. EMFILE: the user's `fs.inotify.max_user_instances` are used up;
    /// ENOSPC: the watches.
    pub fn new(path: &Path) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .call("inotify_init1", String::new)?;
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify
            .add_watch(path, events)
            .call("inotify_add_watch", || path.display().to_string())?;
        Ok(Self(inotify))
    }

    /// Waits until something has changed since the last call; false when `timeout` came first.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        if !crate::pidfd::readable(&self.0, timeout)? {
            return Ok(false);
        }
        self.drain()?;
        Ok(true)
    }

    /// Forgets the changes so far: for a caller that waits on the descriptor by its own means.
    pub fn drain(&self) -> Result<()> {
        loop {
            match self.0.read_events() {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno).call("read", || "inotify".into()),
            }
        }
    }
}

/// Readable when something has changed.
impl AsFd for DirectoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_writes_and_renames_once() {
        let dir = tempfile::tempdir().unwrap();
        let watch = DirectoryWatch::new(dir.path()).unwrap();
        let now = Some(Duration::ZERO);
        assert!(!watch.wait(now).unwrap());
        std::fs::write(dir.path().join("a"), "x").unwrap();
        assert!(watch.wait(None).unwrap());
        assert!(!watch.wait(now).unwrap());
        std::fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert!(watch.wait(now).unwrap());
        let missing = DirectoryWatch::new(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.errno, Errno::ENOENT);
    }
}
