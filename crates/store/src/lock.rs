//! One daemon per root.

use std::fs::File;
use std::path::Path;

use crate::Result;

/// Ownership of a root, released when dropped or when the process ends.
#[derive(Debug)]
pub struct RootLock {
    _file: File,
}

/// Takes `<root>/lock` (created, with the root itself, when missing) without waiting and writes our pid into it.
/// [`StoreError::Locked`](crate::StoreError::Locked) names the holder.
pub fn lock_root(root: &Path) -> Result<RootLock> {
    let _ = root;
    unimplemented!()
}
