//! Layers: ingest in one pass, commit by rename, look up.

use std::io::Read;
use std::path::PathBuf;

use shedbox_spec::Digest;

use crate::{Result, Store};

/// What a layer must turn out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerExpect {
    /// Digest of the blob as it is transferred, when known.
    pub blob: Option<Digest>,
    /// Size of that blob in bytes, when known.
    pub blob_size: Option<u64>,
    /// Digest of the uncompressed tar stream, when known.
    pub diff_id: Option<Digest>,
}

/// A layer that is in the store now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestedLayer {
    /// Digest of the uncompressed tar stream: the layer's key.
    pub diff_id: Digest,
    /// Digest of the blob as it came.
    pub blob_digest: Digest,
    /// Size of that blob in bytes.
    pub blob_size: u64,
    /// Bytes of file content.
    pub unpacked_bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
    /// What could not be kept, for people: once per cause.
    pub warnings: Vec<String>,
}

impl Store {
    /// Whether the layer is in the store.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        let _ = diff_id;
        unimplemented!()
    }

    /// The layer's root directory, a lowerdir; or where it would be.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        let _ = diff_id;
        unimplemented!()
    }

    /// Bytes of file content of a layer.
    pub fn layer_size(&self, diff_id: &Digest) -> Result<u64> {
        let _ = diff_id;
        unimplemented!()
    }

    /// Reads a layer blob to its end (gzip, zstd or plain tar, told by magic), verifies both digests and extracts it, in
    /// one pass. `on_consumed` hears the total of compressed bytes consumed so far.
    ///
    /// The layer becomes visible by one rename after everything is verified; on failure nothing is left. Equal layers
    /// may be ingested at once: one wins, the others are dropped.
    pub fn ingest_layer(
        &self,
        expect: &LayerExpect,
        compressed: &mut dyn Read,
        on_consumed: &mut dyn FnMut(u64),
    ) -> Result<IngestedLayer> {
        let _ = (expect, compressed, on_consumed);
        unimplemented!()
    }
}
