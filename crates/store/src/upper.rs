//! Upper and work directories of sandboxes: made, swapped, renewed.

use std::path::Path;

use crate::Result;

/// Makes `<dir>/upper` (mode 0755: it is the sandbox's `/`), `<dir>/work` and, for each number in `cow`,
/// `<dir>/cow/<n>/{upper,work}`. `dir` itself is made when missing.
pub fn make(dir: &Path, cow: &[usize]) -> Result<()> {
    let _ = (dir, cow);
    unimplemented!()
}

/// Exchanges two directories in one step: renameat2 `RENAME_EXCHANGE`.
pub fn swap(live: &Path, spare: &Path) -> Result<()> {
    let _ = (live, spare);
    unimplemented!()
}
