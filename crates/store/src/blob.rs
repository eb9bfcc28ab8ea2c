//! Content-addressed small files: manifests and configurations.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use shedbox_linux::path::{self, Rename};
use shedbox_spec::Digest;

use crate::error::Doing;
use crate::name::fresh;
use crate::root::remove_temporary;
use crate::{Result, Store, StoreError};

/// Largest blob that is kept. Registries limit manifests to 4 MiB; configurations with long histories reach 1 MiB.
pub(crate) const MAX_BLOB: u64 = 64 << 20;

/// The digest of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(&Sha256::digest(bytes).into())
}

impl Store {
    /// Stores what `reader` gives, verified against `expected` while it is written. At most 64 MiB.
    pub fn write_blob(&self, expected: Option<&Digest>, reader: &mut dyn Read) -> Result<Digest> {
        let temporary = format!("ingest/{}", fresh());
        let written = self.write_blob_to(&temporary, expected, reader);
        if written.is_err() {
            remove_temporary(&self.dir, &temporary);
        }
        written
    }

    fn write_blob_to(
        &self,
        temporary: &str,
        expected: Option<&Digest>,
        reader: &mut dyn Read,
    ) -> Result<Digest> {
        let what = || "write a blob".to_owned();
        let mut file = File::from(path::create_at(&self.dir, temporary, 0o600).doing(what)?);
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let mut total = 0;
        loop {
            let length = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::Source(error)),
            };
            total += length as u64;
            if total > MAX_BLOB {
                return Err(StoreError::SizeMismatch {
                    expected: MAX_BLOB,
                    actual: total,
                });
            }
            hash.update(&buffer[..length]);
            file.write_all(&buffer[..length]).doing(what)?;
        }
        let actual = Digest::from_bytes(&hash.finalize().into());
        if let Some(expected) = expected
            && *expected != actual
        {
            return Err(StoreError::DigestMismatch {
                what: "blob",
                expected: expected.clone(),
                actual,
            });
        }
        let name = format!("blobs/sha256/{}", actual.hex());
        path::rename_at(&self.dir, temporary, &self.dir, &name, Rename::Replace).doing(what)?;
        Ok(actual)
    }

    /// A file without a name on the store's disk, for reading and writing; it is gone when it is closed.
    pub fn nameless_file(&self) -> Result<File> {
        let temporary = format!("ingest/{}", fresh());
        let what = || "make a temporary file".to_owned();
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.root.join(&temporary))
            .doing(what)?;
        path::unlink_at(&self.dir, &temporary).doing(what)?;
        Ok(file)
    }

    /// The content of a blob of at most `max` bytes; verified. Not found also when a crash has emptied the file.
    pub fn read_blob(&self, digest: &Digest, max: u64) -> Result<Vec<u8>> {
        let missing = || StoreError::NotFound {
            what: "blob",
            name: digest.to_string(),
        };
        let path = self.blob_path(digest);
        let what = || format!("read `{}`", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(error).doing(what),
        };
        let size = file.metadata().doing(what)?.len();
        if size > max {
            return Err(StoreError::SizeMismatch {
                expected: max,
                actual: size,
            });
        }
        let mut content = Vec::with_capacity(size as usize);
        file.take(max).read_to_end(&mut content).doing(what)?;
        let actual = digest_of(&content);
        if actual == *digest {
            return Ok(content);
        }
        tracing::warn!(%digest, %actual, "a blob is damaged and counts as missing");
        Err(missing())
    }

    /// Where a blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Whether a blob is there. Its content is verified when it is read.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest)
            .metadata()
            .is_ok_and(|meta| meta.is_file())
    }
}
