//! A layer directory as a reproducible tar stream with OCI whiteouts: for `save`.
//!
//! The same directory always gives the same bytes, but in general not the bytes it was extracted from: order, dialect
//! and padding of a tar stream are its writer's choice. Who saves an image writes new diff ids into its configuration.
//!
//! POSIX headers; PAX records only where a value does not fit. Depth first, names sorted by their bytes. Holes are written
//! as zeros: few readers understand sparse files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use shedbox_linux::meta::{self, FileKind, Stat, Timestamp};
use shedbox_linux::tree::Entries;
use shedbox_linux::{fd, path, xattr};
use shedbox_spec::Digest;

use crate::entry::{refuse, shown};
use crate::error::Doing;
use crate::header::BLOCK;
use crate::pax;
use crate::whiteout::{OPAQUE, OPAQUE_XATTR, OVERLAY_XATTRS, PREFIX};
use crate::{Result, StoreError};

/// A finished tar stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Digest of the stream: the diff id of what was packed.
    pub diff_id: Digest,
    /// Its length.
    pub bytes: u64,
}

/// Writes the layer at `dir` (overlay's form) as tar with OCI whiteouts: names sorted, owners, modes, mtimes, hard
/// links and xattrs kept. Sockets are left out.
pub fn pack_layer(dir: &Path, out: &mut dyn Write) -> Result<Packed> {
    let root = path::open_dir(dir).doing(|| format!("open `{}`", dir.display()))?;
    let mut packer = Packer {
        out,
        hash: Sha256::new(),
        bytes: 0,
        links: HashMap::new(),
    };
    packer.entry(root.as_fd(), OsStr::new("."), b"")?;
    let mut levels = vec![packer.level(root.as_fd(), Vec::new())?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.next() else {
            levels.pop();
            continue;
        };
        let path = join(&level.path, name.as_bytes());
        // A level below another one gives its descriptor back: paths may have two thousand of them.
        let dir = match level.dir.take() {
            Some(dir) => dir,
            None => open_level(root.as_fd(), &level.path)?,
        };
        let kind = packer.entry(dir.as_fd(), &name, &path)?;
        if kind == FileKind::Directory {
            let below = packer.level(root.as_fd(), path)?;
            levels.push(below);
        } else {
            level.dir = Some(dir);
        }
    }
    packer.write(&[0; 2 * BLOCK])?;
    Ok(Packed {
        diff_id: Digest::from_bytes(&packer.hash.finalize().into()),
        bytes: packer.bytes,
    })
}

struct Packer<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
    bytes: u64,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory that is being written.
struct Level {
    path: Vec<u8>,
    names: std::vec::IntoIter<OsString>,
    dir: Option<OwnedFd>,
}

fn open_level(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let place = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    path::open_dir_beneath(root, place).doing(|| format!("read `{}`", shown(path)))
}

/// What goes into a header.
struct Item<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: tar::EntryType,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: Timestamp,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Packer<'_> {
    /// Begins with a directory, whose own entry is written.
    fn level(&mut self, root: BorrowedFd<'_>, path: Vec<u8>) -> Result<Level> {
        let what = || format!("read `{}`", shown(&path));
        let dir = open_level(root, &path)?;
        if xattr::get(&dir, OPAQUE_XATTR).doing(what)?.as_deref() == Some(b"y") {
            self.mark(&join(&path, OPAQUE))?;
        }
        let copy = path::open_dir_at(&dir, ".").doing(what)?;
        let mut names = Vec::new();
        for entry in Entries::new(copy).doing(what)? {
            names.push(entry.doing(what)?.name);
        }
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        Ok(Level {
            path,
            names: names.into_iter(),
            dir: Some(dir),
        })
    }

    /// Writes what `dir` has under `name`.
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<FileKind> {
        if name.as_bytes().starts_with(PREFIX) {
            return Err(refuse(
                path,
                "a name that begins with `.wh.` would be read as a whiteout",
            ));
        }
        let what = || format!("pack `{}`", shown(path));
        let handle = path::open_handle_at(dir, name).doing(what)?;
        let stat = meta::stat(&handle).doing(what)?;
        if stat.is_whiteout() {
            let parent = &path[..path.len() - name.len()];
            let hidden = [parent, PREFIX, name.as_bytes()].concat();
            self.mark(&hidden)?;
            return Ok(stat.kind);
        }
        let kind = match stat.kind {
            FileKind::Regular => tar::EntryType::Regular,
            FileKind::Directory => tar::EntryType::Directory,
            FileKind::Symlink => tar::EntryType::Symlink,
            FileKind::Fifo => tar::EntryType::Fifo,
            FileKind::Socket => return Ok(stat.kind),
            FileKind::CharDevice | FileKind::BlockDevice | FileKind::Unknown => {
                return Err(refuse(path, "a device node cannot be in a layer"));
            }
        };
        let mut item = Item {
            name: path,
            link: b"",
            kind,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            size: 0,
            mtime: stat.mtime,
            xattrs: Vec::new(),
        };
        if stat.links > 1 && stat.kind != FileKind::Directory {
            let key = (stat.dev, stat.ino);
            if let Some(first) = self.links.get(&key).cloned() {
                item.kind = tar::EntryType::Link;
                item.link = &first;
                return self.header(&item).map(|()| stat.kind);
            }
            self.links.insert(key, path.to_vec());
        }
        item.xattrs = xattrs(&handle, path)?;
        let slashed;
        match stat.kind {
            FileKind::Directory => {
                slashed = if path.is_empty() {
                    b"./".to_vec()
                } else {
                    [path, b"/"].concat()
                };
                item.name = &slashed;
                self.header(&item)?;
            }
            FileKind::Symlink => {
                let target = path::read_link_at(dir, name).doing(what)?;
                item.link = target.as_bytes();
                self.header(&item)?;
            }
            FileKind::Regular => {
                item.size = stat.size;
                self.header(&item)?;
                self.content(dir, name, &stat, path)?;
            }
            _ => self.header(&item)?,
        }
        Ok(stat.kind)
    }

    fn content(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        path: &[u8],
    ) -> Result<()> {
        let what = || format!("pack `{}`", shown(path));
        let file = path::open_file_at(dir, name).doing(what)?;
        let opened = meta::stat(&file).doing(what)?;
        let changed = || refuse(path, "it has changed while it was packed");
        if (opened.dev, opened.ino, opened.size) != (stat.dev, stat.ino, stat.size) {
            return Err(changed());
        }
        let mut buffer = vec![0; 256 << 10];
        let mut left = stat.size;
        while left > 0 {
            let length = (buffer.len() as u64).min(left) as usize;
            match fd::read(&file, &mut buffer[..length]).doing(what)? {
                0 => return Err(changed()),
                read => {
                    self.write(&buffer[..read])?;
                    left -= read as u64;
                }
            }
        }
        self.pad(stat.size)
    }

    /// An empty file that is only a name.
    fn mark(&mut self, name: &[u8]) -> Result<()> {
        self.header(&Item {
            name,
            link: b"",
            kind: tar::EntryType::Regular,
            mode: 0o600,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
        })
    }

    fn header(&mut self, item: &Item<'_>) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        let mut records = Vec::new();
        let mut fits = |key: &str, fits: bool, value: String| {
            if !fits {
                pax::append(&mut records, key.as_bytes(), value.as_bytes());
            }
            fits
        };
        // Octal fields: seven digits for ids, eleven for size and time.
        let (small, large) = (0o777_7777, 0o777_7777_7777);
        let uid = fits("uid", item.uid <= small, item.uid.to_string());
        let gid = fits("gid", item.gid <= small, item.gid.to_string());
        let size = fits("size", item.size <= large, item.size.to_string());
        let seconds = u64::try_from(item.mtime.seconds).ok();
        let whole = item.mtime.nanos == 0 && seconds.is_some_and(|seconds| seconds <= large);
        fits("mtime", whole, pax_time(item.mtime));
        header.set_uid(if uid { item.uid.into() } else { 0 });
        header.set_gid(if gid { item.gid.into() } else { 0 });
        header.set_size(if size { item.size } else { 0 });
        header.set_mtime(seconds.filter(|seconds| *seconds <= large).unwrap_or(0));
        header.set_mode(item.mode);
        header.set_entry_type(item.kind);
        let old = header.as_old_mut();
        put(&mut old.name, item.name, b"path", &mut records);
        put(&mut old.linkname, item.link, b"linkpath", &mut records);
        for (name, value) in &item.xattrs {
            let key = [b"SCHILY.xattr.", name.as_slice()].concat();
            pax::append(&mut records, &key, value);
        }
        if !records.is_empty() {
            let mut extended = tar::Header::new_ustar();
            extended.set_entry_type(tar::EntryType::XHeader);
            extended.set_size(records.len() as u64);
            extended.set_mode(0o600);
            let name = [b"PaxHeaders/", item.name].concat();
            put(&mut extended.as_old_mut().name, &name, b"", &mut Vec::new());
            extended.set_cksum();
            self.write(extended.as_bytes())?;
            self.write(&records)?;
            self.pad(records.len() as u64)?;
        }
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn pad(&mut self, written: u64) -> Result<()> {
        let padding = (written.wrapping_neg() % BLOCK as u64) as usize;
        self.write(&[0; BLOCK][..padding])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|source| StoreError::Io {
            what: "write the archive".to_owned(),
            source,
        })
    }
}

/// Fills a field; what is too long for it goes into the records whole.
fn put(field: &mut [u8; 100], value: &[u8], key: &[u8], records: &mut Vec<u8>) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
    if length < value.len() {
        pax::append(records, key, value);
    }
}

fn pax_time(time: Timestamp) -> String {
    // Nanoseconds count forward, decimal fractions away from zero.
    let (sign, seconds, nanos) = match (time.seconds < 0, time.nanos) {
        (false, nanos) => ("", time.seconds, nanos),
        (true, 0) => ("-", -time.seconds, 0),
        (true, nanos) => ("-", -(time.seconds + 1), 1_000_000_000 - nanos),
    };
    if nanos == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// The attributes that a layer keeps.
pub(crate) fn xattrs(handle: &impl AsFd, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let what = || format!("read the attributes of `{}`", shown(path));
    let mut kept = Vec::new();
    for name in xattr::list(handle).doing(what)? {
        let bytes = name.as_bytes();
        let wanted = bytes == b"security.capability"
            || (bytes.starts_with(b"user.") && !bytes.starts_with(OVERLAY_XATTRS));
        if wanted && let Some(value) = xattr::get(handle, &name).doing(what)? {
            kept.push((bytes.to_vec(), value));
        }
    }
    Ok(kept)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
