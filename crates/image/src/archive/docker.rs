//! The docker-archive: `manifest.json`, configurations and layers under the names it gives them.
//!
//! It has no OCI manifest, so one is made: of the same archive always the same.

use std::collections::BTreeSet;

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OciDescriptor,
    OciImageManifest,
};
use serde::Deserialize;
use sha2::Digest as _;
use shedbox_spec::api::ImageSummary;
use shedbox_spec::{Digest, Reference};

use crate::archive::members::Members;
use crate::archive::oci::{Loaded, warn};
use crate::error::{Error, Result};
use crate::manifest;
use crate::progress::Events;
use crate::service::ImageService;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

pub(super) fn load(
    service: &ImageService,
    members: &mut dyn Members,
    manifest: &[u8],
    events: &Events,
) -> Result<Vec<ImageSummary>> {
    let items: Vec<Item> = serde_json::from_slice(manifest).map_err(|error| Error::Archive {
        what: "`manifest.json`".to_owned(),
        reason: error.to_string(),
    })?;
    if items.is_empty() {
        return Err(Error::Archive {
            what: "`manifest.json`".to_owned(),
            reason: "it lists no image".to_owned(),
        });
    }
    let mut loaded = Loaded::default();
    for item in &items {
        let digest = record(service, members, item, events)?;
        let names = item.repo_tags.iter().flatten();
        let names: Vec<Reference> = names
            .map(|name| service.parse_reference(name))
            .collect::<Result<_>>()?;
        loaded.add(service, digest, names.into_iter())?;
    }
    loaded.announce(service, events)
}

fn record(
    service: &ImageService,
    members: &mut dyn Members,
    item: &Item,
    events: &Events,
) -> Result<Digest> {
    let what = format!("`{}`", item.config);
    let config = members.need(&item.config)?;
    let config_digest = digest_of(&config);
    let names = item.layers.as_deref().unwrap_or_default();
    let outline = manifest::parse_config(&config, names.len(), &what)?;
    let mut digests = vec![config_digest.clone()];
    digests.extend(outline.diff_ids.iter().cloned());
    let _pin = service.store().pin(digests);

    let mut warnings = BTreeSet::new();
    let mut layers = Vec::with_capacity(names.len());
    for (name, diff_id) in names.iter().zip(&outline.diff_ids) {
        let layer = members.layer(name, diff_id, &format!("layer `{name}`"))?;
        warnings.extend(layer.warnings);
        // Extraction tells compressions apart by magic; this is for other readers of the manifest.
        let media_type = if layer.blob == layer.diff_id {
            IMAGE_LAYER_MEDIA_TYPE
        } else {
            IMAGE_LAYER_GZIP_MEDIA_TYPE
        };
        layers.push(descriptor(media_type, &layer.blob, layer.size));
    }
    warn(warnings, events);

    let document = OciImageManifest {
        media_type: Some(oci_client::manifest::OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: descriptor(IMAGE_CONFIG_MEDIA_TYPE, &config_digest, config.len() as u64),
        layers,
        ..OciImageManifest::default()
    };
    let bytes = serde_json::to_vec(&document).map_err(|error| Error::Archive {
        what,
        reason: error.to_string(),
    })?;
    let digest = digest_of(&bytes);
    let store = service.store();
    let _pin = store.pin(vec![digest.clone()]);
    store.write_blob(Some(&config_digest), &mut config.as_slice())?;
    if let Some(known) = store.image_of_config(&config_digest) {
        return Ok(known.manifest.clone());
    }
    store.write_blob(Some(&digest), &mut bytes.as_slice())?;
    store.add_image(&digest)?;
    Ok(digest)
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(&sha2::Sha256::digest(bytes).into())
}

pub(crate) fn descriptor(media_type: &str, digest: &Digest, size: u64) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size: size as i64,
        ..OciDescriptor::default()
    }
}
