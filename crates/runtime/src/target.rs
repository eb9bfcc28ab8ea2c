//! Mount targets inside a new root: found or made without ever leaving it. Source: openat2(2), RESOLVE_IN_ROOT.

use std::os::fd::OwnedFd;

use shedbox_linux::Result;
use shedbox_linux::inroot::{self, Kind};

/// An O_PATH descriptor of `path` inside the current root, where a missing file or directory is made, parents too.
///
/// Symbolic links resolve inside; magic links of /proc do not resolve at all.
pub(crate) fn ensure(path: &str, kind: Kind) -> Result<OwnedFd> {
    let root = inroot::open_root()?;
    if let Some(found) = inroot::open(&root, path)? {
        return Ok(found);
    }
    let mut reached = String::from("/");
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let parent = reached.clone();
        reached.push_str(part);
        if inroot::open(&root, &reached)?.is_none() {
            let last = index + 1 == parts.len();
            inroot::make(
                &root,
                &parent,
                part,
                if last { kind } else { Kind::Directory },
            )?;
        }
        reached.push('/');
    }
    inroot::open(&root, path)?.ok_or_else(|| {
        shedbox_linux::Error::new("openat2", path, shedbox_linux::errno::Errno::ENOENT)
    })
}
