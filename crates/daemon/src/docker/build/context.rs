//! The files of a build: an archive from a client, unpacked into a directory of ours that nobody else writes to.
//!
//! Nothing leads out of it: names are taken apart, no link is followed while writing, and what is no file, directory or
//! link is refused.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use shedbox_dockerfile::ignore::Ignore;
use shedbox_spec::{Error, Result};

/// Most entries of a context.
const MAX_ENTRIES: usize = 1_000_000;

/// A directory that goes with its last user.
#[derive(Debug)]
pub(super) struct Workspace(PathBuf);

impl Workspace {
    pub(super) fn make(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).map_err(|error| failed(&dir, &error))?;
        Ok(Self(dir))
    }

    /// A path in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "files of a build stay");
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull => shedbox_spec::Kind::Exhausted,
        _ => shedbox_spec::Kind::Invalid,
    };
    Error::new(kind, format!("build context: {}: {error}", path.display()))
}

/// Unpacks a tar stream into `dir`, which is made.
pub(super) fn unpack(stream: impl Read, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let unreadable = |error: io::Error| {
        Error::invalid(format!(
            "unexpected EOF or damage in the build context: {error}"
        ))
    };
    let mut archive = tar::Archive::new(stream);
    for (count, entry) in archive.entries().map_err(unreadable)?.enumerate() {
        if count >= MAX_ENTRIES {
            return Err(Error::invalid(format!(
                "the build context has more than {MAX_ENTRIES} entries"
            )));
        }
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.into_owned();
        let Some(inside) = clean(&name) else {
            return Err(Error::invalid(format!(
                "forbidden path outside the build context: {}",
                name.display()
            )));
        };
        if inside.as_os_str().is_empty() {
            continue;
        }
        let path = dir.join(&inside);
        make_parents(dir, &inside)?;
        place(&mut entry, dir, &path).map_err(|error| failed(&inside, &error))?;
    }
    Ok(())
}

/// Without `.`, a leading slash, and a name that leads out.
fn clean(name: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Directories above an entry that the archive did not name; a link in their place is an attempt to lead us elsewhere.
fn make_parents(dir: &Path, inside: &Path) -> Result<()> {
    let mut path = dir.to_owned();
    for part in inside.parent().into_iter().flat_map(Path::components) {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(Error::invalid(format!(
                    "forbidden path outside the build context: {} is below a link or file",
                    inside.display()
                )));
            }
            Err(_) => fs::create_dir(&path).map_err(|error| failed(inside, &error))?,
        }
    }
    Ok(())
}

fn place<R: Read>(entry: &mut tar::Entry<'_, R>, dir: &Path, path: &Path) -> io::Result<()> {
    use tar::EntryType;
    let kind = entry.header().entry_type();
    let mode = entry.header().mode().unwrap_or(0o644) & 0o7777;
    let there = fs::symlink_metadata(path).ok();
    if let Some(found) = &there
        && !(found.is_dir() && kind.is_dir())
    {
        if found.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    match kind {
        EntryType::Directory => {
            if !there.is_some_and(|found| found.is_dir()) {
                fs::create_dir(path)?;
            }
            // We must be able to write into it; what it is to be is noted by the archive that goes on.
            fs::set_permissions(path, Permissions::from_mode(mode | 0o700))
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut file = File::create_new(path)?;
            io::copy(entry, &mut file)?;
            file.set_permissions(Permissions::from_mode(mode | 0o400))?;
            let mtime = entry.header().mtime().unwrap_or(0);
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime))
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.unwrap_or_default();
            symlink(target, path)
        }
        EntryType::Link => {
            let target = entry.link_name()?.unwrap_or_default();
            let target = clean(&target)
                .map(|inside| dir.join(inside))
                .filter(|target| is_plain(dir, target))
                .ok_or_else(|| io::Error::other("a hard link leads to nothing in the context"))?;
            fs::hard_link(target, path)
        }
        EntryType::XGlobalHeader => Ok(()),
        other => Err(io::Error::other(format!(
            "entries of type {other:?} have no place in a build context"
        ))),
    }
}

/// A file, and no link on the way to it.
fn is_plain(dir: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(dir) else {
        return false;
    };
    let mut at = dir.to_owned();
    let parts: Vec<_> = inside.components().collect();
    for (index, part) in parts.iter().enumerate() {
        at.push(part);
        let Ok(found) = fs::symlink_metadata(&at) else {
            return false;
        };
        let last = index + 1 == parts.len();
        if (last && !found.is_file()) || (!last && !found.is_dir()) {
            return false;
        }
    }
    !parts.is_empty()
}

/// Takes away what `.dockerignore` leaves out.
pub(super) fn apply_ignore(dir: &Path, ignore: &Ignore) -> Result<()> {
    sweep(dir, Path::new(""), ignore).map_err(|error| failed(dir, &error))
}

fn sweep(root: &Path, below: &Path, ignore: &Ignore) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let inside = below.join(entry.file_name());
        let name = inside.to_string_lossy().into_owned();
        let excluded = ignore.excludes(&name);
        if entry.file_type()?.is_dir() {
            if excluded && !ignore.could_include_below(&name) {
                fs::remove_dir_all(entry.path())?;
                continue;
            }
            sweep(root, &inside, ignore)?;
            if excluded {
                // Stays when something in it is included.
                let _ = fs::remove_dir(entry.path());
            }
        } else if excluded {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let is_link = kind.is_symlink() || kind.is_hard_link();
            if is_link {
                header.set_link_name_literal(content).unwrap();
            }
            let data = if is_link { "" } else { content };
            header.set_size(data.len() as u64);
            // Names that the library would refuse are what is tried here.
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_leads_out_is_refused() {
        use tar::EntryType as Type;
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().display().to_string();
        let hostile: &[&[(&str, Type, &str)]] = &[
            &[("../x", Type::Regular, "x")],
            &[("a/../../x", Type::Regular, "x")],
            &[("l", Type::Symlink, &target), ("l/x", Type::Regular, "x")],
            &[("l", Type::Symlink, "/etc"), ("h", Type::Link, "l/passwd")],
            &[("h", Type::Link, "/etc/passwd")],
            &[("dev", Type::Char, "")],
            &[("pipe", Type::Fifo, "")],
        ];
        for entries in hostile {
            let dir = tempfile::tempdir().unwrap();
            let outcome = unpack(&archive(entries)[..], &dir.path().join("c"));
            assert!(outcome.is_err(), "{entries:?}");
            assert_eq!(
                fs::read_dir(outside.path()).unwrap().count(),
                0,
                "{entries:?}"
            );
        }
    }

    #[test]
    fn files_links_and_replacements() {
        use tar::EntryType as Type;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("c");
        let bytes = archive(&[
            ("a/b", Type::Regular, "one"),
            ("/abs", Type::Regular, "two"),
            ("l", Type::Symlink, "/etc/passwd"),
            ("h", Type::Link, "a/b"),
            ("l", Type::Regular, "no link any more"),
        ]);
        unpack(&bytes[..], &root).unwrap();
        assert_eq!(fs::read_to_string(root.join("h")).unwrap(), "one");
        assert_eq!(fs::read_to_string(root.join("abs")).unwrap(), "two");
        assert!(fs::symlink_metadata(root.join("l")).unwrap().is_file());
        apply_ignore(&root, &Ignore::parse("a\n!a/b\nabs").unwrap()).unwrap();
        assert!(root.join("a/b").exists() && !root.join("abs").exists());
    }
}
