//! Pushing: layers → configuration → manifest.
//!
//! Layers are kept extracted, not as the blobs that they came as, and what we compress has other digests. So a blob that
//! the registry has already, in this or another repository, is worth more than what it costs to ask: where it has all of
//! them, the manifest that the image came with is sent as it is. The image keeps its id in any case, unless a layer cannot
//! be written as it came ([`Store::write_layer`]): then the configuration that is sent lists what was sent.

mod layer;
mod spool;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde_json::{Value, json};
use shedbox_spec::api::{PushEvent, PushRequest, PushResult};
use shedbox_spec::{Digest, Reference};
use shedbox_store::{ImageRecord, PinGuard, Store, StoreError};
use tokio::task::JoinSet;

use crate::archive::{descriptor, digest_of};
use crate::error::{Error, Result};
use crate::manifest::{self, MAX_CONFIG};
use crate::pull::blocking;
use crate::registry::failure::Failure;
use crate::registry::session::{Access, Credentials, Session};
use crate::registry::upload::{Blob, Content};
use crate::service::ImageService;
use layer::{LayerJob, Original, Sent};

/// Where events go. Called from several threads, in the order of each layer's own life.
pub(crate) type Events = Arc<dyn Fn(PushEvent) + Send + Sync>;

/// Blobs of one layer that are asked for, and repositories that are asked for one blob.
const MAX_TRIES: usize = 3;

type Originals = BTreeMap<Digest, Vec<Original>>;

/// What is known before the registry is asked.
struct Plan {
    image: Arc<ImageRecord>,
    _pin: PinGuard,
    /// The manifest as it is here.
    manifest: Option<(Vec<u8>, OciImageManifest)>,
    /// What the layers came as, by diff id.
    originals: Originals,
    config: Vec<u8>,
}

impl ImageService {
    /// Sends the image that a reference names to the registry that it names, and tells `events` what happens. The last
    /// event of success is [`PushEvent::Done`]; [`PushEvent::Failed`] is left to the caller, who has the error.
    ///
    /// Dropping the future stops the push; blobs that were sent stay at the registry.
    pub async fn push(
        &self,
        request: PushRequest,
        events: impl Fn(PushEvent) + Send + Sync + 'static,
    ) -> Result<PushResult> {
        let events: Events = Arc::new(events);
        let reference = self.parse_tag(&request.reference)?;
        let tag = reference.tag().unwrap_or("latest").to_owned();
        let plan = {
            let (store, reference) = (Arc::clone(&self.shared.store), reference.clone());
            blocking(move || Plan::make(&store, &reference)).await?
        };
        self.check_room()?;
        let origins: HashSet<&String> = plan
            .originals
            .values()
            .flatten()
            .flat_map(|original| &original.origins)
            .collect();
        let session = Arc::new(self.session(
            &reference,
            Credentials::from(&request.auth),
            Access::Push {
                origins: origins.into_iter().cloned().collect(),
            },
        )?);
        let sent = self
            .push_layers(&plan, &reference, &session, &events)
            .await?;
        let (config, manifest, media_type) = plan.documents(&sent)?;
        let (config_digest, digest) = (digest_of(&config), digest_of(&manifest));
        let fail = |what: &str| {
            let what = format!("{what} of `{reference}`");
            let host = session.host(0);
            move |failure: Failure| Error::push(&what, host, failure)
        };
        let blob = Blob {
            digest: config_digest.clone(),
            size: config.len() as u64,
            content: Content::Memory(config.into()),
        };
        if !session
            .has_blob(&blob.digest, blob.size)
            .await
            .map_err(fail("configuration"))?
        {
            session
                .upload(&blob, &|_| ())
                .await
                .map_err(fail("configuration"))?;
        }
        let manifest = Bytes::from(manifest);
        session
            .put_manifest(&tag, &media_type, &manifest, &digest)
            .await
            .map_err(fail("manifest"))?;
        let result = PushResult {
            reference: reference.to_string(),
            digest: digest.clone(),
            size: manifest.len() as u64,
        };
        if config_digest == plan.image.config {
            let (store, image) = (Arc::clone(&self.shared.store), Arc::clone(&plan.image));
            let name = reference.with_digest(digest.clone()).to_string();
            blocking(move || remember(&store, &image, &manifest, &digest, &name)).await?;
        }
        events(PushEvent::Done {
            result: result.clone(),
        });
        Ok(result)
    }

    /// All layers, several at once.
    async fn push_layers(
        &self,
        plan: &Plan,
        reference: &Reference,
        session: &Arc<Session>,
        events: &Events,
    ) -> Result<BTreeMap<Digest, Sent>> {
        let mut seen = HashSet::new();
        let layers: Vec<Digest> = plan
            .image
            .diff_ids
            .iter()
            .filter(|diff_id| seen.insert(*diff_id))
            .cloned()
            .collect();
        if let Some(missing) = layers
            .iter()
            .find(|layer| !self.shared.store.has_layer(layer))
        {
            return Err(layer::missing(missing));
        }
        events(PushEvent::Started {
            reference: reference.to_string(),
            layers: layers.clone(),
        });
        let mut jobs = JoinSet::new();
        for diff_id in layers {
            let job = LayerJob {
                shared: Arc::clone(&self.shared),
                session: Arc::clone(session),
                originals: plan.originals.get(&diff_id).cloned().unwrap_or_default(),
                what: format!("layer {diff_id} of `{reference}`"),
                diff_id,
                events: Arc::clone(events),
            };
            jobs.spawn(job.run());
        }
        let mut sent = BTreeMap::new();
        while let Some(outcome) = jobs.join_next().await {
            let outcome = outcome.unwrap_or_else(|error| {
                Err(Error::Io {
                    what: format!("send the layers of `{reference}`"),
                    source: std::io::Error::other(error),
                })
            });
            match outcome {
                Ok(layer) => {
                    sent.insert(layer.local.clone(), layer);
                }
                Err(error) => {
                    jobs.shutdown().await;
                    return Err(error);
                }
            }
        }
        Ok(sent)
    }
}

impl Plan {
    fn make(store: &Store, reference: &Reference) -> Result<Self> {
        let name = reference.to_string();
        let image = store.resolve(&name).map_err(|error| match error {
            StoreError::NotFound { .. } => Error::NotPresent {
                reference: name.clone(),
                platform: None,
            },
            error => error.into(),
        })?;
        let pin = store.pin(image.digests());
        let manifest = stored_manifest(store, &image)?;
        let originals = originals(store, reference, &image)?;
        Ok(Self {
            config: store.read_blob(&image.config, MAX_CONFIG)?,
            manifest,
            originals,
            image,
            _pin: pin,
        })
    }

    /// Configuration, manifest and its type, as the registry gets them.
    fn documents(&self, sent: &BTreeMap<Digest, Sent>) -> Result<(Vec<u8>, Vec<u8>, String)> {
        let layers: Vec<&Sent> = self
            .image
            .diff_ids
            .iter()
            .filter_map(|diff_id| sent.get(diff_id))
            .collect();
        let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
        let unchanged = diff_ids.iter().copied().eq(&self.image.diff_ids);
        let as_it_came = self.manifest.as_ref().filter(|(_, document)| {
            let came = document.layers.iter().map(|layer| &layer.digest);
            unchanged && came.eq(layers.iter().map(|layer| &layer.descriptor.digest))
        });
        if let Some((bytes, document)) = as_it_came {
            let media_type = document.media_type.as_deref();
            return Ok((
                self.config.clone(),
                bytes.clone(),
                media_type.unwrap_or(OCI_IMAGE_MEDIA_TYPE).to_owned(),
            ));
        }
        let config = if unchanged {
            self.config.clone()
        } else {
            let mut config: Value =
                serde_json::from_slice(&self.config).map_err(|error| Error::Document {
                    what: format!("configuration {}", self.image.config),
                    reason: error.to_string(),
                })?;
            config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
            to_json(&config)?
        };
        let manifest = to_json(&OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: descriptor(
                IMAGE_CONFIG_MEDIA_TYPE,
                &digest_of(&config),
                config.len() as u64,
            ),
            layers: layers
                .iter()
                .map(|layer| OciDescriptor {
                    media_type: oci_type(&layer.descriptor.media_type).to_owned(),
                    ..layer.descriptor.clone()
                })
                .collect(),
            ..OciImageManifest::default()
        })?;
        Ok((config, manifest, OCI_IMAGE_MEDIA_TYPE.to_owned()))
    }
}

/// The type of a layer in an OCI manifest: Docker's own mean the same.
fn oci_type(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => IMAGE_LAYER_GZIP_MEDIA_TYPE,
        "application/vnd.docker.image.rootfs.diff.tar" => IMAGE_LAYER_MEDIA_TYPE,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            "application/vnd.oci.image.layer.v1.tar+zstd"
        }
        other => other,
    }
}

/// An image's manifest, when it is here and lists its layers.
fn stored_manifest(
    store: &Store,
    image: &ImageRecord,
) -> Result<Option<(Vec<u8>, OciImageManifest)>> {
    let bytes = match store.read_blob(&image.manifest, MAX_CONFIG) {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let document: OciImageManifest =
        serde_json::from_slice(&bytes).map_err(|error| Error::Document {
            what: format!("manifest {}", image.manifest),
            reason: error.to_string(),
        })?;
    let whole = document.layers.len() == image.diff_ids.len();
    Ok(whole.then_some((bytes, document)))
}

/// The blobs that an image's layers came as, or went as: its own manifest's first, then those of other images that share
/// layers with it.
fn originals(store: &Store, target: &Reference, image: &ImageRecord) -> Result<Originals> {
    let wanted: HashSet<&Digest> = image.diff_ids.iter().collect();
    let mut images = store.images();
    images.retain(|other| other.diff_ids.iter().any(|layer| wanted.contains(layer)));
    images.sort_by_key(|other| other.manifest != image.manifest);
    let mut found = Originals::new();
    for other in images {
        let Some((_, document)) = stored_manifest(store, &other)? else {
            continue;
        };
        let origins = origins(store, target, &other);
        for (diff_id, layer) in other.diff_ids.iter().zip(document.layers) {
            // Size 0: it was made here of an image that is not known any more.
            let known = manifest::descriptor(&layer, "manifest").ok();
            let Some(known) = known.filter(|known| known.size > 0 && wanted.contains(diff_id))
            else {
                continue;
            };
            let tries = found.entry(diff_id.clone()).or_default();
            let again = tries
                .iter()
                .position(|known| known.descriptor.digest == layer.digest);
            if let Some(again) = again {
                let known = &mut tries[again].origins;
                known.extend(origins.iter().cloned());
                known.dedup();
                known.truncate(MAX_TRIES);
            } else if tries.len() < MAX_TRIES {
                tries.push(Original {
                    descriptor: layer,
                    digest: known.digest,
                    size: known.size,
                    origins: origins.clone(),
                });
            }
        }
    }
    Ok(found)
}

/// Other repositories of the target's registry in which an image was pulled or pushed.
fn origins(store: &Store, target: &Reference, image: &ImageRecord) -> Vec<String> {
    let mut found: Vec<String> = store
        .references(&image.manifest)
        .iter()
        // Tags may have been given here; a digest came from there.
        .filter(|reference| reference.contains('@'))
        .filter_map(|reference| Reference::parse(reference).ok())
        .filter(|reference| reference.registry() == target.registry())
        .map(|reference| reference.repository().to_owned())
        .filter(|repository| repository != target.repository())
        .collect();
    found.dedup();
    found.truncate(MAX_TRIES);
    found
}

/// The image has a digest at the registry now. Its manifest is the one there from now on, unless a registry knows it by
/// another one: that has the blobs that its layers came as.
fn remember(
    store: &Store,
    image: &ImageRecord,
    manifest: &Bytes,
    digest: &Digest,
    name: &str,
) -> Result<()> {
    let mut here = &image.manifest;
    let _pin = store.pin(vec![digest.clone()]);
    if !store.is_published(here) {
        store.write_blob(Some(digest), &mut &manifest[..])?;
        match store.replace_manifest(here, digest) {
            // Removed meanwhile: what was sent was sent.
            Err(StoreError::NotFound { .. }) => return Ok(()),
            replaced => replaced?,
        }
        here = digest;
    }
    match store.tag(name, here) {
        Err(StoreError::NotFound { .. }) => Ok(()),
        tagged => Ok(tagged.map(drop)?),
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Io {
        what: "write a document".to_owned(),
        source: error.into(),
    })
}
