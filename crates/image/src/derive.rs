//! New images that are made here: from a parent, or from nothing, with one layer more or none.
//!
//! What is not said anew comes from the parent's configuration document, fields that we know nothing of included. The
//! manifest lists the parent's layers as they were pulled, so that a push to where they came from need not send them.

use std::sync::Arc;

use jiff::Timestamp;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use oci_spec::image::ImageConfiguration;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shedbox_spec::{Digest, Reference};
use shedbox_store::{CommittedLayer, ImageRecord, IngestedLayer, StoreError};

use crate::archive::{descriptor, digest_of};
use crate::error::{Error, Result};
use crate::manifest::{MAX_CONFIG, MAX_LAYERS};
use crate::platform::Platform;
use crate::service::ImageService;

/// Fields of a configuration document that are about the making of that very image (Docker's older ones).
const OF_THE_PARENT_ALONE: &[&str] = &[
    "id",
    "parent",
    "comment",
    "container",
    "container_config",
    "throwaway",
];

/// What an image's history says about a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Who made it.
    pub author: Option<String>,
    /// The command that led to it.
    pub created_by: Option<String>,
    /// A remark.
    pub comment: Option<String>,
}

/// The layer that a new image adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLayer {
    diff_id: Digest,
    blob: Digest,
    size: u64,
}

impl From<&CommittedLayer> for NewLayer {
    fn from(layer: &CommittedLayer) -> Self {
        Self {
            diff_id: layer.diff_id.clone(),
            blob: layer.diff_id.clone(),
            size: layer.tar_bytes,
        }
    }
}

impl From<&IngestedLayer> for NewLayer {
    fn from(layer: &IngestedLayer) -> Self {
        Self {
            diff_id: layer.diff_id.clone(),
            blob: layer.blob_digest.clone(),
            size: layer.blob_size,
        }
    }
}

/// An image to be made.
#[derive(Debug, Default)]
pub struct Derivation<'a> {
    /// The image that it begins with; `None`: nothing. Its configuration and layers are in the store.
    pub parent: Option<&'a ImageRecord>,
    /// What it adds; in the store and pinned by the caller.
    pub layer: Option<NewLayer>,
    /// Docker's `Config` object; `None` or null is the parent's.
    pub config: Option<Value>,
    /// The new line of its history.
    pub step: Step,
    /// Names that it gets.
    pub references: &'a [Reference],
}

impl ImageService {
    /// Makes an image and names it. Blocks. On failure no name has changed but those before the one that failed.
    pub fn derive(&self, derivation: Derivation<'_>) -> Result<Arc<ImageRecord>> {
        let Derivation {
            parent,
            layer,
            config,
            step,
            references,
        } = derivation;
        let document = match parent {
            Some(parent) => self.document_of(parent)?,
            None => scratch(),
        };
        let mut diff_ids = parent.map_or_else(Vec::new, |parent| parent.diff_ids.clone());
        diff_ids.extend(layer.iter().map(|layer| layer.diff_id.clone()));
        if diff_ids.len() > MAX_LAYERS {
            return Err(Error::Unsupported {
                what: "the new image".to_owned(),
                reason: format!(
                    "it would have {} layers, and the kernel stacks at most {MAX_LAYERS}",
                    diff_ids.len()
                ),
            });
        }
        let layers_before = parent.map_or(0, |parent| parent.diff_ids.len());
        let document = next(
            document,
            config,
            &step,
            layers_before,
            &diff_ids,
            &Timestamp::now().to_string(),
        );
        // What the store would not understand later is the caller's mistake now.
        if let Err(error) = ImageConfiguration::deserialize(&document) {
            return Err(shedbox_spec::Error::invalid(format!(
                "the configuration for the new image is not one: {error}"
            ))
            .into());
        }
        let config_bytes = to_json(&document)?;
        let config_digest = digest_of(&config_bytes);
        let mut layers =
            parent.map_or_else(|| Ok(Vec::new()), |parent| self.descriptors(parent))?;
        layers.extend(layer.iter().map(NewLayer::descriptor));
        let manifest = to_json(&OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: descriptor(
                IMAGE_CONFIG_MEDIA_TYPE,
                &config_digest,
                config_bytes.len() as u64,
            ),
            layers,
            ..OciImageManifest::default()
        })?;
        let manifest_digest = digest_of(&manifest);

        let store = self.store();
        let mut digests = vec![config_digest.clone(), manifest_digest.clone()];
        digests.extend(diff_ids);
        // Until a name keeps it.
        let _pin = store.pin(digests);
        store.write_blob(Some(&config_digest), &mut config_bytes.as_slice())?;
        store.write_blob(Some(&manifest_digest), &mut manifest.as_slice())?;
        let record =
            store.add_child_image(&manifest_digest, parent.map(|parent| &parent.config))?;
        for reference in references {
            store.tag(&reference.to_string(), &manifest_digest)?;
        }
        Ok(record)
    }

    fn document_of(&self, image: &ImageRecord) -> Result<Map<String, Value>> {
        let bytes = self.store().read_blob(&image.config, MAX_CONFIG)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Document {
            what: format!("configuration {}", image.config),
            reason: error.to_string(),
        })
    }

    /// An image's layers as its manifest lists them.
    fn descriptors(&self, image: &ImageRecord) -> Result<Vec<OciDescriptor>> {
        match self.store().read_blob(&image.manifest, MAX_CONFIG) {
            Ok(bytes) => {
                let manifest: OciImageManifest =
                    serde_json::from_slice(&bytes).map_err(|error| Error::Document {
                        what: format!("manifest {}", image.manifest),
                        reason: error.to_string(),
                    })?;
                if manifest.layers.len() == image.diff_ids.len() {
                    return Ok(manifest.layers);
                }
            }
            // The image was removed by force while a sandbox of an earlier release went on.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Size 0: the blob that they came as is not known any more.
        Ok(image
            .diff_ids
            .iter()
            .map(|diff_id| descriptor(IMAGE_LAYER_MEDIA_TYPE, diff_id, 0))
            .collect())
    }
}

impl NewLayer {
    fn descriptor(&self) -> OciDescriptor {
        // Extraction tells compressions apart by magic; this is for other readers of the manifest.
        let media_type = if self.blob == self.diff_id {
            IMAGE_LAYER_MEDIA_TYPE
        } else {
            IMAGE_LAYER_GZIP_MEDIA_TYPE
        };
        descriptor(media_type, &self.blob, self.size)
    }
}

/// The configuration of an image without anything.
fn scratch() -> Map<String, Value> {
    let host = Platform::host();
    let mut document = Map::new();
    document.insert("architecture".to_owned(), json!(host.architecture));
    if let Some(variant) = host.variant {
        document.insert("variant".to_owned(), json!(variant));
    }
    document.insert("os".to_owned(), json!(host.os));
    document
}

/// The parent's document becomes the child's. Pure.
fn next(
    mut document: Map<String, Value>,
    config: Option<Value>,
    step: &Step,
    layers_before: usize,
    diff_ids: &[Digest],
    now: &str,
) -> Value {
    let created = document.get("created").cloned();
    for field in OF_THE_PARENT_ALONE {
        document.remove(*field);
    }
    if let Some(config) = config.filter(|config| !config.is_null()) {
        document.insert("config".to_owned(), config);
    }
    document.insert("created".to_owned(), json!(now));
    match &step.author {
        Some(author) => document.insert("author".to_owned(), json!(author)),
        None => document.remove("author"),
    };
    let mut history = match document.remove("history") {
        Some(Value::Array(history)) => history,
        _ => Vec::new(),
    };
    // Lines and layers are matched by counting: a parent that has too few lines gets the missing ones.
    let lines = history.iter().filter(|line| !is_empty(line)).count();
    for _ in lines..layers_before {
        history.push(match &created {
            Some(created) => json!({"created": created}),
            None => json!({}),
        });
    }
    let mut line = Map::new();
    line.insert("created".to_owned(), json!(now));
    for (name, value) in [
        ("author", &step.author),
        ("created_by", &step.created_by),
        ("comment", &step.comment),
    ] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            line.insert(name.to_owned(), json!(value));
        }
    }
    if diff_ids.len() == layers_before {
        line.insert("empty_layer".to_owned(), json!(true));
    }
    history.push(Value::Object(line));
    document.insert("history".to_owned(), Value::Array(history));
    document.insert(
        "rootfs".to_owned(),
        json!({"type": "layers", "diff_ids": diff_ids}),
    );
    Value::Object(document)
}

/// Whether a line of a history added no layer.
pub(crate) fn is_empty(line: &Value) -> bool {
    line.get("empty_layer").and_then(Value::as_bool) == Some(true)
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Io {
        what: "write a document".to_owned(),
        source: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn what_is_not_said_anew_comes_from_the_parent() {
        let diff_ids = [digest_of(b"a"), digest_of(b"b"), digest_of(b"c")];
        let parent = object(json!({
            "created": "2020-01-01T00:00:00Z", "author": "old", "comment": "old", "architecture": "arm64", "variant": "v8",
            "os": "linux", "os.features": ["x"], "container": "abc", "container_config": {"Cmd": ["x"]},
            "config": {"Cmd": ["old"], "Extra": 1}, "rootfs": {"type": "layers", "diff_ids": diff_ids[..2]},
            "history": [{"created_by": "first"}, {"created_by": "ENV", "empty_layer": true}],
        }));
        let step = Step {
            author: Some("me".to_owned()),
            created_by: Some("make".to_owned()),
            comment: Some(String::new()),
        };
        let child = next(parent.clone(), None, &step, 2, &diff_ids, "now");
        assert_eq!(
            child,
            json!({
                "created": "now", "author": "me", "architecture": "arm64", "variant": "v8", "os": "linux",
                "os.features": ["x"], "config": {"Cmd": ["old"], "Extra": 1},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [
                    {"created_by": "first"}, {"created_by": "ENV", "empty_layer": true},
                    {"created": "2020-01-01T00:00:00Z"}, {"created": "now", "author": "me", "created_by": "make"},
                ],
            })
        );
        let empty = next(
            parent,
            Some(json!({"Cmd": ["new"]})),
            &Step::default(),
            2,
            &diff_ids[..2],
            "now",
        );
        assert_eq!(empty["config"], json!({"Cmd": ["new"]}));
        assert_eq!(empty.get("author"), None);
        assert_eq!(
            empty["history"][3],
            json!({"created": "now", "empty_layer": true})
        );
    }
}
