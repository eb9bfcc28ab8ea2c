//! Tar entries become a layer directory in overlay's form, beneath one directory descriptor.
//!
//! The archive is hostile until proven otherwise. The rules:
//!
//! - Directories that only a path implies are made with mode 0755 and root as owner, as Docker's graph drivers do: a layer is
//!   extracted without knowing what it will lie on.
//! - Names: leading slashes are dropped, `..` is refused, any bytes but NUL are kept. Links on the way are resolved as if
//!   the layer were `/` (see `parents`); nothing is ever resolved by the host's own root.
//! - An entry replaces what has its name, a directory over a directory keeps its content. A hard link must name
//!   something that this layer has already made, and not a directory.
//! - Whiteouts apply to the layers below only, whatever their order among the entries: what this layer makes stays. A
//!   directory that is both removed and made becomes opaque. Below what replaces a directory there is nothing left to
//!   remove (umoci writes such whiteouts).
//! - Devices become empty files; `trusted.*`, `system.*`, `security.*` but capabilities, and everything that overlay
//!   would understand, are left out with a warning.
//! - Few system calls per file: create, write, set the time; owner and mode only where they differ from what creating
//!   gives.

mod attributes;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind};
use shedbox_linux::{path, xattr};

use crate::chunks::Chunks;
use crate::diff::PATH_MAX;
use crate::directories::Directories;
use crate::entry::{Entries, Entry, EntryKind, refuse, shown};
use crate::error::Doing;
use crate::parents::Parents;
use crate::replaced::Keeper;
use crate::root::StoreOptions;
use crate::sparse::SparseMap;
use crate::warnings::{Loss, Warnings};
use crate::whiteout::{Action, OPAQUE_XATTR, Place, clean};
use crate::write::write_file;
use crate::{Result, StoreError, Trash};

use attributes::Owner;

/// Writes one layer.
pub(crate) struct Unpacker<'a> {
    parents: Parents,
    directories: Directories,
    replaced: Keeper,
    has_hard_links: bool,
    warnings: Warnings,
    trash: &'a Trash,
    options: StoreOptions,
    entries: u64,
    bytes: u64,
}

/// What has been written.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) warnings: Vec<String>,
    /// Whether everything that the record refers to was kept.
    pub(crate) recorded: bool,
}

impl<'a> Unpacker<'a> {
    /// Writes into `root`, an empty directory; `scratch` is a directory beside it for what does not fit into memory.
    pub(crate) fn new(
        scratch: &Path,
        root: OwnedFd,
        trash: &'a Trash,
        options: StoreOptions,
    ) -> Self {
        Self {
            parents: Parents::new(root),
            directories: Directories::new(scratch.join("directories")),
            replaced: Keeper::new(scratch),
            has_hard_links: false,
            warnings: Warnings::default(),
            trash,
            options,
            entries: 0,
            bytes: 0,
        }
    }

    /// Applies all entries of a tar stream.
    pub(crate) fn run(&mut self, chunks: &mut Chunks) -> Result<()> {
        let mut entries = Entries::new(chunks, self.options.limits);
        while let Some(entry) = entries.next()? {
            self.apply(&entry, &mut entries)?;
        }
        Ok(())
    }

    /// Sets what must be set last.
    pub(crate) fn finish(self) -> Result<Unpacked> {
        self.directories.apply(self.parents.root())?;
        Ok(Unpacked {
            bytes: self.bytes,
            entries: self.entries,
            warnings: self.warnings.lines(),
            recorded: self.replaced.finish(self.trash)?,
        })
    }

    fn apply(&mut self, entry: &Entry, data: &mut Entries<'_>) -> Result<()> {
        count(&mut self.entries, &self.options)?;
        let place = Place::parse(&entry.name, self.options.limits.max_path)
            .map_err(|reason| refuse(&entry.name, reason))?;
        match place.action {
            Action::Ignore => Ok(()),
            Action::Whiteout => self.whiteout(&place),
            Action::Opaque => self.opaque(&place),
            Action::Create if place.path.is_empty() => self.root_entry(entry),
            Action::Create => match entry.kind {
                EntryKind::Directory => self.directory(entry, &place),
                EntryKind::Regular => self.regular(entry, &place, data),
                EntryKind::Device => {
                    self.warnings.add(Loss::Device, &entry.name, b"");
                    self.regular(entry, &place, data)
                }
                EntryKind::HardLink => self.hard_link(entry, &place),
                EntryKind::Symlink => self.symlink(entry, &place),
                EntryKind::Fifo => self.fifo(entry, &place),
            },
        }
    }

    fn root_entry(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != EntryKind::Directory {
            return Err(refuse(&entry.name, "the root can only be a directory"));
        }
        let owner = self.owner(entry)?;
        let root = self.parents.root();
        meta::chown_at(root, ".", owner.uid, owner.gid).doing(|| doing(entry))?;
        let dir = path::open_dir_at(root, ".").doing(|| doing(entry))?;
        self.xattrs(entry, &dir)?;
        self.directories.add(b"", entry.mtime, Some(entry.mode))
    }

    fn directory(&mut self, entry: &Entry, place: &Place) -> Result<()> {
        let owner = self.owner(entry)?;
        let name = OsStr::from_bytes(place.name());
        let plain = entry.mode & 0o777;
        let mut opaque = false;
        let mut existed = false;
        loop {
            let parent = self.parent(place)?;
            match path::mkdir_at(parent, name, plain) {
                Ok(()) => break,
                Err(error) if error.errno == Errno::EEXIST => {}
                Err(error) => return Err(error).doing(|| doing(entry)),
            }
            let stat = meta::stat_at(parent, name).doing(|| doing(entry))?;
            if stat.kind == FileKind::Directory {
                existed = true;
                break;
            }
            opaque |= stat.is_whiteout();
            self.clear(place)?;
        }
        let parent = self.parent(place)?;
        if existed || !owner.is_root() {
            meta::chown_at(parent, name, owner.uid, owner.gid).doing(|| doing(entry))?;
        }
        if opaque || !entry.xattrs.is_empty() {
            let dir = path::dir_handle_at(parent, name).doing(|| doing(entry))?;
            if opaque {
                xattr::set(&dir, OPAQUE_XATTR, b"y").doing(|| doing(entry))?;
            }
            self.xattrs(entry, &dir)?;
        }
        let mode = (existed || entry.mode != plain).then_some(entry.mode);
        self.directories.add(&place.path, entry.mtime, mode)
    }

    fn regular(&mut self, entry: &Entry, place: &Place, data: &mut Entries<'_>) -> Result<()> {
        let owner = self.owner(entry)?;
        let name = OsStr::from_bytes(place.name());
        let plain = entry.mode & 0o777;
        let file = self.create(entry, place, |parent| path::create_at(parent, name, plain))?;
        // Device nodes come here, too: they have no data, and their map is not one.
        let map: Option<&SparseMap> = entry
            .sparse
            .as_ref()
            .filter(|_| entry.kind == EntryKind::Regular);
        self.record(place, data);
        self.bytes += write_file(&file, data, map, entry)?;
        if !owner.is_root() {
            meta::chown(&file, owner.uid, owner.gid).doing(|| doing(entry))?;
        }
        // After writing and chown, which take setuid and setgid away.
        if entry.mode != plain {
            meta::chmod(&file, entry.mode).doing(|| doing(entry))?;
        }
        self.xattrs(entry, &file)?;
        meta::set_mtime(&file, entry.mtime).doing(|| doing(entry))
    }

    /// The record has one more file, which was just made at `place`.
    fn record(&mut self, place: &Place, data: &mut Entries<'_>) {
        if data.left() == 0 || !self.replaced.is_wanted() {
            return;
        }
        let Some(recorder) = data.recorder() else {
            return;
        };
        if let Some(path) = self.path_without_links(place) {
            recorder.file(&path);
            self.replaced.count();
        } else {
            self.replaced.give_up();
        }
    }

    /// Where something in the directory that was opened last, that of `place`, really is.
    fn path_without_links(&self, place: &Place) -> Option<Vec<u8>> {
        let mut path = self.parents.place(place.parent())?.into_owned();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(place.name());
        (path.len() <= PATH_MAX).then_some(path)
    }

    fn symlink(&mut self, entry: &Entry, place: &Place) -> Result<()> {
        let owner = self.owner(entry)?;
        let limit = self.options.limits.max_path;
        if entry.link.is_empty() || entry.link.len() > limit || entry.link.contains(&0) {
            let reason = format!(
                "the target of the link has {} bytes, 1 to {limit} without NUL are accepted",
                entry.link.len()
            );
            return Err(refuse(&entry.name, reason));
        }
        let name = OsStr::from_bytes(place.name());
        let target = OsStr::from_bytes(&entry.link);
        self.create(entry, place, |parent| {
            path::symlink_at(target, parent, name)
        })?;
        self.nameless(entry, place, owner)
    }

    fn fifo(&mut self, entry: &Entry, place: &Place) -> Result<()> {
        let owner = self.owner(entry)?;
        let name = OsStr::from_bytes(place.name());
        self.create(entry, place, |parent| {
            path::mkfifo_at(parent, name, entry.mode & 0o777)
        })?;
        self.nameless(entry, place, owner)
    }

    /// Owner and time of what cannot be opened.
    fn nameless(&mut self, entry: &Entry, place: &Place, owner: Owner) -> Result<()> {
        for (attribute, _) in &entry.xattrs {
            // Only `trusted.` and `security.` are possible on these, and neither is ours to set.
            self.warnings.add(Loss::Xattr, &entry.name, attribute);
        }
        let name = OsStr::from_bytes(place.name());
        let parent = self.parent(place)?;
        if !owner.is_root() {
            meta::chown_at(parent, name, owner.uid, owner.gid).doing(|| doing(entry))?;
        }
        meta::set_mtime_at(parent, name, entry.mtime).doing(|| doing(entry))
    }

    fn hard_link(&mut self, entry: &Entry, place: &Place) -> Result<()> {
        let target = clean(&entry.link, self.options.limits.max_path).map_err(|reason| {
            refuse(
                &entry.name,
                format!("the target of the hard link: {reason}"),
            )
        })?;
        let (target_dir, target_name) = match target.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&target[..slash], &target[slash + 1..]),
            None => (&b""[..], &target[..]),
        };
        let target_name = OsStr::from_bytes(target_name);
        let missing = || {
            let target = shown(&entry.link);
            refuse(
                &entry.name,
                format!("the target of the hard link, `{target}`, is not in this layer"),
            )
        };
        let target_dir = OsStr::from_bytes(if target_dir.is_empty() {
            b"."
        } else {
            target_dir
        });
        let target_dir =
            path::dir_handle_in_root(self.parents.root(), target_dir).map_err(|_| missing())?;
        let stat = match meta::stat_at(&target_dir, target_name) {
            Ok(stat) if stat.is_whiteout() => return Err(missing()),
            Ok(stat) => stat,
            Err(error) if error.errno == Errno::ENOENT => return Err(missing()),
            Err(error) => return Err(error).doing(|| doing(entry)),
        };
        if stat.kind == FileKind::Directory {
            return Err(refuse(&entry.name, "a hard link to a directory"));
        }
        let name = OsStr::from_bytes(place.name());
        let parent = self.parent(place)?;
        if let Ok(existing) = meta::stat_at(parent, name)
            && (existing.dev, existing.ino) == (stat.dev, stat.ino)
        {
            return Ok(()); // a link to itself: replacing it would lose the file
        }
        self.create(entry, place, |parent| {
            path::link_at(&target_dir, target_name, parent, name)
        })?;
        self.has_hard_links = true;
        Ok(())
    }

    fn whiteout(&mut self, place: &Place) -> Result<()> {
        let name = OsStr::from_bytes(place.name());
        let what = || format!("make a whiteout for `{}`", shown(&place.path));
        if self.parents.is_replaced(place.parent())? {
            return Ok(());
        }
        let parent = self.parent(place)?;
        match path::whiteout_at(parent, name) {
            Ok(()) => return Ok(()),
            Err(error) if error.errno == Errno::EEXIST => {}
            Err(error) => return Err(error).doing(what),
        }
        // What this layer makes stays; of a directory below nothing may shine through.
        if meta::stat_at(parent, name).doing(what)?.kind == FileKind::Directory {
            let dir = path::dir_handle_at(parent, name).doing(what)?;
            xattr::set(&dir, OPAQUE_XATTR, b"y").doing(what)?;
        }
        Ok(())
    }

    fn opaque(&mut self, place: &Place) -> Result<()> {
        if self.parents.is_replaced(&place.path)? {
            return Ok(());
        }
        let (entries, options) = (&mut self.entries, &self.options);
        let dir = self
            .parents
            .open(&place.path, &mut || count(entries, options))?;
        xattr::set(dir, OPAQUE_XATTR, b"y")
            .doing(|| format!("make `{}` opaque", shown(&place.path)))
    }

    fn parent(&mut self, place: &Place) -> Result<std::os::fd::BorrowedFd<'_>> {
        let (entries, options) = (&mut self.entries, &self.options);
        self.parents
            .open(place.parent(), &mut || count(entries, options))
    }

    /// Makes something at `place`, out of whose way everything goes.
    fn create<T>(
        &mut self,
        entry: &Entry,
        place: &Place,
        mut make: impl FnMut(std::os::fd::BorrowedFd<'_>) -> shedbox_linux::Result<T>,
    ) -> Result<T> {
        let parent = self.parent(place)?;
        match make(parent) {
            Err(error) if error.errno == Errno::EEXIST => {}
            done => return done.doing(|| doing(entry)),
        }
        self.clear(place)?;
        let parent = self.parent(place)?;
        make(parent).doing(|| doing(entry))
    }

    /// Removes what is at `place`: an earlier entry of this layer. What the record refers to is kept elsewhere.
    fn clear(&mut self, place: &Place) -> Result<()> {
        let name = OsStr::from_bytes(place.name());
        let what = || format!("replace `{}` in a layer", shown(&place.path));
        let stat = meta::stat_at(self.parent(place)?, name).doing(what)?;
        let is_directory = stat.kind == FileKind::Directory;
        let has_content = is_directory || (stat.kind == FileKind::Regular && stat.size > 0);
        let mut path = None;
        if has_content && self.replaced.is_wanted() {
            // To find out which files in it have names elsewhere would take a walk, for a case that no image has.
            if !(is_directory && self.has_hard_links) {
                path = self.path_without_links(place);
            }
            if path.is_none() {
                self.replaced.give_up();
            }
        }
        let (entries, options) = (&mut self.entries, &self.options);
        let parent = self
            .parents
            .open(place.parent(), &mut || count(entries, options))?;
        if let Some(path) = path {
            self.replaced.keep(parent, name, &stat, &path)?;
        } else if is_directory {
            self.trash.discard_at(parent, Path::new(name))?;
        } else {
            path::unlink_at(parent, name).doing(what)?;
        }
        if is_directory || stat.kind == FileKind::Symlink {
            self.parents.forget();
        }
        Ok(())
    }
}

fn count(entries: &mut u64, options: &StoreOptions) -> Result<()> {
    *entries += 1;
    if *entries > options.limits.max_entries {
        return Err(StoreError::Limit {
            what: "entries",
            limit: options.limits.max_entries,
            setting: "max_layer_entries",
        });
    }
    Ok(())
}

fn doing(entry: &Entry) -> String {
    format!("extract `{}`", shown(&entry.name))
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "unpack_limits_tests.rs"]
mod limits_tests;
