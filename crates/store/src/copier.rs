//! Copies what a sandbox has written, in overlay's own form, onto what an earlier copy has left.
//!
//! From directory to directory, so that file systems that can share blocks do. The source was written by a sandbox and may
//! be changing: it is walked on descriptors, no link is followed, and what vanishes meanwhile is not kept.
//!
//! A second upperdir is laid over the copy of the one below it as overlay would show the two: what has another name under
//! it is replaced, directories are merged unless the upper one is opaque, and whiteouts stay where they hide something of a
//! layer further down. Where they do not, overlay would list their names: it looks for whiteouts in merged directories only.

mod attributes;
mod below;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_linux::tree::Entries;
use shedbox_linux::{content, path, xattr};

use crate::diff::{PATH_MAX, is_opaque, join, open_if_there, stat_if_there};
use crate::entry::{refuse, shown};
use crate::error::Doing;
use crate::hidden::Hidden;
use crate::layer::LayerInfo;
use crate::pack::xattrs as layer_xattrs;
use crate::warnings::{Loss, Warnings};
use crate::whiteout::{OPAQUE_XATTR, PREFIX};
use crate::{Result, StoreError, Trash};

/// What a copy is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A layer of an image: what OCI can say of the changes, and nothing under these paths.
    Layer(Hidden),
    /// To go on from: everything, in overlay's own form.
    Snapshot,
}

/// Copies one tree after the other into the same place, the lowest first.
pub(crate) struct Copier<'a> {
    from: OwnedFd,
    to: OwnedFd,
    /// What the lowest tree lies on, uppermost first.
    lowers: Vec<OwnedFd>,
    purpose: Purpose,
    /// Where goes what a tree laid over another one replaces.
    trash: &'a Trash,
    /// There is something in `to` from an earlier tree.
    over: bool,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    pub(crate) info: LayerInfo,
    pub(crate) warnings: Warnings,
}

/// A directory that is being copied.
struct Level {
    path: Vec<u8>,
    stat: Stat,
    names: std::vec::IntoIter<OsString>,
    /// Source and copy.
    dirs: Option<(OwnedFd, OwnedFd)>,
    /// Something of it has been kept, or it says something by itself.
    wanted: bool,
    /// Its copy was not there before.
    made: bool,
    /// Nothing of the layers below shows through its copy.
    cut_off: bool,
}

impl<'a> Copier<'a> {
    /// Copies the trees at `uppers`, which lie on `lowers` (both uppermost first), into `to`, an empty directory.
    pub(crate) fn copy(
        uppers: &[PathBuf],
        lowers: &[PathBuf],
        to: &Path,
        purpose: Purpose,
        trash: &'a Trash,
    ) -> Result<(LayerInfo, Vec<String>)> {
        let open = |dir: &Path| path::open_dir(dir).doing(|| format!("open `{}`", dir.display()));
        let Some((lowest, above)) = uppers.split_last() else {
            return Ok((LayerInfo::default(), Vec::new()));
        };
        let mut copier = Self {
            from: open(lowest)?,
            to: open(to)?,
            lowers: lowers.iter().map(|dir| open(dir)).collect::<Result<_>>()?,
            purpose,
            trash,
            over: false,
            links: HashMap::new(),
            info: LayerInfo::default(),
            warnings: Warnings::default(),
        };
        let above = above
            .iter()
            .rev()
            .map(|dir| open(dir))
            .collect::<Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            let copier = &mut copier;
            let work = move || {
                // Modes are as the sandbox set them, whatever the daemon's umask is; this thread ends with the copy.
                path::private_zero_umask().doing(|| "leave the umask".to_owned())?;
                copier.run()?;
                for next in above {
                    copier.from = next;
                    copier.over = true;
                    copier.links.clear();
                    copier.run()?;
                }
                Ok(())
            };
            std::thread::Builder::new()
                .name("copy".to_owned())
                .spawn_scoped(scope, work)
                .doing(|| "start a thread".to_owned())?
                .join()
                .unwrap_or_else(|_| {
                    tracing::error!("the copying thread has panicked");
                    Err(StoreError::Aborted)
                })
        })?;
        Ok((copier.info, copier.warnings.lines()))
    }

    fn run(&mut self) -> Result<()> {
        let Some(root) = self.level(Vec::new(), Found::There, false)? else {
            return Ok(());
        };
        let mut levels = vec![root];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                let Some(done) = levels.pop() else { break };
                let kept = self.finish(&done)?;
                if let Some(above) = levels.last_mut() {
                    above.wanted |= kept;
                }
                continue;
            };
            let path = join(&level.path, &name);
            if self.is_hidden(&path) {
                continue;
            }
            // A level below another one gives its descriptors back: paths may have two thousand of them.
            let dirs = match level.dirs.take() {
                Some(dirs) => Some(dirs),
                None => self.open(&level.path)?,
            };
            let Some((from, to)) = dirs else {
                level.names = Vec::new().into_iter(); // it has vanished, with what was in it
                continue;
            };
            let cut_off = level.cut_off;
            match self.entry(from.as_fd(), to.as_fd(), &name, &path, cut_off)? {
                Copied::Directory(found) => {
                    if let Some(below) = self.level(path, found, cut_off)? {
                        levels.push(below);
                    } else if found == Found::Nothing {
                        path::rmdir_at(&to, &name).doing(|| "take a copy away".to_owned())?;
                    }
                }
                kept => {
                    level.wanted |= matches!(kept, Copied::Kept);
                    level.dirs = Some((from, to));
                }
            }
        }
        Ok(())
    }

    /// Source and copy of a directory; `None` when the source is there no more.
    fn open(&self, path: &[u8]) -> Result<Option<(OwnedFd, OwnedFd)>> {
        let Some(from) = open_if_there(self.from.as_fd(), path)? else {
            return Ok(None);
        };
        let place = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
        let to = path::open_dir_beneath(&self.to, place)
            .doing(|| format!("open the copy of `{}`", shown(path)))?;
        Ok(Some((from, to)))
    }

    /// Begins with a directory whose copy has been made.
    fn level(&mut self, path: Vec<u8>, found: Found, cut_off: bool) -> Result<Option<Level>> {
        let what = || format!("read `{}`", shown(&path));
        if path.len() > PATH_MAX {
            let reason =
                format!("the path is longer than the {PATH_MAX} bytes that a program can name");
            return Err(refuse(&path, reason));
        }
        let Some((from, to)) = self.open(&path)? else {
            return Ok(None);
        };
        let stat = meta::stat(&from).doing(what)?;
        let mut wanted = found == Found::Hidden || !self.is_above_hidden(&path);
        let doing = || format!("copy `{}`", shown(&path));
        meta::chown_at(&to, ".", stat.uid, stat.gid).doing(doing)?;
        if found == Found::There && self.over {
            // The upper one's count, and only those.
            for (name, _) in self.xattrs(&to, &path)? {
                xattr::remove(&to, OsStr::from_bytes(&name)).doing(doing)?;
            }
        }
        for (name, value) in self.xattrs(&from, &path)? {
            // It would be inherited by what is made in it.
            if name != attributes::ACL_DEFAULT {
                xattr::set(&to, OsStr::from_bytes(&name), &value).doing(doing)?;
            }
            wanted = true;
        }
        // What overlay itself would not read as a mark is not one; the root lies on nothing that it could hide.
        if !path.is_empty() && (found == Found::Hidden || is_opaque(&from)?) {
            xattr::set(&to, OPAQUE_XATTR, b"y").doing(doing)?;
            wanted = true;
        }
        let cut_off = cut_off || is_opaque(&to)?;
        let mut names = Vec::new();
        let listed = path::open_dir_at(&from, ".").doing(what)?;
        for entry in Entries::new(listed).doing(what)? {
            names.push(entry.doing(what)?.name);
        }
        Ok(Some(Level {
            path,
            stat,
            names: names.into_iter(),
            dirs: Some((from, to)),
            wanted,
            made: found != Found::There,
            cut_off,
        }))
    }

    /// Sets what making things in it has changed, or takes it away again; whether it stays.
    fn finish(&mut self, level: &Level) -> Result<bool> {
        let path = &level.path;
        let what = || format!("copy `{}`", shown(path));
        if !level.wanted && level.made && self.is_as_below(path, &level.stat)? {
            let (dir, name) = split(path);
            let dir = path::dir_handle_beneath(&self.to, dir).doing(what)?;
            path::rmdir_at(&dir, name).doing(what)?;
            return Ok(false);
        }
        if !path.is_empty() {
            self.info.entries += 1;
        }
        let place = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
        let to = path::open_dir_beneath(&self.to, place).doing(what)?;
        meta::chmod(&to, level.stat.mode).doing(what)?;
        if let Some(acl) = self.default_acl(path)? {
            xattr::set(&to, OsStr::from_bytes(attributes::ACL_DEFAULT), &acl).doing(what)?;
        }
        meta::set_mtime(&to, level.stat.mtime).doing(what)?;
        Ok(true)
    }

    /// Copies what is under `name`; of a directory, its name only.
    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
        cut_off: bool,
    ) -> Result<Copied> {
        let what = || format!("copy `{}`", shown(path));
        let Some(handle) = unless_gone(path::open_handle_at(from, name)).doing(what)? else {
            return Ok(Copied::Left);
        };
        let stat = meta::stat(&handle).doing(what)?;
        if stat.is_whiteout() {
            self.make_way(to, name, path, false)?;
            if self.over && (cut_off || self.below(path)?.is_none()) {
                return Ok(Copied::Left);
            }
            path::whiteout_at(to, name).doing(what)?;
            self.info.entries += 1;
            return Ok(Copied::Kept);
        }
        let is_layer = matches!(self.purpose, Purpose::Layer(_));
        if is_layer && name.as_bytes().starts_with(PREFIX) {
            let reason = "a name that begins with `.wh.` would be read as a whiteout; rename it";
            return Err(refuse(path, reason));
        }
        match stat.kind {
            FileKind::Directory => {
                let replaces = self.over && replaces(from, name)?;
                let found = self.make_way(to, name, path, !replaces)?;
                if found != Found::There {
                    // Its own mode comes last: a setgid bit would be inherited by what is made in it.
                    path::mkdir_at(to, name, 0o700).doing(what)?;
                }
                return Ok(Copied::Directory(found));
            }
            FileKind::Regular | FileKind::Symlink | FileKind::Fifo => {}
            FileKind::Socket if !is_layer => {}
            FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice | FileKind::Unknown => {
                self.warnings.add(Loss::Special, path, b"");
                return Ok(Copied::Left);
            }
        }
        // What is looked at may be something else when it is read: nothing is made before it has been.
        let mut opened = None;
        let mut target = OsString::new();
        let stat = match stat.kind {
            FileKind::Regular => {
                let Some(source) = unless_gone(path::open_file_at(from, name)).doing(what)? else {
                    return Ok(Copied::Left);
                };
                let stat = meta::stat(&source).doing(what)?;
                if stat.kind != FileKind::Regular {
                    return Ok(Copied::Left);
                }
                opened = Some(source);
                stat
            }
            FileKind::Symlink => {
                let Some(read) = unless_gone(path::read_link_at(from, name)).doing(what)? else {
                    return Ok(Copied::Left);
                };
                target = read;
                stat
            }
            _ => stat,
        };
        self.make_way(to, name, path, false)?;
        self.info.entries += 1;
        if stat.links > 1 {
            if let Some(first) = self.links.get(&(stat.dev, stat.ino)) {
                self.link(first, to, name, path)?;
                return Ok(Copied::Kept);
            }
            self.links.insert((stat.dev, stat.ino), path.to_vec());
        }
        if let Some(source) = opened {
            self.regular(&source, &stat, to, name, path)?;
            return Ok(Copied::Kept);
        }
        match stat.kind {
            FileKind::Symlink => path::symlink_at(&target, to, name),
            FileKind::Socket => path::mksocket_at(to, name, stat.mode & 0o777),
            _ => path::mkfifo_at(to, name, stat.mode & 0o777),
        }
        .doing(what)?;
        meta::chown_at(to, name, stat.uid, stat.gid).doing(what)?;
        meta::set_mtime_at(to, name, stat.mtime).doing(what)?;
        Ok(Copied::Kept)
    }

    /// Takes away what an earlier tree has left under a name. A directory that is to be `merged` may stay.
    fn make_way(
        &self,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
        merged: bool,
    ) -> Result<Found> {
        if !self.over {
            return Ok(Found::Nothing);
        }
        let Some(stat) = stat_if_there(to, name)? else {
            return Ok(Found::Nothing);
        };
        if stat.kind != FileKind::Directory {
            path::unlink_at(to, name).doing(|| format!("replace `{}`", shown(path)))?;
        } else if merged {
            return Ok(Found::There);
        } else {
            self.trash.discard_at(to, Path::new(name))?;
        }
        Ok(Found::Hidden)
    }

    fn is_hidden(&self, path: &[u8]) -> bool {
        matches!(&self.purpose, Purpose::Layer(hidden) if hidden.is(path))
    }

    fn is_above_hidden(&self, path: &[u8]) -> bool {
        matches!(&self.purpose, Purpose::Layer(hidden) if hidden.is_above(path))
    }

    /// The attributes that are kept.
    fn xattrs(&self, file: &OwnedFd, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        match self.purpose {
            Purpose::Layer(_) => layer_xattrs(file, path),
            Purpose::Snapshot => attributes::all(file, path),
        }
    }

    fn default_acl(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        if matches!(self.purpose, Purpose::Layer(_)) {
            return Ok(None);
        }
        match open_if_there(self.from.as_fd(), path)? {
            Some(from) => attributes::default_acl(&from, path),
            None => Ok(None),
        }
    }

    fn link(&self, first: &[u8], to: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<()> {
        let what = || format!("copy `{}`", shown(path));
        let (dir, target) = split(first);
        let dir = path::dir_handle_beneath(&self.to, dir).doing(what)?;
        path::link_at(&dir, target, to, name).doing(what)
    }

    fn regular(
        &mut self,
        source: &OwnedFd,
        stat: &Stat,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
    ) -> Result<()> {
        let what = || format!("copy `{}`", shown(path));
        let copy = path::create_at(to, name, 0o600).doing(what)?;
        content::copy(source, &copy, stat.size).doing(what)?;
        self.info.bytes += stat.size;
        meta::chown(&copy, stat.uid, stat.gid).doing(what)?;
        // After chown, which takes setuid, setgid and capabilities away.
        meta::chmod(&copy, stat.mode).doing(what)?;
        for (name, value) in self.xattrs(source, path)? {
            xattr::set(&copy, OsStr::from_bytes(&name), &value).doing(what)?;
        }
        meta::set_mtime(&copy, stat.mtime).doing(what)
    }
}

/// Whether a directory hides what is below it.
fn replaces(from: BorrowedFd<'_>, name: &OsStr) -> Result<bool> {
    let opened = unless_gone(path::open_dir_at(from, name));
    match opened.doing(|| format!("open `{}`", name.to_string_lossy()))? {
        Some(dir) => is_opaque(&dir),
        None => Ok(false),
    }
}

/// `None` when a name has gone, or is something else by now.
fn unless_gone<T>(outcome: shedbox_linux::Result<T>) -> shedbox_linux::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        // EINVAL: what was a link is none; ENXIO: what was a file is a socket.
        Err(error)
            if matches!(
                error.errno,
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EINVAL | Errno::ENXIO
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Directory and last name of a path.
pub(crate) fn split(path: &[u8]) -> (&OsStr, &OsStr) {
    let (dir, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b"."[..], path),
    };
    (OsStr::from_bytes(dir), OsStr::from_bytes(name))
}

/// What became of an entry.
enum Copied {
    Kept,
    Left,
    /// Its copy is there; what is in it comes next.
    Directory(Found),
}

/// What was under the name of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Something that is hidden now, whatever else is below it.
    Hidden,
    /// A directory, which is merged.
    There,
}
