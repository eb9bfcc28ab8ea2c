//! Layers: ingest in one pass, commit by rename, look up.
//!
//! 1. the caller's thread reads, hashes and decompresses the blob
//! 2. a second thread hashes the tar stream, parses it and writes files into `ingest/<name>/diff`
//! 3. both digests are compared
//! 4. one rename makes it visible
//!
//! On two cores the two halves of the work are about equal; a `gunzip | tar x` uses two processes likewise.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shedbox_linux::errno::Errno;
use shedbox_linux::path::{self, Rename};
use shedbox_spec::Digest;

use crate::chunks::{self, Chunks};
use crate::decode::{Compressed, decode};
use crate::error::Doing;
use crate::name::fresh;
use crate::record::{self, Recorder};
use crate::sync::Marker;
use crate::unpack::{Unpacked, Unpacker};
use crate::{PinGuard, Result, Store, StoreError, Trash};

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

/// The content of `layer.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerInfo {
    /// Bytes of file content.
    pub(crate) bytes: u64,
    /// Files, directories and links.
    pub(crate) entries: u64,
    /// Bytes of the record of the tar stream. 0: there is none.
    #[serde(default)]
    pub(crate) record: u64,
}

impl LayerInfo {
    /// What it takes of the disk, about.
    pub(crate) fn room(&self) -> u64 {
        self.bytes + self.record
    }
}

impl Store {
    /// Whether the layer is in the store. Memory only.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layers().contains_key(diff_id)
    }

    /// The layer's root directory, a lowerdir; or where it would be.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex()).join("diff")
    }

    /// Bytes of file content of a layer.
    pub fn layer_size(&self, diff_id: &Digest) -> Result<u64> {
        self.layer_info(diff_id).map(|info| info.bytes)
    }

    /// What a layer takes of the disk: its files, and the record of its tar stream.
    pub fn layer_room(&self, diff_id: &Digest) -> Result<u64> {
        self.layer_info(diff_id).map(|info| info.room())
    }

    /// What all layers take, each once.
    pub fn layers_room(&self) -> Result<u64> {
        let all: Vec<Digest> = self.layers().keys().cloned().collect();
        let mut sum = 0;
        for diff_id in all {
            match self.layer_room(&diff_id) {
                Ok(room) => sum += room,
                Err(StoreError::NotFound { .. }) => {} // removed meanwhile
                Err(error) => return Err(error),
            }
        }
        Ok(sum)
    }

    fn layer_info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        match self.layers().get(diff_id) {
            None => {
                return Err(StoreError::NotFound {
                    what: "layer",
                    name: diff_id.to_string(),
                });
            }
            Some(Some(info)) => return Ok(info.clone()),
            Some(None) => {}
        }
        let info = self.read_layer_info(diff_id)?;
        if let Some(known) = self.layers().get_mut(diff_id) {
            *known = Some(info.clone());
        }
        Ok(info)
    }

    /// Reads `layer.json`.
    pub(crate) fn read_layer_info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        let path = self
            .root
            .join("layers")
            .join(diff_id.hex())
            .join("layer.json");
        let bytes = std::fs::read(&path).doing(|| format!("read `{}`", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            path,
            reason: error.to_string(),
        })
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
        self.ingest_layer_pinned(expect, compressed, on_consumed)
            .map(|(layer, _pin)| layer)
    }

    /// The same for a layer that cannot be pinned before, because its diff id is not known: it stays at least for as long as
    /// the guard lives.
    pub fn ingest_layer_pinned(
        &self,
        expect: &LayerExpect,
        compressed: &mut dyn Read,
        on_consumed: &mut dyn FnMut(u64),
    ) -> Result<(IngestedLayer, PinGuard)> {
        let ingest = Ingest::create(self)?;
        let mut source = Compressed::new(compressed, expect.blob_size, on_consumed);
        let (diff_id, unpacked, record) = self.extract(&ingest, &mut source, expect)?;
        let (blob_digest, blob_size) = source.finish()?;
        check("compressed layer", expect.blob.as_ref(), &blob_digest)?;
        if let Some(expected) = expect.blob_size
            && expected != blob_size
        {
            return Err(StoreError::SizeMismatch {
                expected,
                actual: blob_size,
            });
        }
        check("extracted layer", expect.diff_id.as_ref(), &diff_id)?;
        // Before it is visible: no prune can come in between.
        let pin = self.pin(vec![diff_id.clone()]);
        self.commit(
            ingest,
            &diff_id,
            LayerInfo {
                bytes: unpacked.bytes,
                entries: unpacked.entries,
                record,
            },
        )?;
        let layer = IngestedLayer {
            diff_id,
            blob_digest,
            blob_size,
            unpacked_bytes: unpacked.bytes,
            entries: unpacked.entries,
            warnings: unpacked.warnings,
        };
        Ok((layer, pin))
    }

    /// Runs the two halves side by side and tells whose failure is the cause.
    fn extract(
        &self,
        ingest: &Ingest,
        source: &mut Compressed<'_>,
        expect: &LayerExpect,
    ) -> Result<(Digest, Unpacked, u64)> {
        let limits = self.options.limits;
        let (mut sender, mut receiver) = chunks::channel(limits.max_layer_bytes);
        receiver.record(ingest.record()?);
        let unpacker = Unpacker::new(
            &ingest.path,
            path::open_dir(&ingest.path.join("diff")).doing(|| "open the new layer".to_owned())?,
            &self.trash,
            self.options,
        );
        let (decoded, extracted) = std::thread::scope(|scope| {
            let half = std::thread::Builder::new()
                .name("unpack".to_owned())
                .spawn_scoped(scope, move || unpack(ingest, unpacker, receiver));
            let half = match half {
                Ok(half) => half,
                Err(error) => return (Ok(()), Err(error).doing(|| "start a thread".to_owned())),
            };
            let decoded = decode(source, &mut sender);
            drop(sender); // without the end mark when decoding has failed: the other half must not take it for the end
            let extracted = half.join().unwrap_or_else(|_| {
                tracing::error!("the unpacking thread has panicked");
                Err(StoreError::Aborted)
            });
            (decoded, extracted)
        });
        let error = match (decoded, extracted) {
            (Ok(()), Ok(done)) => return Ok(done),
            // The half that has only noticed that the other one is gone does not know why.
            (Err(StoreError::Aborted) | Ok(()), Err(error)) | (Err(error), _) => error,
        };
        Err(blame(error, source, expect))
    }

    /// Step 4.
    pub(crate) fn commit(
        &self,
        mut ingest: Ingest,
        diff_id: &Digest,
        info: LayerInfo,
    ) -> Result<()> {
        let what = || format!("commit layer {diff_id}");
        let text = serde_json::to_vec(&info).map_err(|error| StoreError::Io {
            what: what(),
            source: error.into(),
        })?;
        let file = path::create_at(&ingest.dir, "layer.json", 0o600).doing(what)?;
        File::from(file).write_all(&text).doing(what)?;
        self.syncer.mark(&Marker::Layer(diff_id.clone()))?;
        let mut layers = self.layers();
        let place = format!("layers/{}", diff_id.hex());
        match path::rename_at(
            path::CURRENT,
            &ingest.path,
            &self.dir,
            &place,
            Rename::Replace,
        ) {
            Ok(()) => {
                ingest.committed = true;
                layers.insert(diff_id.clone(), Some(info));
                Ok(())
            }
            // rename(2) does not replace a directory that has something in it: somebody else was first.
            Err(error) if matches!(error.errno, Errno::ENOTEMPTY | Errno::EEXIST) => {
                layers.entry(diff_id.clone()).or_insert(Some(info));
                Ok(())
            }
            Err(error) => Err(error).doing(what),
        }
    }
}

/// Owns its end of the stream: the sender must notice when this has failed.
fn unpack(
    ingest: &Ingest,
    mut unpacker: Unpacker<'_>,
    mut chunks: Chunks,
) -> Result<(Digest, Unpacked, u64)> {
    // Modes are as the archive says, whatever the daemon's umask is; this thread ends with the layer.
    path::private_zero_umask().doing(|| "leave the umask".to_owned())?;
    unpacker.run(&mut chunks)?;
    let result = unpacker.finish()?;
    let diff_id = chunks.finish()?;
    let record = ingest.finish_record(chunks.take_recorder(), result.recorded)?;
    Ok((diff_id, result, record))
}

fn check(what: &'static str, expected: Option<&Digest>, actual: &Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != actual => Err(StoreError::DigestMismatch {
            what,
            expected: expected.clone(),
            actual: actual.clone(),
        }),
        _ => Ok(()),
    }
}

/// When data makes no sense, the first question is whether it is the data that was asked for: reads the rest of the
/// blob to see.
fn blame(error: StoreError, source: &mut Compressed<'_>, expect: &LayerExpect) -> StoreError {
    let about_content = matches!(error, StoreError::Corrupt { .. } | StoreError::Tar(_));
    if !about_content || expect.blob.is_none() {
        return error;
    }
    match source.finish() {
        Ok((actual, _)) => check("compressed layer", expect.blob.as_ref(), &actual)
            .err()
            .unwrap_or(error),
        Err(StoreError::Source(source)) => StoreError::Source(source),
        Err(_) => error,
    }
}

/// A directory in `ingest/`; what is not committed goes to the trash.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) path: PathBuf,
    dir: OwnedFd,
    trash: Arc<Trash>,
    committed: bool,
}

impl Ingest {
    pub(crate) fn create(store: &Store) -> Result<Self> {
        let path = store.root.join("ingest").join(fresh());
        let what = || format!("create `{}`", path.display());
        make_dir(&path, 0o700).doing(what)?;
        let dir = path::open_dir(&path).doing(what)?;
        let ingest = Self {
            dir,
            path,
            trash: Arc::clone(&store.trash),
            committed: false,
        };
        // The image's `/`, unless the layer has an entry for it.
        let diff = ingest.path.join("diff");
        make_dir(&diff, 0o755)
            .and_then(|()| path::open_dir(&diff))
            .and_then(|diff| shedbox_linux::meta::chmod(diff, 0o755))
            .doing(|| format!("create `{}`", diff.display()))?;
        Ok(ingest)
    }
}

impl Ingest {
    /// Begins the record of the tar stream.
    fn record(&self) -> Result<Recorder> {
        path::create_at(&self.dir, record::NAME, 0o600)
            .map(File::from)
            .doing(|| self.recording())
            .and_then(|file| Recorder::new(file).doing(|| self.recording()))
    }

    /// Ends the record, or takes it away when it is of no use. How large it is.
    fn finish_record(&self, recorder: Option<Recorder>, useful: bool) -> Result<u64> {
        let Some(recorder) = recorder else {
            return Ok(0);
        };
        if useful {
            let file = recorder.finish().doing(|| self.recording())?;
            return Ok(file.metadata().doing(|| self.recording())?.len());
        }
        tracing::debug!(
            "too much of a layer was replaced within it: its tar stream is not recorded"
        );
        path::unlink_at(&self.dir, record::NAME).doing(|| self.recording())?;
        Ok(0)
    }

    fn recording(&self) -> String {
        format!("write `{}`", self.path.join(record::NAME).display())
    }
}

fn make_dir(path: &Path, mode: u32) -> shedbox_linux::Result<()> {
    path::mkdir_at(path::CURRENT, path, mode)
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        if let Err(error) = self.trash.discard(&self.path) {
            let text = shedbox_spec::error::chain(&error);
            tracing::warn!("{text}; it is removed at the next start");
        }
    }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
