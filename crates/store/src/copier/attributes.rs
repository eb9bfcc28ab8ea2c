//! Attributes that a snapshot keeps: all that a sandbox can set.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use shedbox_linux::xattr;

use crate::Result;
use crate::entry::shown;
use crate::error::Doing;
use crate::whiteout::OVERLAY_XATTRS;

/// Access control lists: acl(5).
const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// Those that what is made in a directory inherits.
pub(super) const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Names and values.
pub(super) fn all(file: &OwnedFd, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let what = || format!("read the attributes of `{}`", shown(path));
    let mut kept = Vec::new();
    for name in xattr::list(file).doing(what)? {
        if is_kept(name.as_bytes())
            && let Some(value) = xattr::get(file, &name).doing(what)?
        {
            kept.push((name.into_vec(), value));
        }
    }
    Ok(kept)
}

/// What is made in a directory inherits this.
pub(super) fn default_acl(dir: &OwnedFd, path: &[u8]) -> Result<Option<Vec<u8>>> {
    xattr::get(dir, std::ffi::OsStr::from_bytes(ACL_DEFAULT))
        .doing(|| format!("read the attributes of `{}`", shown(path)))
}

/// Of overlay's own, those that an overlay inside wrote, which ours has put under a second prefix (Linux 6.7). Where a file
/// was copied up from does not hold for a copy.
fn is_kept(name: &[u8]) -> bool {
    match name.strip_prefix(OVERLAY_XATTRS) {
        Some(rest) => rest.starts_with(b"overlay."),
        None => {
            name.starts_with(b"user.")
                || [&b"security.capability"[..], ACL_ACCESS, ACL_DEFAULT].contains(&name)
        }
    }
}
