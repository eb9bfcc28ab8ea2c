//! The OCI layout. Source: OCI image spec, "Image Layout Specification".

use std::collections::BTreeSet;

use oci_client::manifest::{ImageIndexEntry, OciImageIndex};
use shedbox_spec::api::{ImageSummary, PullEvent};
use shedbox_spec::{Digest, Reference};

use crate::archive::members::{Members, blob_name};
use crate::error::{Error, Result};
use crate::manifest::{self, Document};
use crate::platform::{Platform, choose};
use crate::progress::Events;
use crate::service::ImageService;

/// The tag, or what the writer took for a name.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole reference, as containerd and docker write it.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// An index may name an index.
const MAX_NESTING: usize = 4;

pub(super) fn load(
    service: &ImageService,
    members: &mut dyn Members,
    index: &[u8],
    fallback: Option<&str>,
    events: &Events,
) -> Result<Vec<ImageSummary>> {
    let index: OciImageIndex = serde_json::from_slice(index).map_err(|error| Error::Archive {
        what: "`index.json`".to_owned(),
        reason: error.to_string(),
    })?;
    let mut loaded = Loaded::default();
    for entries in alternatives(&index.manifests) {
        let (digest, bytes) = descend(members, &entries)?;
        let digest = record(service, members, &digest, &bytes, events)?;
        let names = entries
            .iter()
            .filter_map(|entry| name_of(service, entry, fallback));
        loaded.add(service, digest, names)?;
    }
    if loaded.is_empty() {
        return Err(Error::Archive {
            what: "the OCI layout".to_owned(),
            reason: "its index is empty".to_owned(),
        });
    }
    loaded.announce(service, events)
}

/// Groups of entries of which one is to be taken: entries with different names are different images; entries with
/// the same name, or none, are one image's platforms.
fn alternatives(entries: &[ImageIndexEntry]) -> Vec<Vec<ImageIndexEntry>> {
    let name = |entry: &ImageIndexEntry| {
        let annotations = entry.annotations.as_ref()?;
        let get = |key| annotations.get(key).cloned();
        Some((get(IMAGE_NAME), get(REF_NAME)))
    };
    let mut groups: Vec<Vec<ImageIndexEntry>> = Vec::new();
    for entry in entries {
        match groups
            .iter_mut()
            .find(|group| name(&group[0]) == name(entry))
        {
            Some(group) => group.push(entry.clone()),
            None => groups.push(vec![entry.clone()]),
        }
    }
    groups
}

/// From the entries of an index to the manifest of the image for this host.
fn descend(members: &mut dyn Members, entries: &[ImageIndexEntry]) -> Result<(Digest, Vec<u8>)> {
    let host = Platform::host();
    let mut entries = entries.to_vec();
    for _ in 0..MAX_NESTING {
        // A sole image needs no platform, and one of another platform may still be wanted as files.
        let entry = match entries.as_slice() {
            [only] => only,
            _ => choose(&entries, &host).map_err(|available| Error::Platform {
                reference: "the OCI layout".to_owned(),
                wanted: host.to_string(),
                available,
            })?,
        };
        let digest = Digest::parse(&entry.digest)?;
        let bytes = members.blob(&digest)?;
        match manifest::parse(
            &bytes,
            Some(&entry.media_type),
            &format!("manifest {digest}"),
        )? {
            Document::Image(_) => return Ok((digest, bytes)),
            Document::Index(inner) => entries = inner,
        }
    }
    Err(Error::Archive {
        what: "the OCI layout".to_owned(),
        reason: format!("indexes are nested deeper than {MAX_NESTING}"),
    })
}

/// Layers, configuration, manifest and record of one image. Gives the digest of its manifest here: an image that is there
/// already keeps the one that it has, which a registry may know.
fn record(
    service: &ImageService,
    members: &mut dyn Members,
    digest: &Digest,
    bytes: &[u8],
    events: &Events,
) -> Result<Digest> {
    let what = format!("manifest {digest}");
    let Document::Image(image) = manifest::parse(bytes, None, &what)? else {
        return Err(Error::Archive {
            what,
            reason: "it is an index".to_owned(),
        });
    };
    let config = members.blob(&image.config.digest)?;
    let outline = manifest::parse_config(&config, image.layers.len(), &what)?;
    let mut digests = vec![digest.clone(), image.config.digest.clone()];
    digests.extend(outline.diff_ids.iter().cloned());
    let _pin = service.store().pin(digests);
    let mut warnings = BTreeSet::new();
    for (layer, diff_id) in image.layers.iter().zip(&outline.diff_ids) {
        let what = format!("layer {} of {what}", layer.digest);
        let stored = members.layer(&blob_name(&layer.digest), diff_id, &what)?;
        warnings.extend(stored.warnings);
    }
    warn(warnings, events);
    let store = service.store();
    store.write_blob(Some(&image.config.digest), &mut config.as_slice())?;
    if let Some(known) = store.image_of_config(&image.config.digest) {
        return Ok(known.manifest.clone());
    }
    store.write_blob(Some(digest), &mut &*bytes)?;
    store.add_image(digest)?;
    Ok(digest.clone())
}

pub(super) fn warn(warnings: BTreeSet<String>, events: &Events) {
    for message in warnings {
        events(PullEvent::Warning { message });
    }
}

/// What the entry is called; nothing for a name that we cannot use.
fn name_of(
    service: &ImageService,
    entry: &ImageIndexEntry,
    fallback: Option<&str>,
) -> Option<Reference> {
    let annotations = entry.annotations.as_ref();
    let get = |key| annotations.and_then(|annotations| annotations.get(key));
    if let Some(name) = get(IMAGE_NAME)
        && let Ok(reference) = service.parse_reference(name)
    {
        return Some(reference);
    }
    let name = get(REF_NAME).map_or("latest", String::as_str);
    if name.contains(['/', ':']) {
        return service.parse_reference(name).ok();
    }
    Reference::parse(fallback?).ok()?.with_tag(name).ok()
}

/// The images of an archive, in order, each once, with the names that it gives them.
#[derive(Default)]
pub(super) struct Loaded(Vec<(Digest, Vec<String>)>);

impl Loaded {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names an image that is in the store.
    pub(super) fn add(
        &mut self,
        service: &ImageService,
        digest: Digest,
        names: impl Iterator<Item = Reference>,
    ) -> Result<()> {
        let known = self.0.iter().position(|(known, _)| *known == digest);
        let index = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push((digest.clone(), Vec::new()));
        }
        for name in names {
            let name = name.to_string();
            service.store().tag(&name, &digest)?;
            self.0[index].1.push(name);
        }
        Ok(())
    }

    /// `Done` for each image. It may have had other names before, which are not the archive's.
    pub(super) fn announce(
        self,
        service: &ImageService,
        events: &Events,
    ) -> Result<Vec<ImageSummary>> {
        let images = self.0.into_iter().map(|(digest, names)| {
            let mut image = service.summary(&*service.store().resolve(digest.as_str())?);
            let names: Vec<String> = names.iter().map(|name| service.familiar(name)).collect();
            image.references.retain(|name| names.contains(name));
            events(PullEvent::Done {
                image: image.clone(),
                up_to_date: false,
            });
            Ok(image)
        });
        images.collect()
    }
}
