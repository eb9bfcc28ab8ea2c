//! Files of the host as a tar stream.
//!
//! The source may lie in a directory that a sandbox writes to (a volume), so names are looked up beneath descriptors and
//! links are never followed below the source itself.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_linux::path;
use shedbox_linux::tree::Entries;

use super::CopyOptions;
use super::place::Source;
use crate::{Error, Result};

/// Deepest tree that is copied: each level holds a descriptor.
const DEPTH_MAX: usize = 512;
/// Setuid and setgid: kept for `archive` alone.
const SET_ID: u32 = 0o6000;

/// What is to be copied, found.
pub(super) struct HostSource {
    /// The directory that it is in.
    parent: OwnedFd,
    /// Its name there.
    name: OsString,
    /// As it was written, for messages.
    path: PathBuf,
    stat: Stat,
    contents: bool,
}

impl HostSource {
    /// Looks the source up.
    pub(super) fn open(source: &Path, follow: bool) -> Result<Self> {
        let doing = || format!("read {}", source.display());
        let text = source.as_os_str().as_encoded_bytes();
        let contents =
            text == b"." || text.ends_with(b"/.") || text.iter().all(|byte| *byte == b'/');
        let metadata = std::fs::symlink_metadata(source).map_err(Error::io(doing()))?;
        // A slash at the end means the directory that a link leads to.
        let resolve = contents
            || source.file_name().is_none()
            || (metadata.is_symlink() && (follow || text.ends_with(b"/")));
        let real = if resolve {
            std::fs::canonicalize(source).map_err(Error::io(doing()))?
        } else {
            source.to_owned()
        };
        let (parent, name) = match (real.parent(), real.file_name()) {
            (Some(parent), Some(name)) => (parent, name.to_owned()),
            _ => (Path::new("/"), OsString::from(".")), // the root
        };
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let parent = path::open_dir(parent).map_err(Error::system(doing()))?;
        let stat = meta::stat_at(&parent, &name).map_err(Error::system(doing()))?;
        if contents && stat.kind != FileKind::Directory {
            return Err(shedbox_spec::Error::invalid(format!(
                "{} is not a directory",
                source.display()
            ))
            .into());
        }
        Ok(Self {
            parent,
            name,
            path: source.to_owned(),
            stat,
            contents,
        })
    }

    pub(super) fn source(&self) -> Source {
        // The name is that of the path as it was written, when it has one: a link's, not its target's.
        let name = self.path.file_name().unwrap_or(&self.name);
        Source {
            name: name.to_string_lossy().into_owned(),
            is_dir: self.stat.kind == FileKind::Directory,
            contents: self.contents,
        }
    }

    /// Writes the archive; the top has this name, or none: then only what is in it is written.
    pub(super) fn write(
        &self,
        name: Option<&OsStr>,
        options: CopyOptions,
        stream: &mut dyn Write,
    ) -> Result<()> {
        let mut packer = Packer {
            tar: tar::Builder::new(BufWriter::with_capacity(256 << 10, stream)),
            links: HashMap::new(),
            archive: options.archive,
        };
        if let Some(name) = name {
            packer.entry(&self.parent, &self.name, Path::new(name), &self.path, 0)?;
        } else {
            let dir = path::open_dir_at(&self.parent, &self.name)
                .map_err(Error::system(format!("read {}", self.path.display())))?;
            packer.children(dir, Path::new(""), &self.path, 0)?;
        }
        packer.finish()
    }
}

/// An archive of one file.
pub(super) fn one_file(
    name: &str,
    content: &[u8],
    mode: u32,
    stream: &mut dyn Write,
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode & 0o7777);
    header.set_size(content.len() as u64);
    header.set_mtime(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    );
    let mut tar = tar::Builder::new(BufWriter::new(stream));
    tar.append_data(&mut header, name, content)
        .map_err(to_sandbox)?;
    tar.into_inner()
        .and_then(|mut stream| stream.flush())
        .map_err(to_sandbox)
}

fn to_sandbox(error: io::Error) -> Error {
    Error::io("write to the sandbox")(error)
}

struct Packer<W: Write> {
    tar: tar::Builder<W>,
    /// Names of files with several links, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    archive: bool,
}

impl<W: Write> Packer<W> {
    fn finish(self) -> Result<()> {
        self.tar
            .into_inner()
            .and_then(|mut stream| stream.flush())
            .map_err(to_sandbox)
    }

    /// `inside` is the name in the archive, `shown` the host path for messages.
    fn entry(
        &mut self,
        dir: &OwnedFd,
        name: &OsStr,
        inside: &Path,
        shown: &Path,
        depth: usize,
    ) -> Result<()> {
        let read = || Error::system(format!("read {}", shown.display()));
        let stat = meta::stat_at(dir, name).map_err(read())?;
        match stat.kind {
            FileKind::Directory => {
                let sub = path::open_dir_at(dir, name).map_err(read())?;
                let mut header = self.header(&stat, tar::EntryType::Directory);
                self.tar
                    .append_data(&mut header, inside, io::empty())
                    .map_err(to_sandbox)?;
                self.children(sub, inside, shown, depth)
            }
            FileKind::Symlink => {
                let target = path::read_link_at(dir, name).map_err(read())?;
                let mut header = self.header(&stat, tar::EntryType::Symlink);
                self.tar
                    .append_link(&mut header, inside, Path::new(&target))
                    .map_err(to_sandbox)
            }
            FileKind::Fifo => {
                let mut header = self.header(&stat, tar::EntryType::Fifo);
                self.tar
                    .append_data(&mut header, inside, io::empty())
                    .map_err(to_sandbox)
            }
            FileKind::Regular => self.file(dir, name, inside, shown, &stat),
            // A socket or device has no content that could be copied.
            _ => Ok(()),
        }
    }

    fn children(&mut self, dir: OwnedFd, inside: &Path, shown: &Path, depth: usize) -> Result<()> {
        if depth >= DEPTH_MAX {
            let message = format!("{} is deeper than {DEPTH_MAX} levels", shown.display());
            return Err(shedbox_spec::Error::invalid(message).into());
        }
        let read = || Error::system(format!("read {}", shown.display()));
        let handle = dir
            .as_fd()
            .try_clone_to_owned()
            .map_err(Error::io(format!("read {}", shown.display())))?;
        for entry in Entries::new(dir).map_err(read())? {
            let entry = entry.map_err(read())?;
            self.entry(
                &handle,
                &entry.name,
                &inside.join(&entry.name),
                &shown.join(&entry.name),
                depth + 1,
            )?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        dir: &OwnedFd,
        name: &OsStr,
        inside: &Path,
        shown: &Path,
        stat: &Stat,
    ) -> Result<()> {
        if stat.links > 1 {
            if let Some(first) = self.links.get(&(stat.dev, stat.ino)).cloned() {
                let mut header = self.header(stat, tar::EntryType::Link);
                return self
                    .tar
                    .append_link(&mut header, inside, first)
                    .map_err(to_sandbox);
            }
            self.links.insert((stat.dev, stat.ino), inside.to_owned());
        }
        let read = || Error::system(format!("read {}", shown.display()));
        let file = path::open_file_at(dir, name).map_err(read())?;
        // The file that was opened counts, not the one that was looked at.
        let stat = meta::stat(&file).map_err(read())?;
        if stat.kind != FileKind::Regular {
            return Ok(());
        }
        let mut header = self.header(&stat, tar::EntryType::Regular);
        header.set_size(stat.size);
        let mut content = Exactly {
            file: File::from(file),
            left: stat.size,
            failure: None,
        };
        let appended = self.tar.append_data(&mut header, inside, &mut content);
        match content.failure {
            Some(error) => Err(Error::io(format!("read {}", shown.display()))(error)),
            None => appended.map_err(to_sandbox),
        }
    }

    fn header(&self, stat: &Stat, kind: tar::EntryType) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if self.archive {
            stat.mode
        } else {
            stat.mode & !SET_ID
        });
        if self.archive {
            header.set_uid(u64::from(stat.uid));
            header.set_gid(u64::from(stat.gid));
        } else {
            header.set_uid(0);
            header.set_gid(0);
        }
        header.set_mtime(stat.mtime.seconds.max(0) as u64);
        header.set_size(0);
        header
    }
}

/// As many bytes as the header says: a file that grows is cut, one that shrinks while it is read is an error.
struct Exactly {
    file: File,
    left: u64,
    failure: Option<io::Error>,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = match self.file.read(&mut buffer[..wanted]) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter while it was read",
            )),
            other => other,
        };
        match read {
            Ok(count) => {
                self.left -= count as u64;
                Ok(count)
            }
            Err(error) => {
                let again = io::Error::new(error.kind(), "unreadable");
                self.failure = Some(error);
                Err(again)
            }
        }
    }
}

#[cfg(test)]
pub(super) fn pack_for_test(
    source: &Path,
    name: Option<&str>,
    options: CopyOptions,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    HostSource::open(source, options.follow)?.write(name.map(OsStr::new), options, &mut bytes)?;
    Ok(bytes)
}
