//! The store's directory: created, versioned, opened.

use std::path::Path;
use std::sync::Arc;

use crate::{Result, Trash};

/// Which owners the user namespace can represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdPolicy {
    /// Ids from 0 to these are mapped. An entry beyond them is an error that names it.
    Mapped {
        /// Highest mapped user id.
        max_uid: u32,
        /// Highest mapped group id.
        max_gid: u32,
    },
    /// Only 0 is mapped: every file is recorded as root's, with one warning per layer.
    Single,
}

/// What a layer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes of the uncompressed tar stream: the guard against compression bombs.
    pub max_layer_bytes: u64,
    /// Entries, directories that only a path implies included.
    pub max_entries: u64,
    /// Bytes of one path or link target.
    pub max_path: usize,
    /// Bytes of the extended header of one entry, in which extended attributes are.
    pub max_xattr_bytes: usize,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            max_layer_bytes: 64 << 30,
            max_entries: 10_000_000,
            max_path: 4095,
            max_xattr_bytes: 1 << 20,
        }
    }
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Owners that can be represented.
    pub ids: IdPolicy,
    /// What a layer may cost.
    pub limits: UnpackLimits,
}

/// Images and layers on disk. Cheap to share in an [`Arc`]; all methods take `&self` and may run in parallel.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens or creates the store at `root` with its trash at `trash` (same file system). The caller holds the
    /// [`RootLock`](crate::RootLock).
    ///
    /// Moves leftovers of interrupted ingests into the trash, and drops layers that a power loss may have emptied.
    pub fn open(root: &Path, trash: &Path, options: StoreOptions) -> Result<Self> {
        let _ = (root, trash, options);
        unimplemented!()
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        unimplemented!()
    }

    /// Where things go to be deleted.
    pub fn trash(&self) -> &Arc<Trash> {
        unimplemented!()
    }
}
