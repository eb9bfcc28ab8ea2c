//! A tar stream from a sandbox into a directory of the host. The sender is hostile until shown otherwise.
//!
//! - Every entry is below one expected top name, which the caller may replace; an absolute name or `..` ends the copy.
//! - The directory of an entry is opened beneath the target with openat2(RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS): neither a
//!   link that the archive made nor one that was there is ever walked through.
//! - Files are created, never opened: what has the name is removed first, so nothing is written through a hard link.
//! - Hard links lead only to files that this copy has made. Devices are left out, setuid bits dropped unless asked for.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind, Timestamp};
use shedbox_linux::path;

use crate::{Error, Result};

/// Largest file that [`only_file`] takes into memory, in bytes.
const MEMORY_MAX: u64 = 1 << 30;

/// How names of the archive become names of the host.
pub(super) struct Rules {
    /// The first component of every name; absent when names start below it.
    pub(super) top: Option<OsString>,
    /// What stands in its place; absent when the contents go right into the directory.
    pub(super) name: Option<OsString>,
    /// Keep setuid and setgid bits and, for root, owners.
    pub(super) archive: bool,
}

fn refuse(entry: &Path, why: impl Into<String>) -> Error {
    Error::Archive {
        entry: entry.display().to_string(),
        why: why.into(),
    }
}

impl Rules {
    /// The path below the target directory; empty for the directory itself.
    fn map(&self, raw: &[u8]) -> Result<PathBuf> {
        let shown = Path::new(OsStr::from_bytes(raw));
        if raw.starts_with(b"/") {
            return Err(refuse(shown, "is absolute"));
        }
        let mut parts = raw
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .peekable();
        let mut mapped = PathBuf::new();
        if let Some(top) = &self.top {
            match parts.next() {
                Some(first) if first == top.as_bytes() => {}
                _ => return Err(refuse(shown, format!("is not below `{}`", top.display()))),
            }
        }
        mapped.extend(&self.name);
        for part in parts {
            if part == b".." {
                return Err(refuse(shown, "leads out of the archive"));
            }
            mapped.push(OsStr::from_bytes(part));
        }
        Ok(mapped)
    }
}

struct Target<'a> {
    dir: &'a OwnedFd,
    rules: &'a Rules,
    /// Files made by this copy: what hard links may lead to.
    made: HashSet<PathBuf>,
    /// Directories made by this copy; they get their modes and times when they are full.
    directories: Vec<(PathBuf, tar::Header)>,
    left_out: Vec<String>,
    keep_owner: bool,
}

/// Unpacks `archive` into `dir`. The list names what was left out.
pub(super) fn unpack(archive: &mut dyn Read, dir: &OwnedFd, rules: &Rules) -> Result<Vec<String>> {
    let broken = || Error::io("read the archive of the sandbox");
    let keep_owner = rules.archive && shedbox_linux::process::own_uid() == 0;
    let mut target = Target {
        dir,
        rules,
        made: HashSet::new(),
        directories: Vec::new(),
        left_out: Vec::new(),
        keep_owner,
    };
    let mut tar = tar::Archive::new(std::io::BufReader::with_capacity(256 << 10, archive));
    for entry in tar.entries().map_err(broken())? {
        let mut entry = entry.map_err(broken())?;
        target.entry(&mut entry)?;
    }
    // To the end, where the sandbox says whether the archive is whole.
    std::io::copy(&mut tar.into_inner(), &mut std::io::sink()).map_err(broken())?;
    target.finish()
}

impl Target<'_> {
    fn entry(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<()> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let mapped = self.rules.map(&raw)?;
        let shown = PathBuf::from(OsStr::from_bytes(&raw));
        let (Some(parent), Some(name)) = (mapped.parent(), mapped.file_name()) else {
            // The target directory itself, which is the caller's: only its contents are copied.
            return if kind.is_dir() {
                Ok(())
            } else {
                Err(refuse(&shown, "is not a directory"))
            };
        };
        let parent = self.parent(parent, &shown)?;
        let write = || Error::system(format!("write {}", mapped.display()));
        match kind {
            tar::EntryType::Directory => {
                match path::mkdir_at(&parent, name, 0o700) {
                    Ok(()) => self
                        .directories
                        .push((mapped.clone(), entry.header().clone())),
                    Err(error) if error.errno == Errno::EEXIST => {
                        let there = meta::stat_at(&parent, name).map_err(write())?;
                        if there.kind != FileKind::Directory {
                            return Err(refuse(&shown, "is a directory where the host has a file"));
                        }
                    }
                    Err(error) => return Err(write()(error)),
                }
                Ok(())
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                clear(&parent, name, &shown)?;
                let file = path::create_at(&parent, name, 0o600).map_err(write())?;
                let mut file = File::from(file);
                copy(entry, &mut file, &mapped)?;
                self.attributes(&file, entry.header()).map_err(write())?;
                self.made.insert(mapped);
                Ok(())
            }
            tar::EntryType::Symlink => {
                let link = entry
                    .link_name_bytes()
                    .ok_or_else(|| refuse(&shown, "is a link to nothing"))?;
                clear(&parent, name, &shown)?;
                path::symlink_at(OsStr::from_bytes(&link), &parent, name).map_err(write())
            }
            tar::EntryType::Link => {
                let link = entry
                    .link_name_bytes()
                    .ok_or_else(|| refuse(&shown, "is a link to nothing"))?;
                let original = self.rules.map(&link)?;
                let (Some(dir), Some(old)) = (original.parent(), original.file_name()) else {
                    return Err(refuse(&shown, "is a hard link to a directory"));
                };
                if !self.made.contains(&original) || original == mapped {
                    return Err(refuse(
                        &shown,
                        "is a hard link to a file that is not in the archive",
                    ));
                }
                let old_dir = self.parent(dir, &shown)?;
                clear(&parent, name, &shown)?;
                path::link_at(&old_dir, old, &parent, name).map_err(write())?;
                self.made.insert(mapped);
                Ok(())
            }
            tar::EntryType::Fifo => {
                clear(&parent, name, &shown)?;
                path::mkfifo_at(&parent, name, 0o600).map_err(write())
            }
            _ => {
                self.left_out.push(shown.display().to_string());
                Ok(())
            }
        }
    }

    fn parent(&self, parent: &Path, shown: &Path) -> Result<OwnedFd> {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        path::open_dir_beneath(self.dir, parent).map_err(|error| match error.errno {
            Errno::ELOOP | Errno::EXDEV => refuse(shown, "is behind a symbolic link"),
            Errno::ENOENT | Errno::ENOTDIR => refuse(shown, "is in a directory that is not there"),
            _ => Error::system(format!("write {}", shown.display()))(error),
        })
    }

    fn attributes(
        &self,
        file: &impl std::os::fd::AsFd,
        header: &tar::Header,
    ) -> shedbox_linux::Result<()> {
        let kept = if self.rules.archive { 0o7777 } else { 0o1777 };
        if self.keep_owner {
            let id = |id: std::io::Result<u64>| id.unwrap_or(0) as u32;
            meta::chown(file, id(header.uid()), id(header.gid()))?;
        }
        meta::chmod(file, header.mode().unwrap_or(0o600) & kept)?;
        meta::set_mtime(
            file,
            Timestamp {
                seconds: header.mtime().unwrap_or(0) as i64,
                nanos: 0,
            },
        )
    }

    /// Modes and times of directories, deepest first.
    fn finish(self) -> Result<Vec<String>> {
        for (mapped, header) in self.directories.iter().rev() {
            let write = Error::system(format!("write {}", mapped.display()));
            let done = path::open_dir_beneath(self.dir, mapped)
                .and_then(|dir| self.attributes(&dir, header));
            match done {
                // A later entry has put something else in its place.
                Err(error)
                    if matches!(error.errno, Errno::ELOOP | Errno::ENOTDIR | Errno::ENOENT) => {}
                other => other.map_err(write)?,
            }
        }
        Ok(self.left_out)
    }
}

/// Removes what has the name, unless it is a directory.
fn clear(parent: &OwnedFd, name: &OsStr, shown: &Path) -> Result<()> {
    match path::unlink_at(parent, name) {
        Err(error) if error.errno == Errno::ENOENT => Ok(()),
        Err(error) if error.errno == Errno::EISDIR => {
            Err(refuse(shown, "would replace a directory of the host"))
        }
        other => other.map_err(Error::system(format!("replace {}", shown.display()))),
    }
}

/// Copies the content; an error says which side failed.
fn copy(from: &mut impl Read, to: &mut File, shown: &Path) -> Result<()> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read the archive of the sandbox")(error)),
        };
        to.write_all(&buffer[..count])
            .map_err(Error::io(format!("write {}", shown.display())))?;
    }
}

/// The content of an archive that holds one file.
pub(super) fn only_file(archive: &mut dyn Read, path: &str) -> Result<Vec<u8>> {
    let broken = || Error::io(format!("read {path}"));
    let mut tar = tar::Archive::new(archive);
    let mut content = None;
    for entry in tar.entries().map_err(broken())? {
        let mut entry = entry.map_err(broken())?;
        if content.is_some() || !entry.header().entry_type().is_file() {
            return Err(
                shedbox_spec::Error::invalid(format!("{path} is not a regular file")).into(),
            );
        }
        let size = entry.size();
        if size > MEMORY_MAX {
            let message = format!("{path} has {size} bytes, more than is read at once");
            return Err(shedbox_spec::Error::invalid(message)
                .with_hint("copy it to a file")
                .into());
        }
        let mut bytes = Vec::new();
        (&mut entry)
            .take(MEMORY_MAX)
            .read_to_end(&mut bytes)
            .map_err(broken())?;
        content = Some(bytes);
    }
    std::io::copy(&mut tar.into_inner(), &mut std::io::sink()).map_err(broken())?;
    content
        .ok_or_else(|| shedbox_spec::Error::invalid(format!("{path} is not a regular file")).into())
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
