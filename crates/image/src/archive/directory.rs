//! Loading from a directory: an OCI layout, or a docker-archive that somebody has unpacked.
//!
//! Every member is opened with the directory as the root (`RESOLVE_IN_ROOT`): links inside work, links out end inside.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_linux::path::{open_dir, open_file_in_root};
use shedbox_spec::Digest;
use shedbox_store::PinGuard;

use crate::archive::load::{MAX_DOCUMENT, ingest};
use crate::archive::members::{Members, StoredLayer, blob_digest, missing};
use crate::error::{Error, Result};
use crate::progress::Events;
use crate::service::ImageService;

pub(super) struct Directory<'a> {
    service: &'a ImageService,
    events: &'a Events,
    root: OwnedFd,
    shown: String,
    /// Layers must not be pruned before their image is recorded.
    pins: Vec<PinGuard>,
}

impl<'a> Directory<'a> {
    pub(super) fn open(service: &'a ImageService, path: &Path, events: &'a Events) -> Result<Self> {
        service.check_room()?;
        let shown = path.display().to_string();
        let root = open_dir(path).map_err(|error| Error::Io {
            what: format!("open `{shown}`"),
            source: io_error(&error),
        })?;
        Ok(Self {
            service,
            events,
            root,
            shown,
            pins: Vec::new(),
        })
    }

    /// A regular file and its size; `None` when there is none.
    fn file(&self, name: &str) -> Result<Option<(File, u64)>> {
        let fail = |source| Error::Io {
            what: format!("read `{name}` in `{}`", self.shown),
            source,
        };
        let file = match open_file_in_root(&self.root, name) {
            Ok(file) => File::from(file),
            Err(error) if error.errno == Errno::ENOENT => return Ok(None),
            Err(error) => return Err(fail(io_error(&error))),
        };
        let meta = file.metadata().map_err(fail)?;
        if meta.is_file() {
            Ok(Some((file, meta.len())))
        } else {
            Err(Error::Archive {
                what: format!("`{name}` in `{}`", self.shown),
                reason: "it is not a regular file".to_owned(),
            })
        }
    }
}

fn io_error(error: &shedbox_linux::Error) -> std::io::Error {
    std::io::Error::from_raw_os_error(error.errno as i32)
}

impl Members for Directory<'_> {
    fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((file, _)) = self.file(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Io {
                what: format!("read `{name}` in `{}`", self.shown),
                source,
            })?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(Error::Archive {
                what: format!("`{name}` in `{}`", self.shown),
                reason: format!("it is larger than {MAX_DOCUMENT} bytes"),
            });
        }
        Ok(Some(bytes))
    }

    fn layer(&mut self, name: &str, diff_id: &Digest, what: &str) -> Result<StoredLayer> {
        let (mut file, size) = self.file(name)?.ok_or_else(|| missing(name))?;
        let promised = blob_digest(name);
        let pin = self.service.store().pin(vec![diff_id.clone()]);
        // Without a digest in its name the content must be read to know what it is.
        if let Some(blob) = &promised
            && self.service.store().has_layer(diff_id)
        {
            self.pins.push(pin);
            return Ok(StoredLayer {
                diff_id: diff_id.clone(),
                blob: blob.clone(),
                size,
                warnings: Vec::new(),
            });
        }
        let (layer, pin) = ingest(
            self.service,
            self.events,
            promised,
            Some(diff_id.clone()),
            size,
            &mut file,
        )
        .map_err(|error| match error {
            Error::Store(source) => Error::Layer {
                what: what.to_owned(),
                source,
            },
            error => error,
        })?;
        self.pins.push(pin);
        Ok(layer)
    }
}
