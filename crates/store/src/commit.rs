//! An upperdir becomes a layer.
//!
//! 1. what the sandbox has changed is copied into `ingest/<name>/diff`, in overlay's own form: the sandbox may have to
//!    stand still for this part alone    2. the copy is packed, into nothing: that gives its diff id    3. one rename
//!
//! The copy goes from directory to directory instead of through a tar stream, so that file systems that can share
//! blocks do; and as nobody writes to it any more, the digest is that of what was kept, even when the sandbox ran on.
//! [`pack_layer`] gives the same bytes each time, so `save` and `push` find the layer unchanged under its diff id.
//!
//! See [`crate::copier`] for how the upperdir is walked.

use std::path::{Path, PathBuf};

use shedbox_spec::Digest;

use crate::copier::{Copier, Purpose};
use crate::hidden::Hidden;
use crate::layer::{Ingest, LayerInfo};
use crate::pack::pack_layer;
use crate::{PinGuard, Result, Store};

/// A layer that was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedLayer {
    /// Digest of the layer as tar: its key.
    pub diff_id: Digest,
    /// Length of that tar stream.
    pub tar_bytes: u64,
    /// Bytes of file content.
    pub unpacked_bytes: u64,
    /// Files, directories, links and whiteouts.
    pub entries: u64,
}

/// What a sandbox has changed, copied and not yet a layer. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct UpperCopy<'s> {
    store: &'s Store,
    ingest: Ingest,
    info: LayerInfo,
    warnings: Vec<String>,
}

impl Store {
    /// Copies what `upper` changes of `lowers` (uppermost first). Paths in `ignore` (absolute, as inside) are our own mount
    /// points and left out, with directories that exist or changed for their sake only. Sockets and device nodes are
    /// left out with a warning.
    pub fn copy_upper(
        &self,
        upper: &Path,
        lowers: &[PathBuf],
        ignore: &[String],
    ) -> Result<UpperCopy<'_>> {
        self.copy_uppers(&[upper.to_owned()], lowers, ignore)
    }

    /// The same of several that lie over each other, uppermost first: one layer that has the changes of all.
    pub fn copy_uppers(
        &self,
        uppers: &[PathBuf],
        lowers: &[PathBuf],
        ignore: &[String],
    ) -> Result<UpperCopy<'_>> {
        let ingest = Ingest::create(self)?;
        let diff = ingest.path.join("diff");
        let purpose = Purpose::Layer(Hidden::new(ignore));
        let (info, warnings) = Copier::copy(uppers, lowers, &diff, purpose, self.trash())?;
        Ok(UpperCopy {
            store: self,
            ingest,
            info,
            warnings,
        })
    }
}

impl UpperCopy<'_> {
    /// Whether the sandbox has changed nothing: there is no layer to make.
    pub fn is_empty(&self) -> bool {
        self.info.entries == 0
    }

    /// What could not be kept, for people: once per cause.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Makes it a layer, which stays at least for as long as the guard lives. Equal layers may be made at once: one
    /// wins, the others are dropped.
    pub fn into_layer(self) -> Result<(CommittedLayer, PinGuard)> {
        let packed = pack_layer(&self.ingest.path.join("diff"), &mut std::io::sink())?;
        let layer = CommittedLayer {
            diff_id: packed.diff_id,
            tar_bytes: packed.bytes,
            unpacked_bytes: self.info.bytes,
            entries: self.info.entries,
        };
        // Before it is visible: no prune can come in between.
        let pin = self.store.pin(vec![layer.diff_id.clone()]);
        self.store.commit(self.ingest, &layer.diff_id, self.info)?;
        Ok((layer, pin))
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
