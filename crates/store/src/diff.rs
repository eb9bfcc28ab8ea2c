//! What a sandbox has changed: its upperdir against its lower directories.
//!
//! The upperdir was written by a sandbox and may be changing: it is walked on descriptors, one directory at a time, no
//! link is followed, and what vanishes meanwhile is not mentioned. Lower directories are compared as overlay merges them:
//! whiteouts and opaque directories of the layers count.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_linux::tree::Entries;
use shedbox_linux::{path, xattr};
use shedbox_spec::api::{Change, ChangeKind};

use crate::entry::shown;
use crate::error::Doing;
use crate::hidden::Hidden;
use crate::whiteout::OPAQUE_XATTR;
use crate::{Result, StoreError};

/// Longest path of a directory that is looked into: longer ones no program can name.
pub(crate) const PATH_MAX: usize = 4095;
/// Bytes of paths that are held: a sandbox can make any number of long ones.
const MAX_TOTAL: usize = 256 << 20;

/// Changes of `upper` over `lowers` (uppermost first), sorted by path, parents of changes included as `docker diff`
/// shows them. Paths in `ignore` (absolute, as inside) are our own mount points and not mentioned, nor are directories
/// that exist or changed for their sake only.
///
/// A copied-up file counts as modified whatever its content. A directory that was removed and made again is modified, and
/// what it has lost is deleted. Directories whose paths are longer than 4,095 bytes are mentioned but not entered. More than
/// 256 MiB of changed paths are [`StoreError::TooManyChanges`].
pub fn changes(upper: &Path, lowers: &[PathBuf], ignore: &[String]) -> Result<Vec<Change>> {
    let open = |dir: &Path| path::open_dir(dir).doing(|| format!("open `{}`", dir.display()));
    let upper = open(upper)?;
    let lowers = lowers
        .iter()
        .map(|lower| open(lower))
        .collect::<Result<Vec<_>>>()?;
    let mut walk = Walk {
        upper,
        lowers,
        hidden: Hidden::new(ignore),
        for_ignored_only: HashSet::new(),
        found: BTreeMap::new(),
        held: 0,
        pending: Vec::new(),
    };
    let all = (0..walk.lowers.len()).collect();
    walk.pending.push((Vec::new(), all));
    while let Some((directory, lowers)) = walk.pending.pop() {
        walk.directory(&directory, &lowers)?;
    }
    Ok(walk.finish())
}

struct Walk {
    upper: OwnedFd,
    lowers: Vec<OwnedFd>,
    hidden: Hidden,
    /// New directories above a hidden path: mentioned only with something else in them.
    for_ignored_only: HashSet<Vec<u8>>,
    found: BTreeMap<Vec<u8>, ChangeKind>,
    /// Bytes of all paths so far.
    held: usize,
    /// Directories of the upperdir to look at, each with the lower ones it is merged with, uppermost first.
    pending: Vec<(Vec<u8>, Vec<usize>)>,
}

/// What the layers below have under a name.
#[derive(Debug)]
pub(crate) struct Below {
    pub(crate) stat: Stat,
    /// For a directory: the lower directories that are merged.
    pub(crate) merged: Vec<usize>,
}

impl Walk {
    fn directory(&mut self, directory: &[u8], lowers: &[usize]) -> Result<()> {
        let Some(dir) = open_if_there(self.upper.as_fd(), directory)? else {
            return Ok(());
        };
        let mut below = Vec::new();
        for index in lowers {
            if let Some(lower) = open_if_there(self.lowers[*index].as_fd(), directory)? {
                below.push((*index, lower));
            }
        }
        let what = || format!("read `{}`", String::from_utf8_lossy(directory));
        let mut names = HashSet::new();
        let opaque = !directory.is_empty() && is_opaque(&dir)?;
        let copy = path::open_dir_at(&dir, ".").doing(what)?;
        for entry in Entries::new(copy).doing(what)? {
            let name = entry.doing(what)?.name;
            self.entry(dir.as_fd(), directory, &name, &below)?;
            if opaque {
                names.insert(name);
            }
        }
        if opaque {
            self.lost(directory, &names, &below)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        directory: &[u8],
        name: &OsStr,
        below: &[(usize, OwnedFd)],
    ) -> Result<()> {
        let path = join(directory, name);
        let Some(stat) = stat_if_there(dir, name)? else {
            return Ok(());
        };
        let below = look_below(below, name)?;
        if stat.is_whiteout() {
            if below.is_some() {
                self.found.insert(path, ChangeKind::Deleted);
            }
            return Ok(());
        }
        let is_dir = stat.kind == FileKind::Directory;
        let merged = match &below {
            Some(below) if is_dir && below.stat.kind == FileKind::Directory => below.merged.clone(),
            _ => Vec::new(),
        };
        self.held += path.len();
        if self.held > MAX_TOTAL {
            return Err(StoreError::TooManyChanges);
        }
        if is_dir && path.len() <= PATH_MAX {
            self.pending.push((path.clone(), merged));
        }
        if self.hidden.is(&path) {
            return Ok(());
        }
        let kind = match below {
            None => ChangeKind::Added,
            Some(below) if is_dir && below.stat.kind == FileKind::Directory => {
                let same = (stat.mode, stat.uid, stat.gid)
                    == (below.stat.mode, below.stat.uid, below.stat.gid);
                let excused = self.hidden.is_above(&path);
                if same && (excused || stat.mtime == below.stat.mtime) {
                    return Ok(()); // mentioned when something in it has changed
                }
                ChangeKind::Modified
            }
            Some(_) => ChangeKind::Modified,
        };
        if kind == ChangeKind::Added && is_dir && self.hidden.is_above(&path) {
            self.for_ignored_only.insert(path);
        } else {
            self.found.insert(path, kind);
        }
        Ok(())
    }

    /// What the layers below have in an opaque directory, and it has not.
    fn lost(
        &mut self,
        directory: &[u8],
        names: &HashSet<OsString>,
        below: &[(usize, OwnedFd)],
    ) -> Result<()> {
        let what = || format!("read `{}` in a layer", String::from_utf8_lossy(directory));
        for (_, lower) in below {
            let copy = path::open_dir_at(lower, ".").doing(what)?;
            for entry in Entries::new(copy).doing(what)? {
                let name = entry.doing(what)?.name;
                if !names.contains(&name) && look_below(below, &name)?.is_some() {
                    self.found
                        .insert(join(directory, &name), ChangeKind::Deleted);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<Change> {
        let mut parents = HashSet::new();
        for path in self.found.keys() {
            for (index, byte) in path.iter().enumerate().rev() {
                // Once a parent is known, so are those above it.
                if *byte == b'/' && !parents.insert(path[..index].to_vec()) {
                    break;
                }
            }
        }
        for parent in parents {
            let kind = if self.for_ignored_only.contains(&parent) {
                ChangeKind::Added
            } else {
                ChangeKind::Modified
            };
            self.found.entry(parent).or_insert(kind);
        }
        self.found
            .into_iter()
            .map(|(path, kind)| Change {
                kind,
                path: format!("/{}", String::from_utf8_lossy(&path)),
            })
            .collect()
    }
}

/// Opens the directory at `path` below `root`. `None` when it is not there or not one (any more).
pub(crate) fn open_if_there(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>> {
    let place = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    match path::open_dir_beneath(root, place) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
            Ok(None)
        }
        Err(error) => Err(error).doing(|| format!("open `{}`", shown(path))),
    }
}

pub(crate) fn stat_if_there(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>> {
    match meta::stat_at(dir, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.errno == Errno::ENOENT => Ok(None),
        Err(error) => Err(error).doing(|| format!("look at `{}`", name.to_string_lossy())),
    }
}

pub(crate) fn look_below(below: &[(usize, OwnedFd)], name: &OsStr) -> Result<Option<Below>> {
    let mut found: Option<Below> = None;
    for (index, lower) in below {
        let Some(stat) = stat_if_there(lower.as_fd(), name)? else {
            continue;
        };
        if stat.kind != FileKind::Directory {
            // It ends the merge of directories above it, or is the answer itself.
            if found.is_none() && !stat.is_whiteout() {
                found = Some(Below {
                    stat,
                    merged: Vec::new(),
                });
            }
            break;
        }
        let merged = &mut found
            .get_or_insert_with(|| Below {
                stat,
                merged: Vec::new(),
            })
            .merged;
        merged.push(*index);
        let dir = path::dir_handle_at(lower, name)
            .doing(|| format!("open `{}` in a layer", name.to_string_lossy()))?;
        if is_opaque(&dir)? {
            break;
        }
    }
    Ok(found)
}

pub(crate) fn is_opaque(dir: &OwnedFd) -> Result<bool> {
    let value =
        xattr::get(dir, OPAQUE_XATTR).doing(|| "read the mark of a directory".to_owned())?;
    Ok(value.as_deref() == Some(b"y"))
}

pub(crate) fn join(directory: &[u8], name: &OsStr) -> Vec<u8> {
    if directory.is_empty() {
        name.as_bytes().to_vec()
    } else {
        [directory, b"/", name.as_bytes()].concat()
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
