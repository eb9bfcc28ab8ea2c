//! Saving images: as a tar stream in either form, or as an OCI layout directory.
//!
//! Layers are written as the tar streams that they came as, so that diff ids, and with them the configuration and the
//! image's id, stay what they are; the manifest is another one, because these layers are not compressed. Where that is not
//! possible ([`Store::write_layer`](shedbox_store::Store::write_layer)) a layer is packed anew and the configuration lists
//! what it became.
//!
//! A tar header needs its member's size first. So each layer is read twice, the first time only to be measured and
//! checked, rather than written to a temporary file that may be as large as the image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciImageManifest,
};
use serde_json::{Value, json};
use shedbox_spec::{Digest, Reference};
use shedbox_store::pack::{Packed, pack_layer};
use shedbox_store::{ImageRecord, Store, TarOutput};

use crate::archive::docker::{descriptor, digest_of};
use crate::archive::members::blob_name;
use crate::archive::oci::{IMAGE_NAME, REF_NAME};
use crate::error::{Error, Result};
use crate::manifest::MAX_CONFIG;
use crate::service::ImageService;

/// The form of a saved archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// With `manifest.json`: `docker load` and everything else reads it. It is an OCI layout, too, as docker's own
    /// archives have been since version 25.
    #[default]
    Docker,
    /// OCI layout only.
    Oci,
}

/// One image to save.
struct Wanted {
    record: Arc<ImageRecord>,
    /// The references it was asked for by; none when by id.
    references: Vec<Reference>,
    /// Keeps it from being pruned meanwhile.
    _pin: shedbox_store::PinGuard,
}

/// Documents of one image as it is saved.
struct Documents {
    config: (Digest, Vec<u8>),
    manifest: (Digest, Vec<u8>),
    layers: Vec<Digest>,
}

impl ImageService {
    /// Writes images as one tar stream. `names` are references or ids. Blocks.
    pub fn save(&self, names: &[String], format: Format, writer: impl Write) -> Result<()> {
        let wanted = self.wanted(names)?;
        let mut tar = tar::Builder::new(BufWriter::with_capacity(256 << 10, writer));
        let mut sink = TarSink::new(&mut tar)?;
        let mut packed = BTreeMap::new();
        let mut documents = Vec::with_capacity(wanted.len());
        for image in &wanted {
            for diff_id in &image.record.diff_ids {
                if packed.contains_key(diff_id) {
                    continue;
                }
                let size = self.store().write_layer(diff_id, &mut io::sink())?;
                sink.layer(self.store(), diff_id, &size)?;
                packed.insert(diff_id.clone(), size);
            }
            let document = self.documents(image, &packed)?;
            for (digest, bytes) in [&document.config, &document.manifest] {
                sink.document(&blob_name(digest), bytes)?;
            }
            documents.push(document);
        }
        for (name, bytes) in outline(&wanted, &documents, format)? {
            sink.document(name, &bytes)?;
        }
        tar.into_inner()
            .and_then(|mut writer| writer.flush())
            .map_err(writing)
    }

    /// Writes images as an OCI layout into `dir`, which is made when missing and must be empty. Blocks.
    pub fn save_dir(&self, names: &[String], dir: &Path) -> Result<()> {
        let wanted = self.wanted(names)?;
        let fail = |source| Error::Io {
            what: format!("write the OCI layout `{}`", dir.display()),
            source,
        };
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(dir).map_err(fail)?;
        if std::fs::read_dir(dir).map_err(fail)?.next().is_some() {
            return Err(shedbox_spec::Error::conflict(format!(
                "directory `{}` is not empty",
                dir.display()
            ))
            .with_hint("name a new directory")
            .into());
        }
        std::fs::create_dir_all(&blobs).map_err(fail)?;
        let mut packed = BTreeMap::new();
        let mut documents = Vec::with_capacity(wanted.len());
        for image in &wanted {
            for diff_id in &image.record.diff_ids {
                if packed.contains_key(diff_id) {
                    continue;
                }
                let temporary = blobs.join("partial");
                let mut out = BufWriter::new(File::create(&temporary).map_err(fail)?);
                let layer = self.store().write_layer(diff_id, &mut out)?;
                out.flush().map_err(fail)?;
                std::fs::rename(&temporary, dir.join(blob_name(&layer.diff_id))).map_err(fail)?;
                packed.insert(diff_id.clone(), layer);
            }
            let document = self.documents(image, &packed)?;
            for (digest, bytes) in [&document.config, &document.manifest] {
                std::fs::write(dir.join(blob_name(digest)), bytes).map_err(fail)?;
            }
            documents.push(document);
        }
        // `index.json` and `oci-layout` last: before them it is no layout.
        for (name, bytes) in outline(&wanted, &documents, Format::Oci)? {
            std::fs::write(dir.join(name), bytes).map_err(fail)?;
        }
        Ok(())
    }

    /// The images of `names`, each once, in order of first mention.
    fn wanted(&self, names: &[String]) -> Result<Vec<Wanted>> {
        let mut all: Vec<Wanted> = Vec::new();
        for name in names {
            let record = self.find(name)?;
            let reference = self
                .parse_reference(name)
                .ok()
                .filter(|reference| reference.digest().is_none())
                .filter(|reference| {
                    self.store()
                        .references(&record.manifest)
                        .contains(&reference.to_string())
                });
            let known = all
                .iter_mut()
                .find(|image| image.record.manifest == record.manifest);
            if let Some(image) = known {
                if let Some(reference) = reference
                    && !image.references.contains(&reference)
                {
                    image.references.push(reference);
                }
            } else {
                all.push(Wanted {
                    _pin: self.store().pin(record.digests()),
                    record,
                    references: reference.into_iter().collect(),
                });
            }
        }
        Ok(all)
    }

    /// Configuration and manifest with the digests of the packed layers.
    fn documents(&self, image: &Wanted, packed: &BTreeMap<Digest, Packed>) -> Result<Documents> {
        let record = &image.record;
        let original = self.store().read_blob(&record.config, MAX_CONFIG)?;
        let layers: Vec<&Packed> = record
            .diff_ids
            .iter()
            .filter_map(|diff_id| packed.get(diff_id))
            .collect();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let config = if diff_ids == record.diff_ids {
            original
        } else {
            let invalid = |reason: String| Error::Document {
                what: format!("configuration {}", record.config),
                reason,
            };
            let mut config: Value =
                serde_json::from_slice(&original).map_err(|error| invalid(error.to_string()))?;
            config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
            to_json(&config)?
        };
        let config_digest = digest_of(&config);
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: descriptor(IMAGE_CONFIG_MEDIA_TYPE, &config_digest, config.len() as u64),
            layers: layers
                .iter()
                .map(|layer| descriptor(IMAGE_LAYER_MEDIA_TYPE, &layer.diff_id, layer.bytes))
                .collect(),
            ..OciImageManifest::default()
        };
        let manifest = to_json(&manifest)?;
        Ok(Documents {
            config: (config_digest, config),
            manifest: (digest_of(&manifest), manifest),
            layers: diff_ids,
        })
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Io {
        what: "write a document".to_owned(),
        source: error.into(),
    })
}

fn writing(source: io::Error) -> Error {
    Error::Io {
        what: "write the archive".to_owned(),
        source,
    }
}

/// The documents outside of `blobs/`: name and content.
fn outline(
    wanted: &[Wanted],
    documents: &[Documents],
    format: Format,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    // umoci and skopeo select by ref.name: the bare tag where that is enough, else the short reference.
    let tags: Vec<&str> = wanted
        .iter()
        .flat_map(|image| image.references.iter().filter_map(Reference::tag))
        .collect();
    let unique = tags.iter().collect::<BTreeSet<_>>().len() == tags.len();
    let mut entries = Vec::new();
    for (image, document) in wanted.iter().zip(documents) {
        let record = &image.record;
        let mut platform = json!({"os": record.os, "architecture": record.architecture});
        if let Some(variant) = &record.variant {
            platform["variant"] = json!(variant);
        }
        let mut entry = json!({
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "digest": document.manifest.0,
            "size": document.manifest.1.len(),
            "platform": platform,
        });
        if image.references.is_empty() {
            entries.push(entry.clone());
        }
        for reference in &image.references {
            let name = match reference.tag() {
                Some(tag) if unique => tag.to_owned(),
                _ => reference.familiar(),
            };
            entry["annotations"] = json!({IMAGE_NAME: reference.to_string(), REF_NAME: name});
            entries.push(entry.clone());
        }
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries,
    });
    let mut files = vec![("index.json", to_json(&index)?)];
    if format == Format::Docker {
        let items: Vec<Value> = wanted
            .iter()
            .zip(documents)
            .map(|(image, document)| {
                let names: Vec<String> = image.references.iter().map(Reference::familiar).collect();
                json!({
                    "Config": blob_name(&document.config.0),
                    "RepoTags": if names.is_empty() { Value::Null } else { json!(names) },
                    "Layers": document.layers.iter().map(blob_name).collect::<Vec<_>>(),
                })
            })
            .collect();
        files.push(("manifest.json", to_json(&items)?));
    }
    files.push((
        "oci-layout",
        to_json(&json!({"imageLayoutVersion": "1.0.0"}))?,
    ));
    Ok(files)
}

/// Members of the outer archive, each name once.
struct TarSink<'a, W: Write> {
    tar: &'a mut tar::Builder<W>,
    written: BTreeSet<String>,
}

impl<'a, W: Write> TarSink<'a, W> {
    fn new(tar: &'a mut tar::Builder<W>) -> Result<Self> {
        for dir in ["blobs/", "blobs/sha256/"] {
            let mut header = header(0, 0o755, tar::EntryType::Directory);
            tar.append_data(&mut header, dir, io::empty())
                .map_err(writing)?;
        }
        Ok(Self {
            tar,
            written: BTreeSet::new(),
        })
    }

    fn document(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if !self.written.insert(name.to_owned()) {
            return Ok(());
        }
        let mut header = header(bytes.len() as u64, 0o644, tar::EntryType::Regular);
        self.tar
            .append_data(&mut header, name, bytes)
            .map_err(writing)
    }

    /// Writes a layer a second time, into the archive.
    fn layer(&mut self, store: &Store, diff_id: &Digest, measured: &Packed) -> Result<()> {
        let name = blob_name(&measured.diff_id);
        if !self.written.insert(name.clone()) {
            return Ok(());
        }
        let mut header = header(measured.bytes, 0o644, tar::EntryType::Regular);
        header.set_path(&name).map_err(writing)?;
        header.set_cksum();
        // `append_data` wants to read; a layer is something that writes. So header, content and padding by hand.
        let out = self.tar.get_mut();
        out.write_all(header.as_bytes()).map_err(writing)?;
        let again = if measured.diff_id == *diff_id {
            store.write_layer(diff_id, &mut Once(out))?
        } else {
            pack_layer(&store.layer_dir(diff_id), out)?
        };
        if again != *measured {
            return Err(Error::Io {
                what: format!("pack layer {diff_id}"),
                source: io::Error::other("it changed while it was being read"),
            });
        }
        let out = self.tar.get_mut();
        let padding = (512 - measured.bytes % 512) % 512;
        out.write_all(&[0; 512][..padding as usize])
            .map_err(writing)
    }
}

/// What went out cannot be taken back.
struct Once<'a, W>(&'a mut W);

impl<W: Write> Write for Once<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> TarOutput for Once<'_, W> {
    fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::other("it changed while it was being read"))
    }
}

fn header(size: u64, mode: u32, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
