//! Loading from a stream.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use shedbox_spec::Digest;
use shedbox_spec::api::{ImageSummary, LayerState, PullEvent};
use shedbox_store::{LayerExpect, PinGuard, decompress};
use tar::EntryType;

use crate::archive::members::{Gathered, Layer, Members, StoredLayer, blob_digest, clean, missing};
use crate::archive::{directory, docker, oci};
use crate::error::{Error, Result};
use crate::progress::{Events, LayerProgress};
use crate::service::ImageService;

/// Largest document, in bytes.
pub(super) const MAX_DOCUMENT: u64 = 8 << 20;
/// All documents together, in bytes; they are held in memory.
const MAX_DOCUMENTS: usize = 64 << 20;
/// Members of an archive; a 500-layer image of the oldest form has 2,000.
const MAX_MEMBERS: usize = 100_000;
/// What may follow the last member, in bytes.
const MAX_PADDING: u64 = 1 << 20;
/// Blanks are allowed before a document.
const PEEK: usize = 512;

impl ImageService {
    /// Loads all images of an archive that comes as a stream. Blocks.
    ///
    /// Names come from the archive. The last event of success is one [`PullEvent::Done`] per image;
    /// [`PullEvent::Failed`] is left to the caller.
    pub fn load(&self, reader: impl Read, events: Events) -> Result<Vec<ImageSummary>> {
        self.load_named(reader, None, &events)
    }

    /// Loads an archive file or a directory (OCI layout, unpacked docker-archive). Blocks.
    ///
    /// Where an OCI layout gives only tags (umoci and skopeo do), the images are named `localhost/<file name>:<tag>`.
    pub fn load_path(&self, path: &Path, events: Events) -> Result<Vec<ImageSummary>> {
        let fail = |source| Error::Io {
            what: format!("read `{}`", path.display()),
            source,
        };
        // As it was written: a link's own name counts.
        let name = fallback_name(&std::path::absolute(path).map_err(fail)?);
        if path.is_dir() {
            let mut members = directory::Directory::open(self, path, &events)?;
            return self.load_members(&mut members, name.as_deref(), &events);
        }
        let file = std::fs::File::open(path).map_err(fail)?;
        self.load_named(file, name.as_deref(), &events)
    }

    fn load_named(
        &self,
        reader: impl Read,
        name: Option<&str>,
        events: &Events,
    ) -> Result<Vec<ImageSummary>> {
        self.check_room()?;
        let mut stream = Stream::new(self, events);
        let mut reader = decompress(reader).map_err(broken)?;
        stream.gather(&mut reader)?;
        // Padding after the end: who writes into our pipe must not be hit by SIGPIPE, and a compressed stream's
        // checksum comes last.
        io::copy(&mut reader.take(MAX_PADDING), &mut io::sink()).map_err(broken)?;
        self.load_members(&mut stream, name, events)
    }

    fn load_members(
        &self,
        members: &mut dyn Members,
        name: Option<&str>,
        events: &Events,
    ) -> Result<Vec<ImageSummary>> {
        let index = members.document("index.json")?;
        let manifest = members.document("manifest.json")?;
        match (index, manifest) {
            (None, None) => Err(Error::Archive {
                what: "the archive".to_owned(),
                reason: "it has neither `index.json` nor `manifest.json`".to_owned(),
            }),
            (Some(index), None) => oci::load(self, members, &index, name, events),
            (None, Some(manifest)) => docker::load(self, members, &manifest, events),
            (Some(index), Some(manifest)) => match oci::load(self, members, &index, name, events) {
                Err(
                    error @ (Error::Archive { .. }
                    | Error::Platform { .. }
                    | Error::Document { .. }),
                ) => {
                    tracing::debug!(%error, "not as an OCI layout");
                    docker::load(self, members, &manifest, events)
                }
                result => result,
            },
        }
    }
}

/// `localhost/<name>` from the last component of a path, as far as it can be a repository's name.
fn fallback_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = [".gz", ".tgz", ".bz2", ".xz", ".zst", ".tar", ".oci"]
        .iter()
        .fold(name.as_str(), |name, ending| {
            name.strip_suffix(ending).unwrap_or(name)
        });
    let name = format!("localhost/{name}");
    shedbox_spec::Reference::parse(&name).ok()?;
    Some(name)
}

pub(crate) fn broken(source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::UnexpectedEof || source.raw_os_error().is_none() {
        Error::Archive {
            what: "the archive".to_owned(),
            reason: format!("it is damaged or ends early: {source}"),
        }
    } else {
        Error::Io {
            what: "read the archive".to_owned(),
            source,
        }
    }
}

/// A stream on its way into the store.
struct Stream<'a> {
    service: &'a ImageService,
    events: &'a Events,
    gathered: Gathered,
    document_bytes: usize,
    /// Layers must not be pruned before their image is recorded.
    pins: Vec<PinGuard>,
}

impl<'a> Stream<'a> {
    fn new(service: &'a ImageService, events: &'a Events) -> Self {
        Self {
            service,
            events,
            gathered: Gathered::default(),
            document_bytes: 0,
            pins: Vec::new(),
        }
    }

    fn gather(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        let entries = archive.entries().map_err(broken)?;
        for (number, entry) in entries.enumerate() {
            let entry = entry.map_err(broken)?;
            if number == MAX_MEMBERS {
                return Err(Error::Archive {
                    what: "the archive".to_owned(),
                    reason: format!("it has more than {MAX_MEMBERS} members"),
                });
            }
            self.member(entry)?;
        }
        Ok(())
    }

    fn member(&mut self, entry: tar::Entry<'_, impl Read>) -> Result<()> {
        let Some(name) = std::str::from_utf8(&entry.path_bytes())
            .ok()
            .and_then(clean)
        else {
            // No form names its members so; it cannot be meant for us.
            return Ok(());
        };
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = std::str::from_utf8(&target).ok().and_then(|target| {
                    if kind == EntryType::Link || target.starts_with('/') {
                        clean(target)
                    } else {
                        clean(&format!("{name}/../{target}"))
                    }
                });
                self.gathered
                    .links
                    .extend(target.map(|target| (name, target)));
                return Ok(());
            }
            _ => return Ok(()),
        }
        let size = entry.size();
        let mut reader = BufReader::with_capacity(256 << 10, entry);
        let is_document = size <= MAX_DOCUMENT && {
            let start = reader.fill_buf().map_err(broken)?;
            let first = start
                .iter()
                .take(PEEK)
                .find(|byte| !byte.is_ascii_whitespace());
            matches!(first, Some(b'{' | b'['))
        };
        if is_document {
            self.document_bytes += size as usize;
            if self.document_bytes > MAX_DOCUMENTS {
                return Err(Error::Archive {
                    what: "the archive".to_owned(),
                    reason: format!("its documents exceed {MAX_DOCUMENTS} bytes"),
                });
            }
            let mut bytes = Vec::with_capacity(size as usize);
            reader.read_to_end(&mut bytes).map_err(broken)?;
            self.gathered.documents.insert(name, bytes);
        } else if blob_digest(&name).is_some()
            || Path::new(&name)
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
        {
            self.stream_layer(name, size, &mut reader)?;
        }
        Ok(())
    }

    /// Extracts a member as it comes.
    fn stream_layer(&mut self, name: String, size: u64, reader: &mut impl BufRead) -> Result<()> {
        let promised = blob_digest(&name);
        // An uncompressed layer below `blobs/` has its diff id as its name.
        if let Some(diff_id) = &promised {
            let pin = self.service.store().pin(vec![diff_id.clone()]);
            if self.service.store().has_layer(diff_id) {
                self.pins.push(pin);
                let stored = StoredLayer {
                    diff_id: diff_id.clone(),
                    blob: diff_id.clone(),
                    size,
                    warnings: Vec::new(),
                };
                self.gathered.layers.insert(name, Layer::Stored(stored));
                return Ok(());
            }
        }
        let layer = ingest(self.service, self.events, promised, None, size, reader);
        let layer = match layer {
            Ok((stored, pin)) => {
                self.pins.push(pin);
                Layer::Stored(stored)
            }
            // The outer stream is at fault, or the disk: that is not about this member alone.
            Err(Error::Store(shedbox_store::StoreError::Source(error))) => {
                return Err(broken(error));
            }
            Err(Error::Store(error)) if error.kind() != shedbox_spec::Kind::Invalid => {
                return Err(error.into());
            }
            Err(Error::Store(error)) => Layer::Failed(error),
            Err(error) => return Err(error),
        };
        self.gathered.layers.insert(name, layer);
        Ok(())
    }
}

/// Extracts one layer and pins it.
pub(super) fn ingest(
    service: &ImageService,
    events: &Events,
    blob: Option<Digest>,
    diff_id: Option<Digest>,
    size: u64,
    reader: &mut dyn Read,
) -> Result<(StoredLayer, PinGuard)> {
    // Events need a name before the content is known.
    let progress = blob
        .clone()
        .map(|digest| LayerProgress::new(std::sync::Arc::clone(events), digest));
    let expect = LayerExpect {
        blob,
        blob_size: Some(size),
        diff_id,
    };
    let (layer, pin) = service
        .store()
        .ingest_layer_pinned(&expect, reader, &mut |consumed| {
            if let Some(progress) = &progress {
                progress.local(consumed);
            }
        })?;
    events(PullEvent::Layer {
        digest: layer.blob_digest.clone(),
        state: LayerState::Done,
    });
    Ok((
        StoredLayer {
            diff_id: layer.diff_id,
            blob: layer.blob_digest,
            size: layer.blob_size,
            warnings: layer.warnings,
        },
        pin,
    ))
}

impl Members for Stream<'_> {
    fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let target = self.gathered.target(name);
        Ok(target.and_then(|name| self.gathered.documents.get(&name).cloned()))
    }

    fn layer(&mut self, name: &str, diff_id: &Digest, what: &str) -> Result<StoredLayer> {
        let target = self.gathered.target(name).ok_or_else(|| missing(name))?;
        let layer = match self.gathered.layers.get(&target) {
            Some(Layer::Stored(layer)) => layer.clone(),
            Some(Layer::Failed(_)) => {
                let Some(Layer::Failed(source)) = self.gathered.layers.remove(&target) else {
                    return Err(missing(name));
                };
                return Err(Error::Layer {
                    what: what.to_owned(),
                    source,
                });
            }
            // It began like a document and is a layer after all.
            None => match self.gathered.documents.get(&target) {
                Some(bytes) => {
                    let (layer, pin) = ingest(
                        self.service,
                        self.events,
                        blob_digest(&target),
                        Some(diff_id.clone()),
                        bytes.len() as u64,
                        &mut bytes.as_slice(),
                    )?;
                    self.pins.push(pin);
                    layer
                }
                None => return Err(missing(name)),
            },
        };
        if layer.diff_id == *diff_id {
            Ok(layer)
        } else {
            Err(Error::Archive {
                what: what.to_owned(),
                reason: format!(
                    "its content is {}, the configuration says {diff_id}",
                    layer.diff_id
                ),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_paths() {
        for (path, name) in [
            ("/x/busybox", Some("localhost/busybox")),
            ("/x/My-App.tar.gz", Some("localhost/my-app")),
            ("/x/a b", None),
            ("/", None),
        ] {
            assert_eq!(fallback_name(Path::new(path)).as_deref(), name, "{path}");
        }
    }
}
