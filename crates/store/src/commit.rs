//! An upperdir becomes a layer.
//!
//! 1. what the sandbox has changed is copied into `ingest/<name>/diff`, in overlay's own form: the sandbox may have to
//!    stand still for this part alone    2. the copy is packed, into nothing: that gives its diff id    3. one rename
//!
//! The copy goes from directory to directory instead of through a tar stream, so that file systems that can share
//! blocks do; and as nobody writes to it any more, the digest is that of what was kept, even when the sandbox ran on.
//! [`pack_layer`] gives the same bytes each time, so `save` and `push` find the layer unchanged under its diff id.
//!
//! The upperdir was written by a sandbox and may be changing: it is walked on descriptors, no link is followed, and what
//! vanishes meanwhile is not kept.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_linux::tree::Entries;
use shedbox_linux::{content, path, xattr};
use shedbox_spec::Digest;

use crate::diff::{Below, PATH_MAX, is_opaque, join, look_below, open_if_there};
use crate::entry::{refuse, shown};
use crate::error::Doing;
use crate::hidden::Hidden;
use crate::layer::{Ingest, LayerInfo};
use crate::pack::{pack_layer, xattrs};
use crate::warnings::{Loss, Warnings};
use crate::whiteout::{OPAQUE_XATTR, PREFIX};
use crate::{PinGuard, Result, Store, StoreError};

/// A layer that was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedLayer {
    /// Digest of the layer as tar: its key.
    pub diff_id: Digest,
    /// Length of that tar stream.
    pub tar_bytes: u64,
    /// Bytes of file content.
    pub unpacked_bytes: u64,
    /// Files, directories, links and whiteouts.
    pub entries: u64,
}

/// What a sandbox has changed, copied and not yet a layer. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct UpperCopy<'s> {
    store: &'s Store,
    ingest: Ingest,
    info: LayerInfo,
    warnings: Vec<String>,
}

impl Store {
    /// Copies what `upper` changes of `lowers` (uppermost first). Paths in `ignore` (absolute, as inside) are our own mount
    /// points and left out, with directories that exist or changed for their sake only. Sockets and device nodes are
    /// left out with a warning.
    pub fn copy_upper(
        &self,
        upper: &Path,
        lowers: &[PathBuf],
        ignore: &[String],
    ) -> Result<UpperCopy<'_>> {
        let open = |dir: &Path| path::open_dir(dir).doing(|| format!("open `{}`", dir.display()));
        let ingest = Ingest::create(self)?;
        let mut copier = Copier {
            from: open(upper)?,
            to: open(&ingest.path.join("diff"))?,
            lowers: lowers.iter().map(|dir| open(dir)).collect::<Result<_>>()?,
            hidden: Hidden::new(ignore),
            links: HashMap::new(),
            info: LayerInfo::default(),
            warnings: Warnings::default(),
        };
        let outcome = std::thread::scope(|scope| {
            let copier = &mut copier;
            let work = move || {
                // Modes are as the sandbox set them, whatever the daemon's umask is; this thread ends with the copy.
                path::private_zero_umask().doing(|| "leave the umask".to_owned())?;
                copier.run()
            };
            std::thread::Builder::new()
                .name("commit".to_owned())
                .spawn_scoped(scope, work)
                .doing(|| "start a thread".to_owned())?
                .join()
                .unwrap_or_else(|_| {
                    tracing::error!("the copying thread has panicked");
                    Err(StoreError::Aborted)
                })
        });
        outcome?;
        Ok(UpperCopy {
            store: self,
            ingest,
            info: copier.info,
            warnings: copier.warnings.lines(),
        })
    }
}

impl UpperCopy<'_> {
    /// Whether the sandbox has changed nothing: there is no layer to make.
    pub fn is_empty(&self) -> bool {
        self.info.entries == 0
    }

    /// What could not be kept, for people: once per cause.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Makes it a layer, which stays at least for as long as the guard lives. Equal layers may be made at once: one
    /// wins, the others are dropped.
    pub fn into_layer(self) -> Result<(CommittedLayer, PinGuard)> {
        let packed = pack_layer(&self.ingest.path.join("diff"), &mut std::io::sink())?;
        let layer = CommittedLayer {
            diff_id: packed.diff_id,
            tar_bytes: packed.bytes,
            unpacked_bytes: self.info.bytes,
            entries: self.info.entries,
        };
        // Before it is visible: no prune can come in between.
        let pin = self.store.pin(vec![layer.diff_id.clone()]);
        self.store.commit(self.ingest, &layer.diff_id, self.info)?;
        Ok((layer, pin))
    }
}

struct Copier {
    from: OwnedFd,
    to: OwnedFd,
    lowers: Vec<OwnedFd>,
    hidden: Hidden,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    info: LayerInfo,
    warnings: Warnings,
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
}

impl Copier {
    fn run(&mut self) -> Result<()> {
        let Some(root) = self.level(Vec::new())? else {
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
            if self.hidden.is(&path) {
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
            match self.entry(from.as_fd(), to.as_fd(), &name, &path)? {
                Copied::Directory => {
                    if let Some(below) = self.level(path)? {
                        levels.push(below);
                    } else {
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
    fn level(&mut self, path: Vec<u8>) -> Result<Option<Level>> {
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
        let mut wanted = !self.hidden.is_above(&path);
        let doing = || format!("copy `{}`", shown(&path));
        meta::chown_at(&to, ".", stat.uid, stat.gid).doing(doing)?;
        for (name, value) in xattrs(&from, &path)? {
            xattr::set(&to, OsStr::from_bytes(&name), &value).doing(doing)?;
            wanted = true;
        }
        // What overlay itself would not read as a mark is not one; the root lies on nothing that it could hide.
        if !path.is_empty() && is_opaque(&from)? {
            xattr::set(&to, OPAQUE_XATTR, b"y").doing(doing)?;
            wanted = true;
        }
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
        }))
    }

    /// Sets what making things in it has changed, or takes it away again; whether it stays.
    fn finish(&mut self, level: &Level) -> Result<bool> {
        let path = &level.path;
        let what = || format!("copy `{}`", shown(path));
        if !level.wanted && !path.is_empty() && self.is_as_below(path, &level.stat)? {
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
        meta::set_mtime(&to, level.stat.mtime).doing(what)?;
        Ok(true)
    }

    /// Whether a directory without anything in it adds nothing to what is below: it was made, or copied up, for a mount
    /// point of ours.
    fn is_as_below(&self, path: &[u8], stat: &Stat) -> Result<bool> {
        let what = || format!("open `{}` in a layer", shown(path));
        let mut below: Vec<(usize, OwnedFd)> = Vec::with_capacity(self.lowers.len());
        for (index, lower) in self.lowers.iter().enumerate() {
            below.push((index, path::open_dir_at(lower, ".").doing(what)?));
        }
        let mut found: Option<Below> = None;
        for name in path.split(|byte| *byte == b'/') {
            let name = OsStr::from_bytes(name);
            let Some(next) = look_below(&below, name)? else {
                return Ok(true);
            };
            let mut merged = Vec::with_capacity(next.merged.len());
            for (index, dir) in below
                .iter()
                .filter(|(index, _)| next.merged.contains(index))
            {
                merged.push((*index, path::open_dir_at(dir, name).doing(what)?));
            }
            below = merged;
            found = Some(next);
        }
        Ok(found.is_none_or(|found| {
            found.stat.kind == FileKind::Directory
                && (found.stat.mode, found.stat.uid, found.stat.gid)
                    == (stat.mode, stat.uid, stat.gid)
        }))
    }

    /// Copies what is under `name`; of a directory, its name only.
    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
    ) -> Result<Copied> {
        let what = || format!("copy `{}`", shown(path));
        let Some(handle) = unless_gone(path::open_handle_at(from, name)).doing(what)? else {
            return Ok(Copied::Left);
        };
        let stat = meta::stat(&handle).doing(what)?;
        if stat.is_whiteout() {
            path::whiteout_at(to, name).doing(what)?;
            self.info.entries += 1;
            return Ok(Copied::Kept);
        }
        if name.as_bytes().starts_with(PREFIX) {
            let reason = "a name that begins with `.wh.` would be read as a whiteout; rename it";
            return Err(refuse(path, reason));
        }
        match stat.kind {
            FileKind::Directory => {
                // Its own mode comes last: a setgid bit would be inherited by what is made in it.
                path::mkdir_at(to, name, 0o700).doing(what)?;
                return Ok(Copied::Directory);
            }
            FileKind::Regular | FileKind::Symlink | FileKind::Fifo => {}
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
        if stat.kind == FileKind::Symlink {
            path::symlink_at(&target, to, name).doing(what)?;
        } else {
            path::mkfifo_at(to, name, stat.mode & 0o777).doing(what)?;
        }
        meta::chown_at(to, name, stat.uid, stat.gid).doing(what)?;
        meta::set_mtime_at(to, name, stat.mtime).doing(what)?;
        Ok(Copied::Kept)
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
        for (name, value) in xattrs(source, path)? {
            xattr::set(&copy, OsStr::from_bytes(&name), &value).doing(what)?;
        }
        meta::set_mtime(&copy, stat.mtime).doing(what)
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
    /// Its copy was made; what is in it comes next.
    Directory,
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
