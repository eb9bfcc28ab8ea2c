//! Content-addressed small files: manifests and configurations.

use std::io::Read;
use std::path::PathBuf;

use shedbox_spec::Digest;

use crate::{Result, Store};

impl Store {
    /// Stores what `reader` gives, verified against `expected` while it is written. At most 64 MiB.
    pub fn write_blob(&self, expected: Option<&Digest>, reader: &mut dyn Read) -> Result<Digest> {
        let _ = (expected, reader);
        unimplemented!()
    }

    /// The content of a blob of at most `max` bytes; verified. Not found also when a crash has emptied the file.
    pub fn read_blob(&self, digest: &Digest, max: u64) -> Result<Vec<u8>> {
        let _ = (digest, max);
        unimplemented!()
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let _ = digest;
        unimplemented!()
    }

    /// Whether a blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        let _ = digest;
        unimplemented!()
    }
}
