//! Steps that were done before: a file by step that names the image it led to. One that has gone since is none.
//!
//! ```text
//! build/cache/sha256-<digest of the image before and all that the step depends on>     the id of the image after it
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use shedbox_spec::Digest;

/// Tells notes apart that are written at once.
static TURN: AtomicU64 = AtomicU64::new(0);

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

    /// What it led to.
    pub(super) fn find(&self, dir: &Path) -> Option<String> {
        let text = std::fs::read_to_string(dir.join(&self.0)).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// Notes it. Losing a note costs time alone.
    pub(super) fn note(&self, dir: &Path, value: &str) {
        // Two builds may do the same step at once.
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let next = dir.join(format!("{}.{}.{turn}", self.0, std::process::id()));
        let written = std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&next, value))
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
        key.note(dir.path(), &image.to_string());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
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
