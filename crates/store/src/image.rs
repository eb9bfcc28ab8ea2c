//! Image records and references.
//!
//! A record is one file, written once; references are one file, replaced. Both are in memory, too: looking an image up
//! costs no system call.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::image::{ImageConfiguration, ImageManifest};
use serde::{Deserialize, Serialize};
use shedbox_spec::{Digest, Reference};

use crate::blob::MAX_BLOB;
use crate::sync::Marker;
use crate::{Result, Store, StoreError};

pub(crate) use crate::catalog::Catalog;

/// What the store knows of an image without opening its manifest and configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Manifest digest: the record's key.
    pub manifest: Digest,
    /// Digest of the configuration: the image id.
    pub config: Digest,
    /// Diff ids, lowest first, as the configuration lists them.
    pub diff_ids: Vec<Digest>,
    /// Creation time as the image says, RFC 3339.
    pub created: Option<String>,
    /// Operating system.
    pub os: String,
    /// Architecture in OCI's words.
    pub architecture: String,
    /// Variant of the architecture.
    pub variant: Option<String>,
    /// Extracted bytes of all layers.
    pub size: u64,
    /// Id of the image that it was made from, when it was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Labels of the configuration, for listings. `None`: recorded by a release that did not keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

impl ImageRecord {
    /// Everything that must stay for this image: manifest, config and layers. For [`Store::pin`].
    pub fn digests(&self) -> Vec<Digest> {
        let mut all = vec![self.manifest.clone(), self.config.clone()];
        all.extend(self.diff_ids.iter().cloned());
        all
    }
}

impl Store {
    /// Records an image whose manifest, config and layers are in the store. Idempotent.
    pub fn add_image(&self, manifest: &Digest) -> Result<Arc<ImageRecord>> {
        self.add_child_image(manifest, None)
    }

    /// The same for one that was made here from the image with the id `parent`, which need not stay.
    pub fn add_child_image(
        &self,
        manifest: &Digest,
        parent: Option<&Digest>,
    ) -> Result<Arc<ImageRecord>> {
        if let Some(known) = self.image(manifest) {
            return Ok(known);
        }
        let document = self.parse_blob(manifest, |bytes| ImageManifest::from_reader(bytes))?;
        let config_digest = digest_in(document.config().digest().as_ref(), manifest, self)?;
        let config = self.parse_config(&config_digest)?;
        let mut diff_ids = Vec::new();
        let mut size = 0;
        for diff_id in config.rootfs().diff_ids() {
            let diff_id = digest_in(diff_id, &config_digest, self)?;
            size += self.layer_size(&diff_id)?;
            diff_ids.push(diff_id);
        }
        let labels = config.labels_of_config().into_iter().flatten();
        let labels = labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let record = Arc::new(ImageRecord {
            manifest: manifest.clone(),
            config: config_digest,
            diff_ids,
            created: config.created().clone(),
            os: config.os().to_string(),
            architecture: config.architecture().to_string(),
            variant: config.variant().clone(),
            size,
            parent: parent.cloned(),
            labels: Some(labels),
        });
        let text = serde_json::to_vec(&*record).map_err(|error| StoreError::Io {
            what: "write an image record".to_owned(),
            source: error.into(),
        })?;
        self.syncer.mark(&Marker::Image(manifest.clone()))?;
        let mut catalog = self.catalog();
        self.replace(&format!("images/{}.json", manifest.hex()), &text)?;
        catalog.insert(Arc::clone(&record), Some(Arc::new(config)));
        Ok(record)
    }

    /// Gives an image another manifest, which is in the store and lists the same layers in another form: the new one has
    /// all its references. What else knows the old digest does not find the image by it any more.
    pub fn replace_manifest(&self, old: &Digest, new: &Digest) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let parent = self
            .image(old)
            .ok_or_else(|| no_such_image(old.as_str()))?
            .parent
            .clone();
        self.add_child_image(new, parent.as_ref())?;
        let mut catalog = self.catalog();
        let mut references = catalog.references().clone();
        for manifest in references.values_mut() {
            if manifest == old {
                *manifest = new.clone();
            }
        }
        // A crash after the references leaves an image without one, which prune finds.
        self.write_references(&references)?;
        catalog.set_references(references);
        self.remove_record(&format!("{}.json", old.hex()))?;
        catalog.remove(old);
        Ok(())
    }

    /// Makes `reference` (canonical, with `:tag` or `@digest`) name an image; gives what it named before.
    pub fn tag(&self, reference: &str, manifest: &Digest) -> Result<Option<Digest>> {
        let mut catalog = self.catalog();
        if catalog.image(manifest).is_none() {
            return Err(no_such_image(manifest.as_str()));
        }
        if catalog.references().get(reference) == Some(manifest) {
            return Ok(Some(manifest.clone()));
        }
        let mut references = catalog.references().clone();
        let before = references.insert(reference.to_owned(), manifest.clone());
        self.write_references(&references)?;
        catalog.set_references(references);
        Ok(before)
    }

    /// Forgets a reference; gives the manifest digest it named.
    pub fn untag(&self, reference: &str) -> Result<Digest> {
        let mut catalog = self.catalog();
        let mut references = catalog.references().clone();
        let manifest = references
            .remove(reference)
            .ok_or_else(|| no_such_image(reference))?;
        self.write_references(&references)?;
        catalog.set_references(references);
        Ok(manifest)
    }

    /// All references of an image, sorted; those with `@` are its repository digests.
    pub fn references(&self, manifest: &Digest) -> Vec<String> {
        self.catalog().references_of(manifest)
    }

    /// Every image, sorted by image id.
    pub fn images(&self) -> Vec<Arc<ImageRecord>> {
        self.catalog().images()
    }

    /// The image of a manifest digest.
    pub fn image(&self, manifest: &Digest) -> Option<Arc<ImageRecord>> {
        self.catalog().image(manifest)
    }

    /// The image of a configuration, in whatever manifest it came: one that has a name first.
    pub fn image_of_config(&self, config: &Digest) -> Option<Arc<ImageRecord>> {
        let found = self.catalog().by_id(config.as_str()).ok();
        found.filter(|image| image.config == *config)
    }

    /// Whether a registry is known to have the image under its manifest's digest.
    pub fn is_published(&self, manifest: &Digest) -> bool {
        let references = self.references(manifest);
        references.iter().any(|reference| reference.contains('@'))
    }

    /// Finds an image: by reference (as given, else completed to its canonical form), by `sha256:` digest of config or
    /// manifest, or by an unambiguous prefix of those digits. Memory only.
    pub fn resolve(&self, name_or_id: &str) -> Result<Arc<ImageRecord>> {
        let catalog = self.catalog();
        if let Some(found) = catalog.by_reference(name_or_id) {
            return Ok(found);
        }
        if let Ok(name) = Reference::parse(name_or_id) {
            // With both a tag and a digest the digest decides, as Docker has it.
            let canonical = match name.digest() {
                Some(digest) => name.with_digest(digest.clone()).to_string(),
                None => name.to_string(),
            };
            if let Some(found) = catalog.by_reference(&canonical) {
                return Ok(found);
            }
        }
        catalog.by_id(name_or_id)
    }

    /// The parsed configuration of an image. Cached.
    pub fn image_config(&self, image: &ImageRecord) -> Result<Arc<ImageConfiguration>> {
        if let Some(config) = self.catalog().config(&image.config) {
            return Ok(config);
        }
        let config = Arc::new(self.parse_config(&image.config)?);
        self.catalog()
            .cache_config(image.config.clone(), Arc::clone(&config));
        Ok(config)
    }

    /// Lower directories for overlay, uppermost first, each once: overlay refuses to see a directory twice, and of equal
    /// layers the upper one hides all of the lower one. Fails when one is missing.
    pub fn lowers(&self, image: &ImageRecord) -> Result<Vec<PathBuf>> {
        let mut seen = HashSet::new();
        let mut lowers = Vec::new();
        for diff_id in image.diff_ids.iter().rev() {
            if !self.has_layer(diff_id) {
                return Err(StoreError::NotFound {
                    what: "layer",
                    name: diff_id.to_string(),
                });
            }
            if seen.insert(diff_id) {
                lowers.push(self.layer_dir(diff_id));
            }
        }
        Ok(lowers)
    }

    fn parse_config(&self, digest: &Digest) -> Result<ImageConfiguration> {
        self.parse_blob(digest, |bytes| ImageConfiguration::from_reader(bytes))
    }

    fn parse_blob<T>(
        &self,
        digest: &Digest,
        parse: impl Fn(&[u8]) -> Result<T, oci_spec::OciSpecError>,
    ) -> Result<T> {
        let bytes = self.read_blob(digest, MAX_BLOB)?;
        parse(&bytes).map_err(|error| StoreError::Damaged {
            path: self.blob_path(digest),
            reason: error.to_string(),
        })
    }
}

fn digest_in(text: &str, document: &Digest, store: &Store) -> Result<Digest> {
    Digest::parse(text).map_err(|error| StoreError::Damaged {
        path: store.blob_path(document),
        reason: error.message,
    })
}

pub(crate) fn no_such_image(name: &str) -> StoreError {
    StoreError::NotFound {
        what: "image",
        name: name.to_owned(),
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
pub(crate) mod tests;
