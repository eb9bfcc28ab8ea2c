//! One layer: downloaded, verified, decompressed and extracted in one stream.
//!
//! 1. it is there: done                       2. another pull fetches it: wait, then look again
//! 3. wait for one of the places that all pulls share (`pull_jobs`)
//! 4. the download feeds a bounded channel; a blocking thread reads it and extracts
//!
//! Content that turns out damaged is fetched once more from the start, at the next endpoint when the first was a
//! mirror: a proxy's bad copy or a resumption across a changed file is mended by that. The second time it is an error.

use std::sync::Arc;

use shedbox_spec::Digest;
use shedbox_spec::api::LayerState;
use shedbox_store::{IngestedLayer, LayerExpect, Store, StoreError};
use tokio::sync::{Semaphore, mpsc};

use crate::chunks;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::once::{OnceMap, Turn};
use crate::progress::LayerProgress;
use crate::registry::blob::BlobReader;
use crate::registry::session::Session;

/// What the layers of all pulls share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) once: Arc<OnceMap>,
}

/// One layer to get.
pub(crate) struct LayerJob {
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<Session>,
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    /// `layer sha256:… of …`, for errors.
    pub(crate) what: String,
    pub(crate) progress: Arc<LayerProgress>,
    /// Held by the extracting thread: when all clones are gone, no thread works for this pull any more.
    pub(crate) alive: mpsc::Sender<()>,
}

/// How a layer came to be in the store.
pub(crate) struct Outcome {
    /// Bytes came over the network for this very call.
    pub(crate) fetched: bool,
    /// What could not be kept.
    pub(crate) warnings: Vec<String>,
}

impl LayerJob {
    /// Until the layer is in the store.
    pub(crate) async fn run(self) -> Result<Outcome> {
        let there = |fetched, warnings| Ok(Outcome { fetched, warnings });
        let mut waited = false;
        loop {
            if self.shared.store.has_layer(&self.diff_id) {
                self.progress.state(if waited {
                    LayerState::Done
                } else {
                    LayerState::Exists
                });
                return there(false, Vec::new());
            }
            match self.shared.once.enter(&self.diff_id) {
                Turn::Wait(other) => {
                    self.progress.state(LayerState::Waiting);
                    waited = true;
                    other.ended().await;
                }
                Turn::Lead(lead) => {
                    // The one before may have ended between the look and the turn.
                    if self.shared.store.has_layer(&self.diff_id) {
                        continue;
                    }
                    let _place = self.shared.places.acquire().await;
                    let layer = self.fetch().await?;
                    drop(lead);
                    self.progress.done();
                    return there(true, layer.warnings);
                }
            }
        }
    }

    async fn fetch(&self) -> Result<IngestedLayer> {
        let mut blob = BlobReader::new(
            Arc::clone(&self.session),
            self.blob.digest.clone(),
            self.blob.size,
            self.what.clone(),
        );
        match self.attempt(&mut blob).await? {
            Ok(layer) => return Ok(layer),
            Err(error) if !is_damage(&error) => return Err(self.failed(error)),
            Err(error) => {
                tracing::debug!(
                    what = self.what,
                    error = %shedbox_spec::error::chain(&error),
                    "damaged content, once more from the start"
                );
            }
        }
        blob.restart();
        self.progress.restart();
        self.progress.state(LayerState::Retrying {
            attempt: 2,
            resumed_at: 0,
        });
        self.attempt(&mut blob)
            .await?
            .map_err(|error| self.failed(error))
    }

    /// One pass over the blob. The outer error is the network's, the inner one the store's.
    async fn attempt(&self, blob: &mut BlobReader) -> Result<Result<IngestedLayer, StoreError>> {
        let (sender, mut reader) = chunks::channel();
        let extraction = {
            let store = Arc::clone(&self.shared.store);
            let progress = Arc::clone(&self.progress);
            let alive = self.alive.clone();
            let expect = LayerExpect {
                blob: Some(self.blob.digest.clone()),
                blob_size: Some(self.blob.size),
                diff_id: Some(self.diff_id.clone()),
            };
            tokio::task::spawn_blocking(move || {
                let result = store.ingest_layer(&expect, &mut reader, &mut |consumed| {
                    progress.extracted(consumed);
                });
                drop(alive);
                result
            })
        };
        let downloaded = self.download(blob, sender).await;
        let extracted = extraction.await.map_err(|error| Error::Io {
            what: format!("extract {}", self.what),
            source: std::io::Error::other(error),
        })?;
        // When the download failed, the extraction failed for that alone.
        downloaded.map(|()| extracted)
    }

    async fn download(&self, blob: &mut BlobReader, sender: chunks::Sender) -> Result<()> {
        let on_retry = |attempt, resumed_at| {
            self.progress.state(LayerState::Retrying {
                attempt,
                resumed_at,
            });
        };
        while let Some(chunk) = blob.next(&on_retry).await? {
            let bytes = chunk.len() as u64;
            if !sender.send(chunk).await {
                // The extraction has ended early and says why.
                return Ok(());
            }
            self.progress.downloaded(bytes);
        }
        sender.finish();
        Ok(())
    }

    fn failed(&self, source: StoreError) -> Error {
        Error::Layer {
            what: self.what.clone(),
            source,
        }
    }
}

/// Whether other bytes under the same digest could do better.
fn is_damage(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::DigestMismatch { .. }
            | StoreError::SizeMismatch { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Tar(_)
    )
}
