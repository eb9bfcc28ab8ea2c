//! Manifests, indexes and configurations: parsed, and checked for what can be used here.

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor, OciImageIndex, OciImageManifest,
};
use serde::Deserialize;
use shedbox_spec::Digest;

use crate::error::{Error, Result};
use crate::platform::Platform;

/// Largest configuration, in bytes.
pub const MAX_CONFIG: u64 = 8 << 20;
/// The kernel stacks no more lower directories than this (`OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 500;

/// What we tell registries that we understand. Schema 1 is absent: a registry that has nothing else says so itself.
pub fn accept() -> String {
    [
        OCI_IMAGE_INDEX_MEDIA_TYPE,
        OCI_IMAGE_MEDIA_TYPE,
        IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        IMAGE_MANIFEST_MEDIA_TYPE,
    ]
    .join(", ")
}

/// A parsed manifest document.
#[derive(Debug)]
pub enum Document {
    /// One image.
    Image(ImageManifest),
    /// Several images to choose from.
    Index(Vec<ImageIndexEntry>),
}

/// The manifest of one image, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// The configuration.
    pub config: Descriptor,
    /// Layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// A blob with its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// Parses a manifest or index. `media_type` is what the transport said; the document's own word counts more, as
/// registries send what they were given. `what` names it in errors.
pub fn parse(bytes: &[u8], media_type: Option<&str>, what: &str) -> Result<Document> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outline {
        schema_version: Option<i64>,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
    }
    let invalid = |reason: String| Error::Document {
        what: what.to_owned(),
        reason,
    };
    let outline: Outline =
        serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    if outline.schema_version == Some(1) {
        return Err(unsupported(
            what,
            "it has the old schema 1 format; its owner must push it again with a current tool",
        ));
    }
    let kind = outline.media_type.as_deref().or(media_type).unwrap_or("");
    match (
        kind,
        outline.manifests.is_some(),
        outline.layers.is_some() || outline.config.is_some(),
    ) {
        // A document that is both at once is CVE-2021-41190: two readers would see two images.
        (_, true, true) => Err(invalid("it is both a manifest and an index".to_owned())),
        (OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE, false, _) => {
            Err(invalid("it is an index without manifests".to_owned()))
        }
        (_, true, false) => {
            let index: OciImageIndex =
                serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
            Ok(Document::Index(index.manifests))
        }
        (_, false, true) => {
            let manifest: OciImageManifest =
                serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
            Ok(Document::Image(check(&manifest, what)?))
        }
        (_, false, false) => Err(invalid("it is neither a manifest nor an index".to_owned())),
    }
}

fn check(manifest: &OciImageManifest, what: &str) -> Result<ImageManifest> {
    let kind = manifest.config.media_type.as_str();
    if !matches!(
        kind,
        IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE | "application/octet-stream" | ""
    ) {
        return Err(unsupported(
            what,
            &format!("it is not a container image: its configuration is `{kind}`"),
        ));
    }
    if manifest.layers.len() > MAX_LAYERS {
        return Err(unsupported(
            what,
            &format!(
                "it has {} layers, and the kernel stacks at most {MAX_LAYERS}",
                manifest.layers.len()
            ),
        ));
    }
    let config = descriptor(&manifest.config, what)?;
    if config.size > MAX_CONFIG {
        return Err(Error::Document {
            what: what.to_owned(),
            reason: format!(
                "its configuration has {} bytes, more than {MAX_CONFIG}",
                config.size
            ),
        });
    }
    let layers = manifest
        .layers
        .iter()
        .map(|layer| {
            check_layer_type(&layer.media_type).map_err(|reason| unsupported(what, &reason))?;
            descriptor(layer, what)
        })
        .collect::<Result<_>>()?;
    Ok(ImageManifest { config, layers })
}

fn unsupported(what: &str, reason: &str) -> Error {
    Error::Unsupported {
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Digest and size of a descriptor.
pub fn descriptor(descriptor: &OciDescriptor, what: &str) -> Result<Descriptor> {
    let invalid = |reason: String| Error::Document {
        what: what.to_owned(),
        reason,
    };
    Ok(Descriptor {
        digest: Digest::parse(&descriptor.digest).map_err(|error| invalid(error.message))?,
        size: u64::try_from(descriptor.size)
            .map_err(|_| invalid(format!("a size is negative: {}", descriptor.size)))?,
    })
}

/// Layers are told apart by their first bytes, not by their type; here only what cannot work is refused.
fn check_layer_type(media_type: &str) -> Result<(), String> {
    let base = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.")
        .or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer."));
    match base {
        Some(
            "diff.tar" | "diff.tar.gzip" | "diff.tar.zstd" | "v1.tar" | "v1.tar+gzip"
            | "v1.tar+zstd",
        ) => Ok(()),
        Some(other) if other.starts_with("foreign") || other.starts_with("nondistributable") => {
            Err(format!(
                "a layer of type `{media_type}` is not in the registry but at an address of its vendor"
            ))
        }
        Some(other) if other.ends_with("+encrypted") => {
            Err(format!("a layer is encrypted (`{media_type}`)"))
        }
        _ => Err(format!("a layer has the type `{media_type}`")),
    }
}

/// What a configuration says that matters before the image is recorded.
#[derive(Debug)]
pub struct ConfigOutline {
    /// Diff ids, lowest first.
    pub diff_ids: Vec<Digest>,
    /// Its platform.
    pub platform: Platform,
}

/// Parses the part of a configuration that a pull needs. `layers` is their number in the manifest.
pub fn parse_config(bytes: &[u8], layers: usize, what: &str) -> Result<ConfigOutline> {
    #[derive(Deserialize)]
    struct Outline {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        variant: Option<String>,
        rootfs: Option<Rootfs>,
    }
    #[derive(Deserialize)]
    struct Rootfs {
        diff_ids: Option<Vec<Digest>>,
    }
    let invalid = |reason: String| Error::Document {
        what: what.to_owned(),
        reason,
    };
    let outline: Outline = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("its configuration: {error}")))?;
    let diff_ids = outline
        .rootfs
        .and_then(|rootfs| rootfs.diff_ids)
        .unwrap_or_default();
    if diff_ids.len() != layers {
        return Err(invalid(format!(
            "its configuration lists {} layers and its manifest {layers}",
            diff_ids.len()
        )));
    }
    let os = if outline.os.is_empty() {
        "linux"
    } else {
        &outline.os
    };
    Ok(ConfigOutline {
        diff_ids,
        platform: Platform::normalised(
            os,
            &outline.architecture,
            outline.variant.as_deref().unwrap_or(""),
        ),
    })
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
