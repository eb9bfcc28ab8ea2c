//! Directories as streams of names, and removal of whole trees.
//!
//! Trees come from sandboxes: links must never be followed, depth is unbounded, modes may be 000, and a dying process may
//! still write into them. Hence: only descriptors and single names; at most [`MAX_OPEN`] directories open; what lies
//! deeper is renamed to the top, where the caller finds it; and what cannot be removed now is reported and left.

use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::Dir;

use crate::errno::{Context, Errno, Error, Result};
use crate::meta::{self, FileKind};
use crate::path;

/// Directories that [`remove`] holds open at once.
pub const MAX_OPEN: usize = 64;

/// The names in a directory, without `.` and `..`.
#[derive(Debug)]
pub struct Entries(Dir);

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// Its kind as the directory has it; [`FileKind::Unknown`] on file systems that do not say.
    pub kind: FileKind,
}

impl Entries {
    /// Reads `dir` from its start.
    pub fn new(dir: OwnedFd) -> Result<Self> {
        let mut dir = Dir::new(dir).call("getdents64", String::new)?;
        dir.rewind();
        Ok(Self(dir))
    }

    /// The directory itself.
    pub fn dir(&self) -> Result<BorrowedFd<'_>> {
        self.0.fd().call("dirfd", String::new)
    }

    /// Starts again.
    pub fn rewind(&mut self) {
        self.0.rewind();
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.0.read()?.call("getdents64", String::new) {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                return Some(Ok(Entry {
                    name: OsStr::from_bytes(name).to_owned(),
                    kind: FileKind::from_rustix(entry.file_type()),
                }));
            }
        }
    }
}

/// How a removal ended without failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing of it is left at its name. Deep parts may have been renamed to the top, see [`remove`].
    Done,
    /// `progress` asked to stop.
    Stopped,
}

/// Removes `name` beneath `top` with everything in it, never following a link.
///
/// Directories deeper than [`MAX_OPEN`] are renamed into `top` under the names that `fresh` gives, and left to the
/// caller, who removes all of `top` anyway. `progress` runs after each removed name. The first failure is reported
/// after everything that can be removed has been.
pub fn remove(
    top: BorrowedFd<'_>,
    name: &OsStr,
    fresh: &mut dyn FnMut() -> OsString,
    progress: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Removal> {
    let mut first_failure: Option<Error> = None;
    let mut fail = |error: Error| {
        if error.errno != Errno::ENOENT && first_failure.is_none() {
            first_failure = Some(error);
        }
    };
    let mut stack: Vec<(Entries, OsString)> = Vec::new();
    // What to do next in the directory on top of the stack; None: read on there.
    let mut pending = Some(Entry {
        name: name.to_owned(),
        kind: FileKind::Unknown,
    });
    loop {
        let entry = match pending.take() {
            Some(entry) => Some(entry),
            None => match stack.last_mut() {
                None => break,
                Some((entries, _)) => match entries.next() {
                    Some(Ok(entry)) => Some(entry),
                    Some(Err(error)) => {
                        fail(error);
                        None
                    }
                    None => None,
                },
            },
        };
        let depth = stack.len();
        if let Some(entry) = entry {
            let dir = match stack.last() {
                Some((entries, _)) => entries.dir()?,
                None => top,
            };
            match step(dir, &entry, top, depth, fresh) {
                Ok(Step::Gone) => {}
                Ok(Step::Descend(entries)) => {
                    stack.push((entries, entry.name));
                    continue;
                }
                Err(error) => {
                    fail(error);
                    continue;
                }
            }
        } else if let Some((_, name)) = stack.pop() {
            // Whatever has appeared since, or could not be removed, makes this fail with ENOTEMPTY.
            let dir = match stack.last() {
                Some((entries, _)) => entries.dir()?,
                None => top,
            };
            if let Err(error) = with_access(dir, || path::rmdir_at(dir, &name)) {
                fail(error);
                continue;
            }
        }
        if progress().is_break() {
            return Ok(Removal::Stopped);
        }
    }
    first_failure.map_or(Ok(Removal::Done), Err)
}

enum Step {
    Gone,
    Descend(Entries),
}

fn step(
    dir: BorrowedFd<'_>,
    entry: &Entry,
    top: BorrowedFd<'_>,
    depth: usize,
    fresh: &mut dyn FnMut() -> OsString,
) -> Result<Step> {
    if !matches!(entry.kind, FileKind::Directory | FileKind::Unknown) {
        match with_access(dir, || path::unlink_at(dir, &entry.name)) {
            Err(error) if error.errno == Errno::EISDIR => {} // replaced by a directory since
            done => return done.map(|()| Step::Gone),
        }
    }
    match with_access(dir, || open_dir_anyhow(dir, &entry.name)) {
        Ok(fd) if depth < MAX_OPEN => Ok(Step::Descend(Entries::new(fd)?)),
        Ok(fd) => {
            drop(fd);
            with_access(dir, || {
                path::rename_at(dir, &entry.name, top, fresh(), path::Rename::NoReplace)
            })?;
            Ok(Step::Gone)
        }
        // Not a directory: ENOTDIR, or ELOOP for a link.
        Err(error) if matches!(error.errno, Errno::ENOTDIR | Errno::ELOOP) => {
            with_access(dir, || path::unlink_at(dir, &entry.name))?;
            Ok(Step::Gone)
        }
        Err(error) => Err(error),
    }
}

/// Opens a directory whatever its mode is; the mode is opened up through a handle, so that a link that takes the name's
/// place meanwhile is not what is changed.
fn open_dir_anyhow(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    let opened = match path::open_dir_at(dir, name) {
        Err(error) if error.errno == Errno::EACCES => {
            let handle = path::open_handle_at(dir, name)?;
            if meta::stat(&handle)?.kind != FileKind::Directory {
                return Err(Error::new("openat", "", Errno::ENOTDIR));
            }
            meta::chmod_handle(&handle, 0o700)?;
            path::open_dir_at(&handle, ".")
        }
        other => other,
    }?;
    Ok(opened)
}

/// Runs `call`; when it is refused, gives the owner all rights on `dir` and runs it once more.
fn with_access<T>(dir: BorrowedFd<'_>, mut call: impl FnMut() -> Result<T>) -> Result<T> {
    match call() {
        Err(error) if error.errno == Errno::EACCES => {
            meta::chmod(dir, 0o700)?;
            call()
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
