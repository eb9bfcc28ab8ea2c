//! The members of an archive, by name: what the readers of both forms look things up in.

use std::collections::BTreeMap;

use sha2::Digest as _;
use shedbox_spec::Digest;
use shedbox_store::StoreError;

use crate::error::{Error, Result};

/// Links that lead on to links; more is a loop.
const MAX_LINKS: usize = 16;

/// A layer that has been extracted, or could not be.
pub(super) enum Layer {
    /// It is in the store.
    Stored(StoredLayer),
    /// Only an error when an image wants it: archives also carry what is no layer.
    Failed(StoreError),
}

/// A layer that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredLayer {
    pub(super) diff_id: Digest,
    pub(super) blob: Digest,
    pub(super) size: u64,
    pub(super) warnings: Vec<String>,
}

/// Where the documents and layers of an archive come from.
pub(super) trait Members {
    /// A document; `None` when there is no such member.
    fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>>;
    /// Makes sure that a layer is in the store. `diff_id` is what the configuration says it is.
    fn layer(&mut self, name: &str, diff_id: &Digest, what: &str) -> Result<StoredLayer>;

    /// A document that must be there.
    fn need(&mut self, name: &str) -> Result<Vec<u8>> {
        self.document(name)?.ok_or_else(|| missing(name))
    }

    /// A document below `blobs/`, verified.
    fn blob(&mut self, digest: &Digest) -> Result<Vec<u8>> {
        let name = blob_name(digest);
        let bytes = self.need(&name)?;
        let actual = Digest::from_bytes(&sha2::Sha256::digest(&bytes).into());
        if actual == *digest {
            Ok(bytes)
        } else {
            Err(Error::Archive {
                what: format!("`{name}`"),
                reason: format!("its content is {actual}"),
            })
        }
    }
}

pub(super) fn missing(name: &str) -> Error {
    Error::Archive {
        what: "the archive".to_owned(),
        reason: format!("it has no `{name}`"),
    }
}

/// Where an OCI layout keeps a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The digest a name below `blobs/` promises.
pub(super) fn blob_digest(name: &str) -> Option<Digest> {
    Digest::parse(&format!("sha256:{}", name.strip_prefix("blobs/sha256/")?)).ok()
}

/// A member's name without `.` and empty components. `None` for one that climbs out: no writer makes such names.
pub(super) fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What has been read of a stream.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) documents: BTreeMap<String, Vec<u8>>,
    pub(super) layers: BTreeMap<String, Layer>,
    /// Old docker writes a layer once and links to it.
    pub(super) links: BTreeMap<String, String>,
}

impl Gathered {
    /// The member that `name` stands for, through links.
    pub(super) fn target(&self, name: &str) -> Option<String> {
        let mut name = clean(name)?;
        for _ in 0..MAX_LINKS {
            match self.links.get(&name) {
                Some(target) => name.clone_from(target),
                None => return Some(name),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, cleaned) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/a", Some("a")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
        ] {
            assert_eq!(clean(name).as_deref(), cleaned, "{name}");
        }
        let digest = Digest::from_bytes(&[9; 32]);
        assert_eq!(blob_digest(&blob_name(&digest)), Some(digest));
        assert_eq!(blob_digest("blobs/sha256/xyz"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_clean_name_stays_inside(name in "[a./]{0,30}") {
            if let Some(cleaned) = clean(&name) {
                proptest::prop_assert!(cleaned.split('/').all(|part| part != ".." && part != "."));
                proptest::prop_assert!(!cleaned.starts_with('/'));
                proptest::prop_assert_eq!(clean(&cleaned), Some(cleaned.clone()));
            }
        }
    }

    #[test]
    fn links_end_somewhere() {
        let mut gathered = Gathered::default();
        for (from, to) in [("a", "b"), ("b", "c"), ("x", "y"), ("y", "x")] {
            gathered.links.insert(from.to_owned(), to.to_owned());
        }
        assert_eq!(gathered.target("./a").as_deref(), Some("c"));
        assert_eq!(gathered.target("x"), None);
        assert_eq!(gathered.target("other").as_deref(), Some("other"));
    }
}
