//! The store's directory: created, versioned, opened, and cleaned of what a crash has left.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shedbox_linux::errno::Errno;
use shedbox_linux::path::{self, Rename};
use shedbox_linux::tree::Entries;
use shedbox_linux::{disk, meta};
use shedbox_spec::Digest;

use crate::error::Doing;
use crate::gc::Pins;
use crate::image::Catalog;
use crate::layer::LayerInfo;
use crate::name::fresh;
use crate::sync::{Boot, Marker, Syncer};
use crate::version::Version;
use crate::{Result, StoreError, Trash};

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
///
/// Lock order: catalog, then layers, then pins.
#[derive(Debug)]
pub struct Store {
    pub(crate) root: PathBuf,
    /// The same directory, opened.
    pub(crate) dir: OwnedFd,
    pub(crate) options: StoreOptions,
    pub(crate) trash: Arc<Trash>,
    /// Images and references; replaced on disk before it changes here.
    pub(crate) catalog: Mutex<Catalog>,
    /// Every layer in `layers/`; what is known of it, once asked for.
    pub(crate) layers: Mutex<HashMap<Digest, Option<LayerInfo>>>,
    pub(crate) pins: Arc<Pins>,
    pub(crate) syncer: Syncer,
}

const DIRECTORIES: &[&str] = &[
    "blobs",
    "blobs/sha256",
    "layers",
    "images",
    "ingest",
    "unsynced",
];

impl Store {
    /// Opens or creates the store at `root` with its trash at `trash` (same file system). The caller holds the
    /// [`RootLock`](crate::RootLock).
    ///
    /// Moves leftovers of interrupted ingests into the trash, and drops layers and images that a power loss may have
    /// emptied.
    pub fn open(root: &Path, trash: &Path, options: StoreOptions) -> Result<Self> {
        make_private_dir(root)?;
        let dir = path::open_dir(root).doing(|| format!("open the store `{}`", root.display()))?;
        check_version(root, &dir)?;
        for name in DIRECTORIES {
            make_private_dir(&root.join(name))?;
        }
        let trash = Trash::open(trash)?;
        for name in names_in(&root.join("ingest"))? {
            trash.discard(&root.join("ingest").join(name))?;
        }
        let boot = Boot::current()?;
        let suspects = drop_unsynced_layers(root, &boot, &trash)?;
        let layers: HashMap<_, _> = names_in(&root.join("layers"))?
            .into_iter()
            .filter_map(|name| Some((Digest::parse(&format!("sha256:{name}")).ok()?, None)))
            .collect();
        let syncer = Syncer::start(root, boot)?;
        let store = Self {
            root: root.to_owned(),
            dir,
            options,
            trash,
            catalog: Mutex::default(),
            layers: Mutex::new(layers),
            pins: Arc::default(),
            syncer,
        };
        let catalog = store.load_catalog(&suspects)?;
        *store.catalog() = catalog;
        Ok(store)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where things go to be deleted.
    pub fn trash(&self) -> &Arc<Trash> {
        &self.trash
    }

    /// Room on the store's file system.
    pub fn room(&self) -> Result<disk::Room> {
        disk::room(&self.dir).doing(|| format!("ask for the room at `{}`", self.root.display()))
    }

    /// Waits until everything that was committed before has reached the disk.
    pub fn sync(&self) -> Result<()> {
        self.syncer.sync_now()
    }

    // The maps change only after the disk has, in one step: a panic elsewhere leaves them whole.
    pub(crate) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn layers(&self) -> MutexGuard<'_, HashMap<Digest, Option<LayerInfo>>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces a small file of the store by rename.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        replace(&self.root, &self.dir, name, content)
    }
}

/// Creates a directory of mode 0700, parents included, unless it is there.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .doing(|| format!("create `{}`", path.display()))
}

/// The names in a directory that are UTF-8; ours are.
pub(crate) fn names_in(dir: &Path) -> Result<Vec<String>> {
    let what = || format!("read `{}`", dir.display());
    let entries = path::open_dir(dir).and_then(Entries::new).doing(what)?;
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.doing(what)?.name.into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn replace(root: &Path, dir: &OwnedFd, name: &str, content: &[u8]) -> Result<()> {
    let temporary = format!("ingest/{}", fresh());
    let written = path::create_at(dir, &temporary, 0o600)
        .doing(|| format!("write `{}`", root.join(name).display()))
        .and_then(|fd| {
            File::from(fd)
                .write_all(content)
                .doing(|| format!("write `{}`", root.join(name).display()))
        })
        .and_then(|()| {
            path::rename_at(dir, &temporary, dir, name, Rename::Replace)
                .doing(|| format!("replace `{}`", root.join(name).display()))
        });
    if written.is_err() {
        remove_temporary(dir, &temporary);
    }
    written
}

/// Removes what a failed write has left, so that a full disk does not stay full; the failure itself is reported.
pub(crate) fn remove_temporary(dir: &OwnedFd, name: &str) {
    match path::unlink_at(dir, name) {
        Err(error) if error.errno != Errno::ENOENT => {
            tracing::debug!(%error, "a temporary file stays until the next start");
        }
        _ => {}
    }
}

fn check_version(root: &Path, dir: &OwnedFd) -> Result<()> {
    let path = root.join("version");
    match std::fs::read(&path) {
        Ok(bytes) => {
            Version::parse(&bytes, &path)?
                .check()
                .map_err(|features| StoreError::Format {
                    root: root.to_owned(),
                    features,
                })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let strangers: Vec<String> = names_in(root)?
                .into_iter()
                .filter(|name| name != "ingest")
                .collect();
            if !strangers.is_empty() {
                return Err(StoreError::Damaged {
                    path,
                    reason: format!(
                        "it is missing in a directory that is not empty ({})",
                        strangers.join(", ")
                    ),
                });
            }
            make_private_dir(&root.join("ingest"))?;
            let text = serde_json::to_vec(&Version::current()).map_err(|error| StoreError::Io {
                what: "write the version".to_owned(),
                source: error.into(),
            })?;
            replace(root, dir, "version", &text)?;
            // Once in a store's life: without this file it would be refused after a power loss.
            disk::sync_file_system(dir).doing(|| format!("sync `{}`", root.display()))
        }
        Err(error) => Err(error).doing(|| format!("read `{}`", path.display())),
    }
}

/// Discards the layers that were committed before this boot and never known to be on disk: after a power loss their
/// files may be empty. Gives the manifests of images in the same position, whose blobs must be read to be believed.
fn drop_unsynced_layers(root: &Path, boot: &Boot, trash: &Trash) -> Result<Vec<Digest>> {
    let dir = root.join("unsynced");
    let mut suspects = Vec::new();
    for name in names_in(&dir)? {
        let Some((marker, marked_in)) = Marker::parse(&name) else {
            continue;
        };
        if marked_in == *boot {
            continue; // no crash of the machine since: what was written is in the kernel's cache
        }
        match marker {
            Marker::Layer(diff_id) => {
                let layer = root.join("layers").join(diff_id.hex());
                if meta::stat_at(path::CURRENT, &layer).is_ok() {
                    tracing::warn!(%diff_id, "a layer had not reached the disk before a crash; it must be pulled again");
                    trash.discard(&layer)?;
                }
            }
            Marker::Image(manifest) => suspects.push(manifest),
        }
        let marker = dir.join(&name);
        std::fs::remove_file(&marker).doing(|| format!("remove `{}`", marker.display()))?;
    }
    Ok(suspects)
}
