//! What a sandbox has changed: its upperdir against its lower directories.

use std::path::{Path, PathBuf};

use shedbox_spec::api::Change;

use crate::Result;

/// Changes of `upper` over `lowers` (uppermost first), sorted by path, parents of changes included as `docker diff`
/// shows them. Paths in `ignore` (absolute, as inside) are our own mount points and not mentioned.
pub fn changes(upper: &Path, lowers: &[PathBuf], ignore: &[String]) -> Result<Vec<Change>> {
    let _ = (upper, lowers, ignore);
    unimplemented!()
}
