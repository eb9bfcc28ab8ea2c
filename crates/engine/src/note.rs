//! A note that the API above keeps with a sandbox: what it has learnt since the sandbox was made, and no part of the spec.
//! Forks and snapshots do not have it. It goes with the sandbox.

use std::io::ErrorKind;

use crate::Engine;
use crate::error::{Doing, Result, on_path};

impl Engine {
    /// The note of a sandbox, when there is one.
    pub fn note(&self, name: &str) -> Result<Option<String>> {
        let path = self.find(name)?.layout.note();
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some).doing(|| on_path("read", &path)),
        }
    }

    /// Puts a note in the place of the one before. A reader sees the old one or the new one; two writers at once have to
    /// agree among themselves.
    pub fn set_note(&self, name: &str, text: &str) -> Result<()> {
        let path = self.find(name)?.layout.note();
        let next = path.with_extension("next");
        std::fs::write(&next, text).doing(|| on_path("write", &next))?;
        std::fs::rename(&next, &path).doing(|| on_path("replace", &path))
    }
}
