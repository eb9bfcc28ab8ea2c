//! What the daemon holds: configuration, clients, and what pulls share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shedbox_spec::api::{ImageDetail, ImageSummary};
use shedbox_spec::config::Config;
use shedbox_spec::reference::id_prefix;
use shedbox_spec::{Digest, Reference};
use shedbox_store::{ImageRecord, Store, StoreError};
use tokio::sync::Semaphore;

use crate::config::ImageDefaults;
use crate::error::{Error, Result};
use crate::layer::Shared;
use crate::manifest::MAX_CONFIG;
use crate::once::OnceMap;
use crate::registry::client::Clients;
use crate::registry::session::{Access, Credentials, Session};

/// Images in and out of one store. One per daemon: sharing it is what makes equal work run once.
pub struct ImageService {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Config,
    pub(crate) clients: Arc<Clients>,
}

impl ImageService {
    /// A service over `store`. Touches neither disk nor network.
    pub fn new(store: Arc<Store>, config: Config) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                places: Arc::new(Semaphore::new(config.pull_jobs.clamp(1, 64))),
                once: Arc::new(OnceMap::default()),
            }),
            clients: Arc::new(Clients::new(Duration::from_secs(
                config.registry_timeout_s.max(1),
            ))),
            config,
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    /// Parses a reference as typed, with the configured default registry.
    pub fn parse_reference(&self, text: &str) -> Result<Reference> {
        Ok(match &self.config.default_registry {
            Some(registry) => Reference::parse_with_default(text, registry)?,
            None => Reference::parse(text)?,
        })
    }

    /// A conversation with the registry of a reference, about its repository. Nothing is sent yet.
    pub(crate) fn session(
        &self,
        reference: &Reference,
        credentials: Credentials,
        access: Access,
    ) -> Result<Session> {
        Session::new(
            Arc::clone(&self.clients),
            &self.config,
            reference.registry(),
            reference.repository(),
            credentials,
            access,
        )
    }

    /// The image that a reference, an image id, a manifest digest or a prefix of these names. References come first,
    /// as in Docker.
    pub fn find(&self, name: &str) -> Result<Arc<ImageRecord>> {
        let store = &self.shared.store;
        let reference = self.parse_reference(name);
        if let Ok(reference) = &reference {
            let found = match reference.digest() {
                Some(digest) => store.resolve(&reference.with_digest(digest.clone()).to_string()),
                None => store.resolve(&reference.to_string()),
            };
            match found {
                Err(StoreError::NotFound { .. }) => {}
                found => return Ok(found?),
            }
        }
        if let Some(digits) = id_prefix(name) {
            match store.resolve(&format!("sha256:{digits}")) {
                Err(StoreError::NotFound { .. }) => {}
                found => return Ok(found?),
            }
        } else {
            reference?;
        }
        Err(Error::NotPresent {
            reference: name.to_owned(),
            platform: None,
        })
    }

    /// An image as listings show it.
    pub fn summary(&self, record: &ImageRecord) -> ImageSummary {
        let (digests, references): (Vec<String>, Vec<String>) = self
            .shared
            .store
            .references(&record.manifest)
            .into_iter()
            .partition(|reference| reference.contains('@'));
        let short = |all: Vec<String>| {
            all.into_iter()
                .map(|reference| self.familiar(&reference))
                .collect()
        };
        ImageSummary {
            id: record.config.clone(),
            references: short(references),
            repo_digests: short(digests),
            digest: record.manifest.clone(),
            created: record.created.clone(),
            size: record.size,
            parent: record.parent.clone(),
            labels: self.labels(record),
        }
    }

    fn labels(&self, record: &ImageRecord) -> BTreeMap<String, String> {
        if let Some(labels) = &record.labels {
            return labels.clone();
        }
        // Recorded by an earlier release. A listing does not fail for one image.
        match self.shared.store.image_config(record) {
            Ok(config) => ImageDefaults::from(&*config).labels,
            Err(error) => {
                tracing::debug!(image = %record.config, %error, "labels are not known");
                BTreeMap::new()
            }
        }
    }

    /// All images, newest first by the time they claim.
    pub fn list(&self) -> Vec<ImageSummary> {
        let mut all: Vec<ImageSummary> = self
            .shared
            .store
            .images()
            .iter()
            .map(|record| self.summary(record))
            .collect();
        all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// An image in full. Blocks.
    pub fn detail(&self, record: &ImageRecord) -> Result<ImageDetail> {
        let bytes = self.shared.store.read_blob(&record.config, MAX_CONFIG)?;
        let config: Value = serde_json::from_slice(&bytes).map_err(|error| Error::Document {
            what: format!("configuration {}", record.config),
            reason: error.to_string(),
        })?;
        let text = |value: Option<&Value>| {
            value
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        // As Docker has it: the last step's remark is the image's.
        let last = config["history"].as_array().and_then(|lines| lines.last());
        let comment =
            text(config.get("comment")).or_else(|| text(last.and_then(|line| line.get("comment"))));
        Ok(ImageDetail {
            summary: self.summary(record),
            architecture: record.architecture.clone(),
            variant: record.variant.clone().filter(|variant| !variant.is_empty()),
            os: record.os.clone(),
            author: text(config.get("author")),
            comment,
            layers: record.diff_ids.clone(),
            config,
        })
    }

    /// Parses a name that an image can be given: one with a tag, `latest` when it says none, and without a digest.
    pub fn parse_tag(&self, name: &str) -> Result<Reference> {
        let reference = self.parse_reference(name)?;
        if reference.digest().is_some() {
            return Err(shedbox_spec::Error::invalid(format!(
                "`{name}` has a digest: an image is tagged with a name and a tag"
            ))
            .into());
        }
        Ok(reference)
    }

    /// Makes `name` (a reference with a tag) name the image too; what it named before loses it.
    pub fn tag(&self, record: &ImageRecord, name: &str) -> Result<Option<Digest>> {
        let reference = self.parse_tag(name)?;
        Ok(self
            .shared
            .store
            .tag(&reference.to_string(), &record.manifest)?)
    }

    /// Forgets a reference and leaves what it named; gives the id of that image.
    pub fn untag(&self, name: &str) -> Result<Digest> {
        let reference = self.parse_reference(name)?;
        let canonical = match reference.digest() {
            Some(digest) => reference.with_digest(digest.clone()).to_string(),
            None => reference.to_string(),
        };
        let manifest = self.shared.store.untag(&canonical)?;
        // Somebody may have removed the image since; then its manifest is all that is known of it.
        Ok(match self.shared.store.image(&manifest) {
            Some(image) => image.config.clone(),
            None => manifest,
        })
    }

    /// Refuses work that adds to a disk with no room: a full disk hurts running sandboxes more than a failed pull.
    pub(crate) fn check_room(&self) -> Result<()> {
        let dir = self.shared.store.root();
        let room = shedbox_linux::path::open_dir(dir)
            .and_then(shedbox_linux::disk::room)
            .map_err(|source| Error::Io {
                what: format!("see how much room `{}` has", dir.display()),
                source: std::io::Error::from_raw_os_error(source.errno as i32),
            })?;
        if room.free_bytes >= self.config.min_free_bytes {
            return Ok(());
        }
        Err(shedbox_spec::Error::new(
            shedbox_spec::Kind::Exhausted,
            format!(
                "the disk of `{}` has {} bytes left, and `min_free_bytes` is {}",
                dir.display(),
                room.free_bytes,
                self.config.min_free_bytes
            ),
        )
        .with_hint("`shedbox prune --all` removes what nothing uses; SHEDBOX_ROOT moves the store to another disk")
        .into())
    }

    /// A canonical reference as people write it.
    pub(crate) fn familiar(&self, canonical: &str) -> String {
        match (Reference::parse(canonical), &self.config.default_registry) {
            (Ok(reference), Some(registry)) => reference.familiar_with(registry),
            (Ok(reference), None) => reference.familiar(),
            (Err(_), _) => canonical.to_owned(),
        }
    }
}
