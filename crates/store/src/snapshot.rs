//! Copies of upper directories to go on from: everything a sandbox has written, in overlay's own form.

use std::path::{Path, PathBuf};

use crate::copier::{Copier, Purpose};
use crate::{Result, Trash};

/// Copies the upper directory at the end of `uppers`, and lays the others over it as overlay would (uppermost first), into
/// `to`, an empty directory. The lowest one lies on `lowers`. Gives what could not be kept, for people: once per cause.
///
/// Whiteouts, opaque marks, owners, modes, times, attributes, access control lists, hard links, sockets and holes are kept.
/// Blocks are shared where the file system can, and copied where not: never linked, because files are written in place.
pub fn copy(
    uppers: &[PathBuf],
    lowers: &[PathBuf],
    to: &Path,
    trash: &Trash,
) -> Result<Vec<String>> {
    Copier::copy(uppers, lowers, to, Purpose::Snapshot, trash).map(|(_, warnings)| warnings)
}
