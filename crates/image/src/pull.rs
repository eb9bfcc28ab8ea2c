//! Pulling: reference → manifest → configuration → layers → record.

mod describe;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use shedbox_spec::api::{
    AuthSources, ImageSummary, LayerState, PullEvent, PullPolicy, PullRequest,
};
use shedbox_spec::{Digest, Reference};
use shedbox_store::ImageRecord;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::auth::Credential;
use crate::error::{Error, Result};
use crate::layer::{LayerJob, Outcome};
use crate::manifest::{self, Document, ImageManifest};
use crate::platform::{Platform, choose};
use crate::progress::{Events, LayerProgress};
use crate::registry::blob::BlobReader;
use crate::registry::session::{Access, Credentials, Fetched, Session};
use crate::service::ImageService;

pub use self::describe::Described;

/// An index may name an index; deeper than this nobody nests.
const MAX_NESTING: usize = 4;

/// A pull under way.
struct Pull<'a> {
    service: &'a ImageService,
    reference: Reference,
    /// As asked for; `None` is the host's.
    platform: Option<Platform>,
    session: Arc<Session>,
    events: Events,
}

/// What a manifest reference led to.
struct Resolved {
    /// The manifest of the image itself.
    fetched: Fetched,
    manifest: ImageManifest,
    /// Digest of what the reference names: the index, when there is one.
    named: Digest,
}

impl ImageService {
    /// Fetches an image as `request` says, and tells `events` what happens. The last event of success is
    /// [`PullEvent::Done`]; [`PullEvent::Failed`] is left to the caller, who has the error.
    ///
    /// Dropping the future stops the pull; whole layers stay.
    pub async fn pull(
        &self,
        request: PullRequest,
        events: impl Fn(PullEvent) + Send + Sync + 'static,
    ) -> Result<ImageSummary> {
        let credentials = Credentials::from(&request.auth);
        self.pull_as(request, credentials, Arc::new(events)).await
    }

    /// The same with a credential that came with the request (Docker's X-Registry-Auth); it goes to the registry
    /// itself, never to a mirror.
    pub async fn pull_with(
        &self,
        request: PullRequest,
        credential: Option<Credential>,
        events: impl Fn(PullEvent) + Send + Sync + 'static,
    ) -> Result<ImageSummary> {
        let credentials = credential.map_or_else(
            || Credentials::Files(AuthSources::default()),
            Credentials::Given,
        );
        self.pull_as(request, credentials, Arc::new(events)).await
    }

    async fn pull_as(
        &self,
        request: PullRequest,
        credentials: Credentials,
        events: Events,
    ) -> Result<ImageSummary> {
        let platform = request
            .platform
            .as_deref()
            .map(Platform::parse)
            .transpose()?;
        // An image id names something here or nothing at all.
        if shedbox_spec::reference::is_full_id(&request.reference) {
            let record = self.find(&request.reference)?;
            return Ok(self.finish(&record, true, &events));
        }
        let reference = self.parse_reference(&request.reference)?;
        // A digest never changes its meaning: asking again is of no use.
        let ask_always = request.policy == PullPolicy::Always && reference.digest().is_none();
        let present = self.present(&key(&reference), platform.as_ref());
        if let Some(record) = present.as_ref().filter(|_| !ask_always) {
            return Ok(self.finish(record, true, &events));
        }
        if request.policy == PullPolicy::Never {
            return Err(Error::NotPresent {
                reference: reference.to_string(),
                platform: request.platform,
            });
        }
        self.check_room()?;
        let session = Arc::new(self.session(&reference, credentials, Access::Pull)?);
        let pull = Pull {
            service: self,
            reference,
            platform,
            session,
            events,
        };
        pull.run(present.is_some()).await
    }

    /// The image of a canonical reference, when it is whole and fits the platform.
    fn present(&self, key: &str, platform: Option<&Platform>) -> Option<Arc<ImageRecord>> {
        let record = self.shared.store.resolve(key).ok()?;
        let is = Platform::of_record(&record);
        let whole = record
            .diff_ids
            .iter()
            .all(|diff_id| self.shared.store.has_layer(diff_id));
        (whole && platform.is_none_or(|wanted| wanted.accepts(&is))).then_some(record)
    }

    /// The summary of an image that is in the store, announced.
    fn finish(&self, record: &ImageRecord, up_to_date: bool, events: &Events) -> ImageSummary {
        let image = self.summary(record);
        events(PullEvent::Done {
            image: image.clone(),
            up_to_date,
        });
        image
    }
}

/// The canonical reference under which the store knows it: the digest counts more than a tag beside it.
fn key(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()).to_string(),
        None => reference.to_string(),
    }
}

impl Pull<'_> {
    async fn run(self, present: bool) -> Result<ImageSummary> {
        let accept = manifest::accept();
        if present
            && let Some(tag) = self.reference.tag()
            && let Some(digest) = self.session.current_digest(tag, &accept).await
            && let Some(record) = self.known(&digest)
        {
            return self.record(&record.manifest.clone(), &digest, true).await;
        }
        let resolved = self.resolve(&accept).await?;
        let what = format!("image `{}`", self.reference);
        let config = self.config(&resolved.manifest).await?;
        let outline = manifest::parse_config(&config, resolved.manifest.layers.len(), &what)?;
        self.check_platform(&outline.platform)?;

        let mut digests = vec![
            resolved.fetched.digest.clone(),
            resolved.manifest.config.digest.clone(),
        ];
        digests.extend(outline.diff_ids.iter().cloned());
        // From here until the record names them, prune keeps its hands off.
        let pin = self.service.shared.store.pin(digests);

        (self.events)(PullEvent::Resolved {
            reference: self.reference.to_string(),
            digest: resolved.fetched.digest.clone(),
            layers: resolved
                .manifest
                .layers
                .iter()
                .map(|layer| (layer.digest.clone(), layer.size))
                .collect(),
        });
        let fetched = self.layers(&resolved.manifest, &outline.diff_ids).await?;

        let store = Arc::clone(&self.service.shared.store);
        let manifest_digest = resolved.fetched.digest.clone();
        let new = blocking(move || {
            store.write_blob(
                Some(&resolved.manifest.config.digest),
                &mut config.as_slice(),
            )?;
            let manifest = &resolved.fetched;
            let new = store.image(&manifest.digest).is_none();
            store.write_blob(Some(&manifest.digest), &mut manifest.bytes.as_slice())?;
            // One that was loaded or made here has a manifest that nobody else knows.
            let known = store.image_of_config(&resolved.manifest.config.digest);
            match known.filter(|known| !store.is_published(&known.manifest)) {
                Some(known) => store.replace_manifest(&known.manifest, &manifest.digest)?,
                None => drop(store.add_image(&manifest.digest)?),
            }
            Ok(new)
        })
        .await?;
        let image = self
            .record(&manifest_digest, &resolved.named, !fetched && !new)
            .await;
        drop(pin);
        image
    }

    /// The image in the store that a manifest or index digest of this repository stands for. One that only serves the
    /// platform, but is for an older variant of it, does not count: the index may have a better one.
    fn known(&self, digest: &Digest) -> Option<Arc<ImageRecord>> {
        let key = self.reference.with_digest(digest.clone()).to_string();
        let wanted = self.platform.clone().unwrap_or_else(Platform::host);
        let record = self.service.present(&key, Some(&wanted))?;
        (Platform::of_record(&record) == wanted).then_some(record)
    }

    /// From the reference to the manifest of one image, through indexes.
    async fn resolve(&self, accept: &str) -> Result<Resolved> {
        let registry = self.reference.registry();
        let mut expected = self.reference.digest().cloned();
        let mut target = match (&expected, self.reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            // A parsed reference has a tag or a digest.
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let mut named = None;
        for _ in 0..MAX_NESTING {
            let what = format!("manifest of `{}` from {registry}", self.reference);
            let fetched = self
                .session
                .manifest(&what, &target, expected.as_ref(), accept)
                .await?;
            let named = named.get_or_insert_with(|| fetched.digest.clone()).clone();
            let what = format!("manifest of `{}`", self.reference);
            match manifest::parse(&fetched.bytes, fetched.media_type.as_deref(), &what)? {
                Document::Image(manifest) => {
                    return Ok(Resolved {
                        fetched,
                        manifest,
                        named,
                    });
                }
                Document::Index(entries) => {
                    let wanted = self.platform.clone().unwrap_or_else(Platform::host);
                    let entry = choose(&entries, &wanted).map_err(|available| Error::Platform {
                        reference: self.reference.to_string(),
                        wanted: wanted.to_string(),
                        available,
                    })?;
                    let digest = Digest::parse(&entry.digest)?;
                    target = digest.to_string();
                    expected = Some(digest);
                }
            }
        }
        Err(Error::Document {
            what: format!("manifest of `{}`", self.reference),
            reason: format!("indexes are nested deeper than {MAX_NESTING}"),
        })
    }

    /// The configuration's bytes, from the store when they are there.
    async fn config(&self, manifest: &ImageManifest) -> Result<Vec<u8>> {
        let digest = manifest.config.digest.clone();
        let store = Arc::clone(&self.service.shared.store);
        if store.has_blob(&digest) {
            let here = digest.clone();
            match blocking(move || Ok(store.read_blob(&here, manifest::MAX_CONFIG)?)).await {
                Ok(bytes) => return Ok(bytes),
                // A crash can leave it empty; then it is fetched again.
                Err(error) => tracing::debug!(%digest, %error, "configuration in the store"),
            }
        }
        let what = format!("configuration of `{}`", self.reference);
        BlobReader::new(
            Arc::clone(&self.session),
            digest,
            manifest.config.size,
            what,
        )
        .read_all()
        .await
    }

    /// A single image is not chosen by platform: a wrong one asked for by name is an error, any other a warning.
    fn check_platform(&self, image: &Platform) -> Result<()> {
        if image.os != "linux" {
            return Err(Error::Unsupported {
                what: format!("image `{}`", self.reference),
                reason: format!("it is for {}, not for Linux", image.os),
            });
        }
        let host = Platform::host();
        let wanted = self.platform.as_ref().unwrap_or(&host);
        if wanted.accepts(image) || image.architecture.is_empty() {
            return Ok(());
        }
        if self.platform.is_some() {
            return Err(Error::Platform {
                reference: self.reference.to_string(),
                wanted: wanted.to_string(),
                available: vec![image.to_string()],
            });
        }
        (self.events)(PullEvent::Warning {
            message: format!(
                "the image is for {image}, this host is {host}: its programs may not run"
            ),
        });
        Ok(())
    }

    /// All layers into the store, several at once, the biggest first: the longest job must not begin last. Whether
    /// any of them came over the network.
    async fn layers(&self, manifest: &ImageManifest, diff_ids: &[Digest]) -> Result<bool> {
        let (alive, mut all_ended) = mpsc::channel(1);
        let mut seen = HashSet::new();
        let (mut wanted, again): (Vec<_>, Vec<_>) = manifest
            .layers
            .iter()
            .zip(diff_ids)
            .partition(|(_, diff_id)| seen.insert((*diff_id).clone()));
        // The same content compressed differently: who shows progress by blob must hear of each.
        for (blob, _) in again {
            if wanted.iter().all(|(other, _)| other.digest != blob.digest) {
                (self.events)(PullEvent::Layer {
                    digest: blob.digest.clone(),
                    state: LayerState::Exists,
                });
            }
        }
        wanted.sort_by_key(|(blob, _)| std::cmp::Reverse(blob.size));
        let mut jobs = JoinSet::new();
        for (blob, diff_id) in wanted {
            let job = LayerJob {
                shared: Arc::clone(&self.service.shared),
                session: Arc::clone(&self.session),
                what: format!("layer {} of `{}`", blob.digest, self.reference),
                progress: Arc::new(LayerProgress::new(
                    Arc::clone(&self.events),
                    blob.digest.clone(),
                )),
                blob: blob.clone(),
                diff_id: diff_id.clone(),
                alive: alive.clone(),
            };
            jobs.spawn(job.run());
        }
        drop(alive);
        let result = self.join(&mut jobs).await;
        if result.is_err() {
            jobs.shutdown().await;
            // Threads that were extracting notice at their next read and clean up; "nothing is left behind" must be
            // true when the caller hears of the failure.
            let ended: Option<()> = all_ended.recv().await;
            debug_assert!(ended.is_none(), "nothing is ever sent");
        }
        result
    }

    async fn join(&self, jobs: &mut JoinSet<Result<Outcome>>) -> Result<bool> {
        let mut fetched = false;
        let mut warnings = BTreeSet::new();
        while let Some(outcome) = jobs.join_next().await {
            let outcome = outcome.map_err(|error| Error::Io {
                what: format!("fetch the layers of `{}`", self.reference),
                source: std::io::Error::other(error),
            })??;
            fetched |= outcome.fetched;
            for message in outcome.warnings {
                if warnings.insert(message.clone()) {
                    (self.events)(PullEvent::Warning { message });
                }
            }
        }
        Ok(fetched)
    }

    /// The references: what was asked for, and the repository with the digest of what that named.
    async fn record(
        &self,
        manifest: &Digest,
        named: &Digest,
        up_to_date: bool,
    ) -> Result<ImageSummary> {
        let mut references = vec![self.reference.with_digest(named.clone()).to_string()];
        // As Docker does: `name:tag@digest` fetches the digest and moves no tag.
        if self.reference.digest().is_none() {
            references.push(self.reference.to_string());
        }
        let store = Arc::clone(&self.service.shared.store);
        let manifest = manifest.clone();
        let record = blocking(move || {
            for reference in references {
                store.tag(&reference, &manifest)?;
            }
            Ok(store.resolve(manifest.as_str())?)
        })
        .await?;
        Ok(self.service.finish(&record, up_to_date, &self.events))
    }
}

/// Work on the disk, off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Io {
            what: "work on the store".to_owned(),
            source: std::io::Error::other(error),
        })?
}
