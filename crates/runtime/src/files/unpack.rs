//! A tar stream into a directory of the sandbox.
//!
//! Links that the archive or the sandbox has made are followed inside the sandbox only: this process has its root
//! there, and openat2 resolves in it besides. Nothing outside can be named.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind, Timestamp};
use shedbox_linux::{inroot, path, process};
use shedbox_spec::Error;
use shedbox_spec::control::Reply;

use super::refused;

/// How an archive is applied.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// A directory is not replaced by a file, nor a file by a directory.
    pub(super) no_overwrite_kind: bool,
    /// Owners come from the archive.
    pub(super) keep_owner: bool,
}

/// Unpacks `stream` into the existing directory `top`.
pub(super) fn unpack(top: &str, rules: Rules, stream: File) -> Result<Reply, Error> {
    process::set_umask(0);
    let root = inroot::open_root().map_err(|error| refused(top, &error))?;
    let handle = path::handle_in_root(&root, top).map_err(|error| refused(top, &error))?;
    if meta::stat(&handle)
        .map_err(|error| refused(top, &error))?
        .kind
        != FileKind::Directory
    {
        return Err(Error::invalid(format!(
            "extraction point {top} is not a directory"
        )));
    }
    let unreadable =
        |error: std::io::Error| Error::invalid(format!("unreadable archive for {top}: {error}"));
    let mut archive = tar::Archive::new(std::io::BufReader::with_capacity(256 << 10, stream));
    // Times of directories change while they are filled.
    let mut directories: Vec<(PathBuf, Timestamp)> = Vec::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = OsStr::from_bytes(&entry.path_bytes()).to_owned();
        let Some(inside) = safe(Path::new(&name)) else {
            return Err(Error::invalid(format!(
                "entry `{}` leads out of the archive",
                Path::new(&name).display()
            )));
        };
        let full = Path::new(top).join(&inside);
        let mtime = Timestamp {
            seconds: entry.header().mtime().unwrap_or(0) as i64,
            nanos: 0,
        };
        let is_dir = entry.header().entry_type().is_dir();
        apply(&root, top, &full, &mut entry, rules, mtime)
            .map_err(|error| refused(&full.to_string_lossy(), &error))?;
        if is_dir {
            directories.push((full, mtime));
        }
    }
    // Read what pads the end, so that the client's write of it does not fail.
    let mut rest = archive.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(unreadable)?;
    for (full, mtime) in directories.iter().rev() {
        let Ok(dir) = path::open_dir_in_root(&root, full) else {
            continue;
        }; // replaced by a later entry
        meta::set_mtime(&dir, *mtime).map_err(|error| refused(&full.to_string_lossy(), &error))?;
    }
    Ok(Reply::Done)
}

/// The path without leading slashes and `.`; `None` when it has a `..`.
fn safe(name: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

fn apply(
    root: &OwnedFd,
    top: &str,
    full: &Path,
    entry: &mut tar::Entry<'_, impl Read>,
    rules: Rules,
    mtime: Timestamp,
) -> shedbox_linux::Result<()> {
    let header = entry.header().clone();
    let mode = header.mode().unwrap_or(0o644) & 0o7777;
    let owner = if rules.keep_owner {
        (
            header.uid().unwrap_or(0) as u32,
            header.gid().unwrap_or(0) as u32,
        )
    } else {
        (0, 0)
    };
    let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
        // The root itself: only its attributes.
        return attributes(path::open_dir_in_root(root, full)?, mode, owner);
    };
    if full == Path::new(top) {
        return attributes(path::open_dir_in_root(root, full)?, mode, owner);
    }
    let dir = parent_directory(root, parent)?;
    make_room(&dir, name, header.entry_type().is_dir(), rules)?;
    match header.entry_type() {
        tar::EntryType::Directory => {
            match path::mkdir_at(&dir, name, 0o755) {
                Err(error) if error.errno != Errno::EEXIST => return Err(error),
                _ => {}
            }
            // A link to a directory that was there already counts as that directory, as in docker cp.
            attributes(path::open_dir_in_root(root, full)?, mode, owner)
        }
        tar::EntryType::Symlink => {
            let target = link_name(entry)?;
            path::symlink_at(Path::new(&target), &dir, name)?;
            meta::chown_at(&dir, name, owner.0, owner.1)?;
            meta::set_mtime_at(&dir, name, mtime)
        }
        tar::EntryType::Link => {
            let target = link_name(entry)?;
            let Some(inside) = safe(Path::new(&target)) else {
                return Err(shedbox_linux::Error::new(
                    "linkat",
                    "link leads out of the archive",
                    Errno::EINVAL,
                ));
            };
            let old = Path::new(top).join(inside);
            let (Some(old_parent), Some(old_name)) = (old.parent(), old.file_name()) else {
                return Err(shedbox_linux::Error::new(
                    "linkat",
                    "link to a directory",
                    Errno::EINVAL,
                ));
            };
            path::link_at(
                path::dir_handle_in_root(root, old_parent)?,
                old_name,
                &dir,
                name,
            )
        }
        tar::EntryType::Fifo => {
            path::mkfifo_at(&dir, name, mode)?;
            meta::chown_at(&dir, name, owner.0, owner.1)?;
            meta::set_mtime_at(&dir, name, mtime)
        }
        kind if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() => {
            let file = path::create_at(&dir, name, 0o600)?;
            let mut file = File::from(file);
            copy(entry, &mut file)?;
            meta::chown(&file, owner.0, owner.1)?;
            meta::chmod(&file, mode)?;
            meta::set_mtime(&file, mtime)
        }
        // Devices cannot be made in a user namespace and have no place in a sandbox.
        other => Err(shedbox_linux::Error::new(
            "mknod",
            format!("entry of type {other:?}"),
            Errno::EPERM,
        )),
    }
}

fn attributes(dir: OwnedFd, mode: u32, owner: (u32, u32)) -> shedbox_linux::Result<()> {
    meta::chown(&dir, owner.0, owner.1)?;
    meta::chmod(dir.as_fd(), mode)
}

/// The parent of an entry; archives may leave out directories.
fn parent_directory(root: &OwnedFd, parent: &Path) -> shedbox_linux::Result<OwnedFd> {
    match path::dir_handle_in_root(root, parent) {
        Err(error) if error.errno == Errno::ENOENT => {
            let mut reached = PathBuf::from("/");
            for component in parent.components().skip(1) {
                let dir = path::dir_handle_in_root(root, &reached)?;
                match path::mkdir_at(&dir, component.as_os_str(), 0o755) {
                    Err(error) if error.errno != Errno::EEXIST => return Err(error),
                    _ => reached.push(component),
                }
            }
            path::dir_handle_in_root(root, parent)
        }
        other => other,
    }
}

/// Removes what is in the way of an entry: a directory gives way to nothing but a directory.
fn make_room(
    dir: &OwnedFd,
    name: &OsStr,
    for_directory: bool,
    rules: Rules,
) -> shedbox_linux::Result<()> {
    let found = match meta::stat_at(dir, name) {
        Err(error) if error.errno == Errno::ENOENT => return Ok(()),
        other => other?.kind,
    };
    let refuse = |errno| {
        Err(shedbox_linux::Error::new(
            "unlinkat",
            name.to_string_lossy(),
            errno,
        ))
    };
    match (found, for_directory) {
        (FileKind::Directory | FileKind::Symlink, true) => Ok(()),
        (FileKind::Directory, false) => refuse(Errno::EISDIR),
        (_, true) if rules.no_overwrite_kind => refuse(Errno::ENOTDIR),
        _ => path::unlink_at(dir, name),
    }
}

fn link_name(entry: &tar::Entry<'_, impl Read>) -> shedbox_linux::Result<std::ffi::OsString> {
    match entry.link_name_bytes() {
        Some(bytes) => Ok(OsStr::from_bytes(&bytes).to_owned()),
        None => Err(shedbox_linux::Error::new(
            "symlinkat",
            "link without a target",
            Errno::EINVAL,
        )),
    }
}

fn copy(from: &mut impl Read, to: &mut File) -> shedbox_linux::Result<()> {
    use shedbox_linux::errno::Context;
    std::io::copy(from, to)
        .and_then(|_| to.flush())
        .call("write", String::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_stay_inside() {
        assert_eq!(safe(Path::new("/a/./b")), Some(PathBuf::from("a/b")));
        assert_eq!(safe(Path::new("./")), Some(PathBuf::new()));
        assert_eq!(safe(Path::new("a/../b")), None);
        assert_eq!(safe(Path::new("..")), None);
    }
}
