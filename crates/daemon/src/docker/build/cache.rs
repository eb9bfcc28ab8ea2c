//! Steps that were done before: a file by step that names the image it led to. One that has gone since is none.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use shedbox_spec::Digest;

/// What makes a step: the image before it, and everything that it depends on.
pub(super) struct Key(String);

impl Key {
    pub(super) fn new(parent: Option<&Digest>, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        let parent = parent.map(ToString::to_string).unwrap_or_default();
        for part in std::iter::once(parent.as_str()).chain(parts.iter().copied()) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = Digest::from_bytes(&hash.finalize().into()).to_string();
        Self(digest.replace(':', "-"))
    }

    /// The image that it led to.
    pub(super) fn find(&self, dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join(&self.0)).ok()
    }

    /// Notes it. Losing a note costs time alone.
    pub(super) fn note(&self, dir: &Path, image: &Digest) {
        let next = dir.join(format!("{}.{}", self.0, std::process::id()));
        let written = std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&next, image.to_string()))
            .and_then(|()| std::fs::rename(&next, dir.join(&self.0)));
        if let Err(error) = written {
            tracing::warn!(%error, "a build step is not remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_found_by_all_of_their_parts() {
        let dir = tempfile::tempdir().unwrap();
        let image = Digest::from_bytes(&[7; 32]);
        let key = Key::new(None, &["RUN a", "b"]);
        assert_eq!(key.find(dir.path()), None);
        key.note(dir.path(), &image);
        assert_eq!(
            Key::new(None, &["RUN a", "b"]).find(dir.path()),
            Some(image.to_string())
        );
        for other in [
            Key::new(None, &["RUN a", "c"]),
            Key::new(None, &["RUN ab", ""]),
            Key::new(Some(&image), &["RUN a", "b"]),
        ] {
            assert_eq!(other.find(dir.path()), None);
        }
    }
}
