//! The directories that entries go into, kept open: the next entry is nearly always in the same one or beside it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use shedbox_linux::errno::Errno;
use shedbox_linux::{meta, path, xattr};

use crate::Result;
use crate::entry::refuse;
use crate::error::Doing;
use crate::whiteout::OPAQUE_XATTR;

/// Directories kept open. Deeper paths lose their uppermost ones, which are found again from the root.
const KEPT: usize = 32;

/// A chain of open directories below a layer's root.
///
/// A directory is opened by one name in the one above it, never through a link. When a name on the way is a link, the
/// whole path is resolved by the kernel as if the layer's root were `/` (`RESOLVE_IN_ROOT`), which is where it would
/// lead inside a sandbox: never outside.
pub(crate) struct Parents {
    root: OwnedFd,
    /// The path of the deepest open directory.
    path: Vec<u8>,
    /// The open directories, each in the one before.
    chain: Vec<Open>,
}

struct Open {
    /// The length of its part of the path.
    end: usize,
    dir: OwnedFd,
    /// A link was on the way: it is not where its path says.
    linked: bool,
}

impl Parents {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            path: Vec::new(),
            chain: Vec::new(),
        }
    }

    /// The layer's root.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Forgets what is open: a directory or a link has been replaced.
    pub(crate) fn forget(&mut self) {
        self.chain.clear();
        self.path.clear();
    }

    /// Whether this layer has put something else than a directory on the way to `wanted`, a cleaned path: a file or a
    /// link where lower layers had a directory. Nothing of theirs is below it any more.
    pub(crate) fn is_replaced(&self, wanted: &[u8]) -> Result<bool> {
        let ends = wanted.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in ends.map(|(at, _)| at).chain([wanted.len()]) {
            let name = &wanted[..end];
            if name.is_empty() {
                return Ok(false); // the root
            }
            // Every name above is a directory: this cannot pass through a link.
            match meta::stat_at(self.root(), OsStr::from_bytes(name)) {
                Ok(stat) if stat.kind == meta::FileKind::Directory => {}
                Ok(stat) => return Ok(!stat.is_whiteout()),
                Err(error) if error.errno == Errno::ENOENT => return Ok(false),
                Err(error) => {
                    return Err(error).doing(|| {
                        format!("look at `{}` of a layer", String::from_utf8_lossy(name))
                    });
                }
            }
        }
        Ok(false)
    }

    /// The directory at `wanted`, a cleaned path. What is missing is made, mode 0755, and `made` counts it.
    pub(crate) fn open(
        &mut self,
        wanted: &[u8],
        made: &mut dyn FnMut() -> Result<()>,
    ) -> Result<BorrowedFd<'_>> {
        while let Some(Open { end, .. }) = self.chain.last() {
            let open = &self.path[..*end];
            let rest = wanted.strip_prefix(open);
            if rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
                break;
            }
            self.chain.pop();
        }
        let open = self.chain.last().map_or(0, |open| open.end);
        if open < wanted.len() {
            self.path.clear();
            self.path.extend_from_slice(wanted);
            let mut start = if open == 0 { 0 } else { open + 1 };
            while start < wanted.len() {
                let end = wanted[start..]
                    .iter()
                    .position(|byte| *byte == b'/')
                    .map_or(wanted.len(), |slash| start + slash);
                let last = self.chain.last();
                let above = last.map_or(self.root.as_fd(), |open| open.dir.as_fd());
                let mut linked = last.is_some_and(|open| open.linked);
                let dir = step(
                    self.root.as_fd(),
                    above,
                    &wanted[..end],
                    &wanted[start..end],
                    &mut linked,
                    made,
                )?;
                if self.chain.len() == KEPT {
                    self.chain.remove(0);
                }
                self.chain.push(Open { end, dir, linked });
                start = end + 1;
            }
        }
        Ok(self
            .chain
            .last()
            .map_or(self.root.as_fd(), |open| open.dir.as_fd()))
    }

    /// Where the directory really is that was [opened](Self::open) last, at `wanted`: the path that has no link on its
    /// way. `None` when it cannot be told.
    pub(crate) fn place<'p>(&self, wanted: &'p [u8]) -> Option<Cow<'p, [u8]>> {
        let Some(Open {
            dir, linked: true, ..
        }) = self.chain.last()
        else {
            return Some(Cow::Borrowed(wanted));
        };
        // The kernel's own name of a descriptor, proc(5). One that is longer than a page is ENAMETOOLONG.
        let name = |dir: BorrowedFd<'_>| {
            let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
            path::read_link_at(path::CURRENT, link).ok()
        };
        let (root, dir) = (name(self.root.as_fd())?, name(dir.as_fd())?);
        let below = dir.as_bytes().strip_prefix(root.as_bytes())?;
        match below {
            b"" => Some(Cow::Borrowed(b"")),
            [b'/', below @ ..] => Some(Cow::Owned(below.to_vec())),
            _ => None,
        }
    }
}

/// Opens `name` in `above`; `so_far` is the path to it. Sets `linked` when it is a link.
fn step(
    root: BorrowedFd<'_>,
    above: BorrowedFd<'_>,
    so_far: &[u8],
    name: &[u8],
    linked: &mut bool,
    made: &mut dyn FnMut() -> Result<()>,
) -> Result<OwnedFd> {
    let os_name = OsStr::from_bytes(name);
    let error = match path::dir_handle_at(above, os_name) {
        Ok(dir) => return Ok(dir),
        Err(error) => error,
    };
    let what = || {
        format!(
            "open the directory `{}` of a layer",
            String::from_utf8_lossy(so_far)
        )
    };
    match error.errno {
        Errno::ENOENT => {
            made()?;
            path::mkdir_at(above, os_name, 0o755)
                .and_then(|()| path::dir_handle_at(above, os_name))
                .doing(what)
        }
        Errno::ENOTDIR | Errno::ELOOP => {
            let stat = meta::stat_at(above, os_name).doing(what)?;
            if stat.is_whiteout() {
                // Removed below and made anew here: nothing of the lower directory may shine through.
                made()?;
                return path::unlink_at(above, os_name)
                    .and_then(|()| path::mkdir_at(above, os_name, 0o755))
                    .and_then(|()| path::dir_handle_at(above, os_name))
                    .and_then(|dir| xattr::set(&dir, OPAQUE_XATTR, b"y").map(|()| dir))
                    .doing(what);
            }
            if stat.kind != meta::FileKind::Symlink {
                return Err(refuse(so_far, "it is used as a directory and is not one"));
            }
            *linked = true;
            path::dir_handle_in_root(root, OsStr::from_bytes(so_far)).map_err(|error| {
                match error.errno {
                    Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => refuse(
                        so_far,
                        "it is used as a directory and is a link that does not lead to one",
                    ),
                    _ => crate::StoreError::Kernel {
                        what: what(),
                        source: error,
                    },
                }
            })
        }
        _ => Err(error).doing(what),
    }
}
