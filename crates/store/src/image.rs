//! Image records and references.

use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};
use shedbox_spec::Digest;

use crate::{Result, Store};

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
        let _ = manifest;
        unimplemented!()
    }

    /// Makes `reference` (canonical, with `:tag` or `@digest`) name an image; gives what it named before.
    pub fn tag(&self, reference: &str, manifest: &Digest) -> Result<Option<Digest>> {
        let _ = (reference, manifest);
        unimplemented!()
    }

    /// Forgets a reference; gives the manifest digest it named.
    pub fn untag(&self, reference: &str) -> Result<Digest> {
        let _ = reference;
        unimplemented!()
    }

    /// All references of an image, sorted; those with `@` are its repository digests.
    pub fn references(&self, manifest: &Digest) -> Vec<String> {
        let _ = manifest;
        unimplemented!()
    }

    /// Every image, by image id.
    pub fn images(&self) -> Vec<Arc<ImageRecord>> {
        unimplemented!()
    }

    /// The image of a manifest digest.
    pub fn image(&self, manifest: &Digest) -> Option<Arc<ImageRecord>> {
        let _ = manifest;
        unimplemented!()
    }

    /// Finds an image by canonical reference, `sha256:` digest of config or manifest, or an unambiguous prefix of
    /// those digits. Memory only.
    pub fn resolve(&self, name_or_id: &str) -> Result<Arc<ImageRecord>> {
        let _ = name_or_id;
        unimplemented!()
    }

    /// The parsed configuration of an image. Cached.
    pub fn image_config(&self, image: &ImageRecord) -> Result<Arc<ImageConfiguration>> {
        let _ = image;
        unimplemented!()
    }

    /// Lower directories for overlay, uppermost first, each once. Fails when one is missing.
    pub fn lowers(&self, image: &ImageRecord) -> Result<Vec<PathBuf>> {
        let _ = image;
        unimplemented!()
    }
}
