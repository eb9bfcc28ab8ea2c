//! One daemon per root.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::Doing;
use crate::{Result, StoreError};

/// Ownership of a root, released when dropped or when the process ends.
#[derive(Debug)]
pub struct RootLock {
    _file: File,
}

/// Takes `<root>/lock` (created, with the root itself, when missing) without waiting and writes our pid into it.
/// [`StoreError::Locked`] names the holder.
///
/// The lock is flock(2): it belongs to the open file, which is closed on execve, so children do not keep it.
pub fn lock_root(root: &Path) -> Result<RootLock> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .doing(|| format!("create `{}`", root.display()))?;
    let path = root.join("lock");
    let what = |verb: &str| format!("{verb} `{}`", path.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .doing(|| what("open"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // What it says is only for the message; an unreadable pid is no pid.
            let _ = file.read_to_string(&mut text);
            return Err(StoreError::Locked {
                root: root.to_owned(),
                holder: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(error).doing(|| what("lock")),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .doing(|| what("write"))?;
    Ok(RootLock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/root");
        let first = lock_root(&root).unwrap();
        let error = lock_root(&root).unwrap_err();
        assert!(
            matches!(&error, StoreError::Locked { holder, .. } if *holder == Some(std::process::id())),
            "{error:?}"
        );
        let shown = error.to_spec();
        assert_eq!(shown.kind, shedbox_spec::Kind::Conflict);
        assert!(shown.message.contains(&std::process::id().to_string()));
        assert!(shown.hint.is_some());
        drop(first);
        lock_root(&root).unwrap();
    }
}
