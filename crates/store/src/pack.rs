//! A layer directory as a reproducible tar stream.

use std::io::Write;
use std::path::Path;

use shedbox_spec::Digest;

use crate::Result;

/// A finished tar stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Digest of the stream: the diff id of what was packed. In general not the diff id the layer was extracted from:
    /// the layout of a tar stream is its writer's choice.
    pub diff_id: Digest,
    /// Its length.
    pub bytes: u64,
}

/// Writes the layer at `dir` (overlay's form) as tar with OCI whiteouts: names sorted, owners, modes, mtimes, hard
/// links and xattrs kept.
pub fn pack_layer(dir: &Path, out: &mut dyn Write) -> Result<Packed> {
    let _ = (dir, out);
    unimplemented!()
}
