//! A layer as the blob that a registry gets: packed, compressed, and kept in a file without a name until it is sent.
//!
//! The digest has to be known before the registry can be asked whether it has the blob, and a broken connection goes on in
//! the middle of it: so it is on the disk, not in memory and not made twice.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use shedbox_spec::Digest;
use shedbox_store::{Store, TarOutput};

use crate::error::{Error, Result};
use crate::registry::upload::{Blob, Content};

/// A packed layer.
#[derive(Debug)]
pub(super) struct Spooled {
    /// What its configuration has to call it.
    pub(super) diff_id: Digest,
    pub(super) blob: Blob,
}

/// Packs a layer. Blocks. The same layer always gives the same blob.
pub(super) fn spool(store: &Store, diff_id: &Digest) -> Result<Spooled> {
    let fail = |source| Error::Io {
        what: format!("pack layer {diff_id}"),
        source,
    };
    let mut gzip = Gzip(gzip(store.nameless_file()?));
    let packed = store.write_layer(diff_id, &mut gzip)?;
    let counted = gzip.0.finish().map_err(fail)?;
    let file = counted
        .out
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    Ok(Spooled {
        diff_id: packed.diff_id,
        blob: Blob {
            digest: Digest::from_bytes(&counted.hash.finalize().into()),
            size: counted.bytes,
            content: Content::File(Arc::new(file)),
        },
    })
}

/// Compresses into a file.
struct Gzip(GzEncoder<Counted>);

fn gzip(file: File) -> GzEncoder<Counted> {
    let counted = Counted {
        out: BufWriter::with_capacity(256 << 10, file),
        hash: Sha256::new(),
        bytes: 0,
    };
    GzEncoder::new(counted, Compression::default())
}

impl Write for Gzip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TarOutput for Gzip {
    fn restart(&mut self) -> io::Result<()> {
        // The old encoder writes what it still has when it is dropped: before the file is emptied.
        let file = self.0.get_ref().out.get_ref().try_clone()?;
        self.0 = gzip(file.try_clone()?);
        file.set_len(0)?;
        (&file).rewind()
    }
}

struct Counted {
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
