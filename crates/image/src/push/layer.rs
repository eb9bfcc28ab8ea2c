//! One layer of a push.
//!
//! 1. the repository has the blob that the layer came as: nothing is sent
//! 2. another repository of the registry has it: it is taken from there
//! 3. wait for one of the places that all pulls and pushes share
//! 4. pack it
//! 5. the repository has that blob: nothing is sent
//! 6. send it

use std::sync::Arc;

use oci_client::manifest::{IMAGE_LAYER_GZIP_MEDIA_TYPE, OciDescriptor};
use shedbox_spec::Digest;
use shedbox_spec::api::{PushEvent, PushState};
use shedbox_store::StoreError;

use super::spool::spool;
use crate::archive::descriptor;
use crate::error::{Error, Result};
use crate::layer::Shared;
use crate::pull::blocking;
use crate::push::Events;
use crate::registry::failure::Failure;
use crate::registry::session::Session;
use crate::registry::upload::Told;

/// The blob that a layer came as, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Original {
    pub(super) descriptor: OciDescriptor,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Repositories of the registry that should have it.
    pub(super) origins: Vec<String>,
}

/// One layer to send.
pub(super) struct LayerJob {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Arc<Session>,
    pub(super) diff_id: Digest,
    pub(super) originals: Vec<Original>,
    pub(super) what: String,
    pub(super) events: Events,
}

/// How the registry knows a layer now.
pub(super) struct Sent {
    /// Here.
    pub(super) local: Digest,
    /// In the configuration that goes with the blob.
    pub(super) diff_id: Digest,
    pub(super) descriptor: OciDescriptor,
}

impl LayerJob {
    pub(super) async fn run(self) -> Result<Sent> {
        self.tell(PushState::Preparing);
        if let Some(original) = self.there().await? {
            return Ok(Sent {
                local: self.diff_id.clone(),
                diff_id: self.diff_id.clone(),
                descriptor: original.descriptor.clone(),
            });
        }
        let _place = if let Ok(place) = self.shared.places.try_acquire() {
            Some(place)
        } else {
            self.tell(PushState::Waiting);
            self.shared.places.acquire().await.ok()
        };
        let (store, diff_id) = (Arc::clone(&self.shared.store), self.diff_id.clone());
        let spooled = blocking(move || spool(&store, &diff_id)).await?;
        let blob = &spooled.blob;
        let exists = self.session.has_blob(&blob.digest, blob.size).await;
        if exists.map_err(|failure| self.failed(failure))? {
            self.tell(PushState::Exists);
        } else {
            let total = blob.size;
            self.tell(PushState::Pushing { current: 0, total });
            let tell = |told| match told {
                Told::Sent(current) => self.tell(PushState::Pushing { current, total }),
                Told::Retrying(attempt, resumed_at) => self.tell(PushState::Retrying {
                    attempt,
                    resumed_at,
                }),
            };
            self.session
                .upload(blob, &tell)
                .await
                .map_err(|failure| self.failed(failure))?;
            self.tell(PushState::Pushed);
        }
        Ok(Sent {
            local: self.diff_id.clone(),
            diff_id: spooled.diff_id,
            descriptor: descriptor(IMAGE_LAYER_GZIP_MEDIA_TYPE, &blob.digest, blob.size),
        })
    }

    /// Steps 1 and 2.
    async fn there(&self) -> Result<Option<&Original>> {
        for original in &self.originals {
            let exists = self
                .session
                .has_blob(&original.digest, original.size)
                .await
                .map_err(|failure| self.failed(failure))?;
            if exists {
                self.tell(PushState::Exists);
                return Ok(Some(original));
            }
        }
        for original in &self.originals {
            for origin in &original.origins {
                if self.session.mount(&original.digest, origin).await {
                    self.tell(PushState::Mounted {
                        from: origin.clone(),
                    });
                    return Ok(Some(original));
                }
            }
        }
        Ok(None)
    }

    fn tell(&self, state: PushState) {
        (self.events)(PushEvent::Layer {
            diff_id: self.diff_id.clone(),
            state,
        });
    }

    fn failed(&self, failure: Failure) -> Error {
        Error::push(&self.what, self.session.host(0), failure)
    }
}

/// A layer that is gone was pruned before the push could pin it.
pub(super) fn missing(diff_id: &Digest) -> Error {
    StoreError::NotFound {
        what: "layer",
        name: diff_id.to_string(),
    }
    .into()
}
