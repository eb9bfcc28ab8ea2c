//! What the layers below have where a copy is made.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use shedbox_linux::meta::{FileKind, Stat};
use shedbox_linux::path;

use super::Copier;
use crate::Result;
use crate::diff::{Below, look_below};
use crate::entry::shown;
use crate::error::Doing;

impl Copier<'_> {
    /// Whether a directory without anything in it adds nothing to what is below: it was made, or copied up, for a mount
    /// point of ours.
    pub(super) fn is_as_below(&self, path: &[u8], stat: &Stat) -> Result<bool> {
        Ok(self.below(path)?.is_none_or(|found| {
            found.stat.kind == FileKind::Directory
                && (found.stat.mode, found.stat.uid, found.stat.gid)
                    == (stat.mode, stat.uid, stat.gid)
        }))
    }

    /// What the layers below have at a path.
    pub(super) fn below(&self, path: &[u8]) -> Result<Option<Below>> {
        let what = || format!("open `{}` in a layer", shown(path));
        let mut below: Vec<(usize, OwnedFd)> = Vec::with_capacity(self.lowers.len());
        for (index, lower) in self.lowers.iter().enumerate() {
            below.push((index, path::open_dir_at(lower, ".").doing(what)?));
        }
        let mut found: Option<Below> = None;
        for name in path.split(|byte| *byte == b'/') {
            let name = OsStr::from_bytes(name);
            let Some(next) = look_below(&below, name)? else {
                return Ok(None);
            };
            let mut merged = Vec::with_capacity(next.merged.len());
            for (index, dir) in below
                .iter()
                .filter(|(index, _)| next.merged.contains(index))
            {
                merged.push((*index, path::open_dir_at(dir, name).doing(what)?));
            }
            below = merged;
            found = Some(next);
        }
        Ok(found)
    }
}
