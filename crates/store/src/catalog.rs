//! Images and references in memory, and how they come from the disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;
use shedbox_linux::errno::Errno;
use shedbox_linux::path;
use shedbox_spec::Digest;

use crate::blob::MAX_BLOB;
use crate::error::Doing;
use crate::image::{ImageRecord, no_such_image};
use crate::root::names_in;
use crate::{Result, Store, StoreError};

/// Parsed configurations that are kept: what a few hundred sandboxes of a few images ask for over and over.
const CACHED_CONFIGS: usize = 256;

/// What [`Store::catalog`](crate::Store) guards.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// By manifest digest.
    images: BTreeMap<Digest, Arc<ImageRecord>>,
    /// Manifest digests by image id. Equal configurations may come in manifests that differ in compression.
    by_config: BTreeMap<Digest, Vec<Digest>>,
    /// Reference to manifest digest.
    references: BTreeMap<String, Digest>,
    configs: HashMap<Digest, Arc<ImageConfiguration>>,
}

impl Catalog {
    pub(crate) fn insert(
        &mut self,
        record: Arc<ImageRecord>,
        config: Option<Arc<ImageConfiguration>>,
    ) {
        let manifests = self.by_config.entry(record.config.clone()).or_default();
        if !manifests.contains(&record.manifest) {
            manifests.push(record.manifest.clone());
        }
        if let Some(config) = config {
            self.cache_config(record.config.clone(), config);
        }
        self.images.insert(record.manifest.clone(), record);
    }

    pub(crate) fn remove(&mut self, manifest: &Digest) {
        let Some(record) = self.images.remove(manifest) else {
            return;
        };
        if let Some(manifests) = self.by_config.get_mut(&record.config) {
            manifests.retain(|other| other != manifest);
            if manifests.is_empty() {
                self.by_config.remove(&record.config);
                self.configs.remove(&record.config);
            }
        }
    }

    pub(crate) fn image(&self, manifest: &Digest) -> Option<Arc<ImageRecord>> {
        self.images.get(manifest).cloned()
    }

    pub(crate) fn images(&self) -> Vec<Arc<ImageRecord>> {
        self.by_config
            .values()
            .flatten()
            .filter_map(|manifest| self.image(manifest))
            .collect()
    }

    pub(crate) fn references(&self) -> &BTreeMap<String, Digest> {
        &self.references
    }

    pub(crate) fn set_references(&mut self, references: BTreeMap<String, Digest>) {
        self.references = references;
    }

    pub(crate) fn references_of(&self, manifest: &Digest) -> Vec<String> {
        self.references
            .iter()
            .filter(|(_, target)| *target == manifest)
            .map(|(reference, _)| reference.clone())
            .collect()
    }

    pub(crate) fn by_reference(&self, reference: &str) -> Option<Arc<ImageRecord>> {
        self.image(self.references.get(reference)?)
    }

    /// By `sha256:` digest, all hex digits, or their beginning: of an image id first, then of a manifest.
    pub(crate) fn by_id(&self, text: &str) -> Result<Arc<ImageRecord>> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(hex) {
            return Err(no_such_image(text));
        }
        let prefix = format!("sha256:{digits}");
        let mut configs = from_prefix(&self.by_config, &prefix);
        if let Some((_, manifests)) = configs.next() {
            if configs.next().is_some() {
                return Err(StoreError::Ambiguous {
                    name: text.to_owned(),
                });
            }
            // Several manifests of one configuration are the same image; one that has a name is the better answer.
            let named = manifests
                .iter()
                .find(|manifest| self.references.values().any(|target| target == *manifest));
            return named
                .or(manifests.first())
                .and_then(|manifest| self.image(manifest))
                .ok_or_else(|| no_such_image(text));
        }
        let mut manifests = from_prefix(&self.images, &prefix);
        match (manifests.next(), manifests.next()) {
            (Some((_, image)), None) => Ok(Arc::clone(image)),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous {
                name: text.to_owned(),
            }),
            (None, _) => Err(no_such_image(text)),
        }
    }

    pub(crate) fn config(&self, digest: &Digest) -> Option<Arc<ImageConfiguration>> {
        self.configs.get(digest).cloned()
    }

    pub(crate) fn cache_config(&mut self, digest: Digest, config: Arc<ImageConfiguration>) {
        if self.configs.len() >= CACHED_CONFIGS {
            self.configs.clear();
        }
        self.configs.insert(digest, config);
    }
}

fn from_prefix<'a, V>(
    map: &'a BTreeMap<Digest, V>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a Digest, &'a V)> {
    // A digest orders as its text does. The smallest one with this prefix is the prefix filled up with zeros.
    let start = Digest::parse(&format!("{prefix:0<71}")).ok();
    start
        .into_iter()
        .flat_map(|start| map.range(start..))
        .take_while(move |(digest, _)| digest.as_str().starts_with(prefix))
}

impl Store {
    /// Reads all records and references. Images of which a part is missing, and those among `suspects` whose blobs are
    /// not what their digests say, are forgotten: they must be pulled again.
    pub(crate) fn load_catalog(&self, suspects: &[Digest]) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for name in names_in(&self.root.join("images"))? {
            let path = self.root.join("images").join(&name);
            let bytes = std::fs::read(&path).doing(|| format!("read `{}`", path.display()))?;
            let record: Option<ImageRecord> = serde_json::from_slice(&bytes).ok();
            let whole = record.as_ref().is_some_and(|record| {
                name.strip_suffix(".json") == Some(record.manifest.hex())
                    && record.diff_ids.iter().all(|layer| self.has_layer(layer))
                    && [&record.manifest, &record.config].into_iter().all(|blob| {
                        if suspects.contains(&record.manifest) {
                            self.read_blob(blob, MAX_BLOB).is_ok()
                        } else {
                            self.has_blob(blob)
                        }
                    })
            });
            match record {
                Some(record) if whole => catalog.insert(Arc::new(record), None),
                _ => {
                    tracing::warn!(record = %name, "an image is incomplete after a crash and is forgotten; pull it again");
                    self.remove_record(&name)?;
                }
            }
        }
        let mut references = self.load_references()?;
        references.retain(|_, manifest| catalog.images.contains_key(manifest));
        catalog.set_references(references);
        Ok(catalog)
    }

    fn load_references(&self) -> Result<BTreeMap<String, Digest>> {
        for name in ["refs.json", "refs.synced.json"] {
            let path = self.root.join(name);
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).doing(|| format!("read `{}`", path.display())),
            };
            match serde_json::from_slice(&bytes) {
                Ok(references) => return Ok(references),
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "references are damaged; taking the last synced ones");
                }
            }
        }
        Ok(BTreeMap::new())
    }

    /// Replaces the references on disk. The caller holds the catalog.
    pub(crate) fn write_references(&self, references: &BTreeMap<String, Digest>) -> Result<()> {
        let text = serde_json::to_vec_pretty(references).map_err(|error| StoreError::Io {
            what: "write the references".to_owned(),
            source: error.into(),
        })?;
        self.replace("refs.json", &text)
    }

    /// Removes an image's record file.
    pub(crate) fn remove_record(&self, name: &str) -> Result<()> {
        let path = format!("images/{name}");
        match path::unlink_at(&self.dir, &path) {
            Err(error) if error.errno != Errno::ENOENT => {
                Err(error).doing(|| format!("remove `{}`", self.root.join(&path).display()))
            }
            _ => Ok(()),
        }
    }
}
