//! A file or tree of the sandbox as a tar stream.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_linux::tree::Entries;
use shedbox_linux::{inroot, path, xattr};
use shedbox_spec::Error;
use shedbox_spec::control::Reply;

use super::{refused, split};

/// Deepest tree that is packed: each level holds a descriptor.
const DEPTH_MAX: usize = 512;

/// Writes `path` to `stream`; its own name is the base name of `path`.
pub(super) fn pack(path: &str, follow: bool, stream: File) -> Result<Reply, Error> {
    let (parent, name) = split(path)?;
    let fail = |error: shedbox_linux::Error| refused(path, &error);
    let root = inroot::open_root().map_err(fail)?;
    let mut dir = path::dir_handle_in_root(&root, parent).map_err(fail)?;
    let mut inside = OsString::from(name);
    if follow && meta::stat_at(&dir, name).map_err(fail)?.kind == FileKind::Symlink {
        // The kernel resolves it; what it leads to is packed under the name that was asked for.
        let target = path::handle_in_root(&root, path).map_err(fail)?;
        let stat = meta::stat(&target).map_err(fail)?;
        if stat.kind == FileKind::Directory {
            dir = target;
            inside = ".".into();
        } else {
            return one_file(path, name, &stat, stream);
        }
    }
    let top = if name == "." {
        PathBuf::from(".")
    } else {
        PathBuf::from(name)
    };
    let mut packer = Packer::new(stream);
    packer
        .entry(&dir, &inside, &top, 0)
        .and_then(|()| packer.finish())
        .map_err(|error| error.named(path))?;
    Ok(Reply::Done)
}

/// Writes the root file system to `stream`, names without a leading slash, and nothing of what is mounted in it.
pub(super) fn export(stream: File) -> Result<Reply, Error> {
    let root = inroot::open_root().map_err(|error| refused("/", &error))?;
    let mut packer = Packer::new(stream);
    let whole = || {
        let fail = |error| Stop::File("/".into(), error);
        packer.only_mount = Some(meta::mount_id_at(&root, ".").map_err(fail)?);
        let listed = path::open_dir_at(&root, ".").map_err(fail)?;
        for entry in Entries::new(listed).map_err(fail)? {
            let name = entry.map_err(fail)?.name;
            packer.entry(&root, &name, Path::new(&name), 1)?;
        }
        packer.finish()
    };
    whole().map_err(|error| error.named("/"))?;
    Ok(Reply::Done)
}

/// What a link to a file leads to.
fn one_file(path: &str, name: &str, stat: &Stat, stream: File) -> Result<Reply, Error> {
    let root = inroot::open_root().map_err(|error| refused(path, &error))?;
    let file = path::open_file_in_root(&root, path).map_err(|error| refused(path, &error))?;
    let mut packer = Packer::new(stream);
    packer
        .file(file, Path::new(name), stat)
        .and_then(|()| packer.finish())
        .map_err(|error| error.named(path))?;
    Ok(Reply::Done)
}

/// Why packing stopped.
enum Stop {
    /// A file could not be read.
    File(PathBuf, shedbox_linux::Error),
    /// The client takes no more.
    Stream(std::io::Error),
    /// The tree is too deep.
    Deep(PathBuf),
}

impl Stop {
    fn named(self, path: &str) -> Error {
        match self {
            Stop::File(inner, error) => {
                refused(&format!("{path} (at {})", inner.display()), &error)
            }
            Stop::Stream(error) => {
                Error::invalid(format!("the archive of {path} was not taken: {error}"))
            }
            Stop::Deep(inner) => Error::invalid(format!(
                "{}: deeper than {DEPTH_MAX} levels",
                inner.display()
            )),
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::Stream(error)
    }
}

struct Packer {
    tar: tar::Builder<BufWriter<File>>,
    /// Names of files with several links, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    /// Nothing of other mounts is packed, and attributes are: the root file system, to be made into another one.
    only_mount: Option<u64>,
}

impl Packer {
    fn new(stream: File) -> Self {
        let tar = tar::Builder::new(BufWriter::with_capacity(256 << 10, stream));
        Self {
            tar,
            links: HashMap::new(),
            only_mount: None,
        }
    }

    fn finish(self) -> Result<(), Stop> {
        Ok(self.tar.into_inner()?.flush()?)
    }

    fn entry(
        &mut self,
        dir: &OwnedFd,
        name: &OsStr,
        inside: &Path,
        depth: usize,
    ) -> Result<(), Stop> {
        let fail = |error| Stop::File(inside.to_owned(), error);
        let stat = meta::stat_at(dir, name).map_err(fail)?;
        if let Some(own) = self.only_mount
            && meta::mount_id_at(dir, name).map_err(fail)? != own
        {
            return self.mount_point(&stat, inside);
        }
        match stat.kind {
            FileKind::Directory => {
                if depth >= DEPTH_MAX {
                    return Err(Stop::Deep(inside.to_owned()));
                }
                let sub = path::open_dir_at(dir, name).map_err(fail)?;
                let mut header = header(&stat, tar::EntryType::Directory);
                self.attributes(&sub, inside)?;
                self.tar
                    .append_data(&mut header, inside, std::io::empty())?;
                let handle = sub.try_clone().map_err(Stop::Stream)?;
                for entry in Entries::new(sub).map_err(fail)? {
                    let entry = entry.map_err(fail)?;
                    self.entry(&handle, &entry.name, &inside.join(&entry.name), depth + 1)?;
                }
                Ok(())
            }
            FileKind::Symlink => {
                let target = path::read_link_at(dir, name).map_err(fail)?;
                let mut header = header(&stat, tar::EntryType::Symlink);
                Ok(self
                    .tar
                    .append_link(&mut header, inside, Path::new(&target))?)
            }
            FileKind::Fifo => {
                let mut header = header(&stat, tar::EntryType::Fifo);
                Ok(self
                    .tar
                    .append_data(&mut header, inside, std::io::empty())?)
            }
            FileKind::Regular => {
                if stat.links > 1 {
                    if let Some(first) = self.links.get(&(stat.dev, stat.ino)) {
                        let mut header = header(&stat, tar::EntryType::Link);
                        return Ok(self.tar.append_link(&mut header, inside, first)?);
                    }
                    self.links.insert((stat.dev, stat.ino), inside.to_owned());
                }
                let file = path::open_file_at(dir, name).map_err(fail)?;
                // The file that was opened counts, not the one that was looked at.
                let stat = meta::stat(&file).map_err(fail)?;
                if stat.kind == FileKind::Regular {
                    self.file(file, inside, &stat)
                } else {
                    Ok(())
                }
            }
            // Sockets and devices mean nothing in an archive of a sandbox.
            _ => Ok(()),
        }
    }

    /// What lies under a mount cannot be seen: an empty one of its kind stands for it, whose owner is not the host's.
    fn mount_point(&mut self, stat: &Stat, inside: &Path) -> Result<(), Stop> {
        let kind = match stat.kind {
            FileKind::Directory => tar::EntryType::Directory,
            FileKind::Regular => tar::EntryType::Regular,
            _ => return Ok(()),
        };
        let mut header = header(stat, kind);
        header.set_uid(0);
        header.set_gid(0);
        Ok(self
            .tar
            .append_data(&mut header, inside, std::io::empty())?)
    }

    /// In an export: an extended header with the attributes of the file whose own header comes next.
    fn attributes(&mut self, file: &OwnedFd, inside: &Path) -> Result<(), Stop> {
        if self.only_mount.is_none() {
            return Ok(());
        }
        let fail = |error| Stop::File(inside.to_owned(), error);
        let mut records = Vec::new();
        for name in xattr::list(file).map_err(fail)? {
            let bytes = name.as_bytes();
            let kept = bytes == b"security.capability"
                || (bytes.starts_with(b"user.") && !bytes.starts_with(b"user.overlay."));
            if kept && let Some(value) = xattr::get(file, &name).map_err(fail)? {
                append_record(&mut records, bytes, &value);
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_mode(0o600);
        header.set_size(records.len() as u64);
        Ok(self
            .tar
            .append_data(&mut header, "PaxHeaders", records.as_slice())?)
    }

    fn file(&mut self, file: OwnedFd, inside: &Path, stat: &Stat) -> Result<(), Stop> {
        self.attributes(&file, inside)?;
        let mut header = header(stat, tar::EntryType::Regular);
        header.set_size(stat.size);
        let content = Exactly {
            file: File::from(file),
            left: stat.size,
        };
        Ok(self.tar.append_data(&mut header, inside, content)?)
    }
}

fn header(stat: &Stat, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.mode);
    header.set_uid(u64::from(stat.uid));
    header.set_gid(u64::from(stat.gid));
    header.set_mtime(stat.mtime.seconds.max(0) as u64);
    header.set_size(0);
    header
}

/// A record of an extended header, which begins with its own length in decimal digits. Source: POSIX pax.
fn append_record(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // Length, blank, "SCHILY.xattr.", name, "=", value, line feed.
    let rest = 1 + 13 + name.len() + 1 + value.len() + 1;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} SCHILY.xattr.").as_bytes());
    records.extend_from_slice(name);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// As many bytes as the header says, whatever happens to the file meanwhile: cut, or filled with zeros.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = match self.file.read(&mut buffer[..wanted])? {
            0 => {
                buffer[..wanted].fill(0);
                wanted
            }
            count => count,
        };
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_its_own_length() {
        for size in [0, 1, 70, 71, 72, 73, 74, 970, 971, 972, 973, 9_971, 60_000] {
            let mut records = Vec::new();
            append_record(&mut records, b"user.x", &vec![b'v'; size]);
            let text = String::from_utf8(records).unwrap();
            let (length, rest) = text.split_once(' ').unwrap();
            assert_eq!(length.parse(), Ok(text.len()), "{size}");
            assert_eq!(rest.trim_end().len(), "SCHILY.xattr.user.x=".len() + size);
        }
    }
}
