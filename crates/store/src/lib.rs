//! The disk: blobs, layers, references, upperdirs, trash. Blocking, no network, every method takes `&self`.
//!
//! One process (the daemon, uid 0 of its user namespace) owns a store at a time; [`lock_root`] sees to that.
//!
//! ```text
//! store/version                         format and features, see `root`
//! store/blobs/sha256/<hex>              manifests and configs; compressed layers are not kept
//! store/layers/<hex of diff id>/diff    extracted, in overlay's form, never written again
//! store/layers/<hex>/layer.json         size and number of entries
//! store/layers/<hex>/tar.zst            what of its tar stream is not in `diff`, see `record`
//! store/layers/<hex>/replaced/…         what of it a later entry has replaced, see `replaced`
//! store/unsynced/<hex>.<boot id>        the layer may not have reached the disk yet, see `sync`
//! store/images/<hex of manifest>.json   one record per image
//! store/refs.json                       reference -> manifest digest; refs.synced.json: the last one known on disk
//! store/ingest/<name>                   in flight; renamed into layers/ only when whole and verified
//! trash/<name>                          waits for deletion
//! ```
//!
//! # A pull
//!
//! ```text
//! let pin = store.pin(diff_ids and digests);       // prune keeps its hands off from here on
//! store.write_blob(Some(&manifest), reader)?;      // manifest and config
//! for each layer: if !store.has_layer(&diff_id) { store.ingest_layer(&expect, reader, progress)? }
//! let image = store.add_image(&manifest)?;         // the record; every layer must be there
//! store.tag("docker.io/library/alpine:3", &manifest)?;
//! store.tag("docker.io/library/alpine@sha256:…", &manifest)?;
//! ```
//!
//! # A sandbox
//!
//! ```text
//! let image = store.resolve("docker.io/library/alpine:3")?;
//! let pin = store.pin(image.digests());            // until the sandbox's own record says that it uses the image
//! let lower = store.lowers(&image)?;               // uppermost first, each directory once
//! upper::make(&sandbox_dir, &[])?;                 // upper, work, cow/<n>/{upper,work}
//! upper::swap(&live_upper, &spare_upper)?;         // reset
//! upper::renew_work(&sandbox_dir, &[], store.trash())?; // before the next mount on this upperdir
//! store.trash().discard(&old)?;
//! ```

pub mod diff;
pub mod pack;
pub mod snapshot;
pub mod trash;
pub mod upper;

mod blob;
mod catalog;
mod chunks;
mod commit;
mod copier;
mod decode;
mod decompress;
mod directories;
mod entry;
mod error;
mod gc;
mod header;
mod hidden;
#[cfg(test)]
mod hostile_entries_tests;
#[cfg(test)]
mod hostile_tests;
mod image;
mod layer;
mod lock;
mod name;
#[cfg(test)]
mod overlay_tests;
mod parents;
mod pax;
mod record;
mod replaced;
mod reproduce;
mod root;
mod sparse;
mod sync;
#[cfg(test)]
mod testing;
mod unpack;
mod version;
mod warnings;
mod whiteout;
mod write;

pub use commit::{CommittedLayer, UpperCopy};
pub use decompress::decompress;
pub use error::{Result, StoreError};
pub use gc::PinGuard;
pub use image::ImageRecord;
pub use layer::{IngestedLayer, LayerExpect};
pub use lock::{RootLock, lock_root};
pub use reproduce::TarOutput;
pub use root::{IdPolicy, Store, StoreOptions, UnpackLimits};
pub use trash::{Trash, TrashStats};
