//! How much a tree of a sandbox's takes on the disk.
//!
//! The tree belongs to somebody who may do to it what they like while we look: no link is followed, only one directory
//! is open at a time however deep they go, what moves away meanwhile is left out, and what is unlinked but open is looked
//! for at the processes that hold it. Blocks are counted, not sizes: a hole takes no room.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind, Stat};
use shedbox_linux::path;
use shedbox_linux::tree::Entries;

/// Bytes in a unit of `st_blocks`. Source: inode(7).
const BLOCK: u64 = 512;

/// Room that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
}

impl Usage {
    fn add(&mut self, stat: &Stat) {
        self.bytes += stat.blocks * BLOCK;
        self.inodes += 1;
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            inodes: self.inodes + other.inodes,
        }
    }
}

/// A directory on the way down.
struct Level {
    /// Which it is, to know it again on the way up.
    identity: (u64, u64),
    /// Directories in it that are still to be looked at.
    below: Vec<OsString>,
}

/// Counts everything below `top`, itself included; each inode once, and nothing on another file system.
pub(crate) fn of_tree(top: OwnedFd) -> shedbox_linux::Result<Usage> {
    let stat = meta::stat(&top)?;
    let device = stat.dev;
    let mut usage = Usage::default();
    // Only what has several names can come twice.
    let mut seen: HashSet<u64> = HashSet::new();
    usage.add(&stat);
    let mut current = top;
    let mut levels = vec![Level {
        identity: (stat.dev, stat.ino),
        below: list(&current, device, &mut usage, &mut seen)?,
    }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.below.pop() else {
            levels.pop();
            let Some(above) = levels.last() else { break };
            let parent = path::open_dir_at(&current, "..")?;
            let stat = meta::stat(&parent)?;
            if (stat.dev, stat.ino) != above.identity {
                // Moved while we were in it: what is left of the way up is not ours to guess.
                return Ok(usage);
            }
            current = parent;
            continue;
        };
        // Gone, or no directory any more.
        let Ok(dir) = path::open_dir_at(&current, &name) else {
            continue;
        };
        let Ok(stat) = meta::stat(&dir) else { continue };
        if stat.dev != device {
            continue;
        }
        usage.add(&stat);
        let below = list(&dir, device, &mut usage, &mut seen)?;
        levels.push(Level {
            identity: (stat.dev, stat.ino),
            below,
        });
        current = dir;
    }
    Ok(usage)
}

/// Counts what is in a directory, and gives the names of the directories in it.
fn list(
    dir: &OwnedFd,
    device: u64,
    usage: &mut Usage,
    seen: &mut HashSet<u64>,
) -> shedbox_linux::Result<Vec<OsString>> {
    let mut below = Vec::new();
    for entry in Entries::new(path::open_dir_at(dir, ".")?)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.errno == Errno::ENOENT => break, // the directory was removed
            Err(error) => return Err(error),
        };
        let Ok(stat) = meta::stat_at(dir, &entry.name) else {
            continue; // gone meanwhile
        };
        if stat.kind == FileKind::Directory {
            below.push(entry.name);
        } else if stat.dev == device && (stat.links < 2 || seen.insert(stat.ino)) {
            usage.add(&stat);
        }
    }
    Ok(below)
}

/// Files that have no name any more and are held open by a process, by the `/proc` of the processes concerned. A
/// process that ends meanwhile is left out, and so is what cannot be looked at.
pub(crate) fn of_held(proc: &OwnedFd) -> Usage {
    let mut usage = Usage::default();
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    for process in names(proc).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        // `map_files` has what is mapped and was closed; `fd` has what is open.
        for list in ["fd", "map_files"] {
            let Ok(dir) = path::open_dir_beneath(proc, format!("{process}/{list}")) else {
                continue;
            };
            for name in names(&dir) {
                let held = shedbox_linux::disk::held_file(&dir, &name);
                if let Ok(Some(stat)) = held
                    && seen.insert((stat.dev, stat.ino))
                {
                    usage.add(&stat);
                }
            }
        }
    }
    usage
}

fn names(dir: &OwnedFd) -> impl Iterator<Item = String> + use<> {
    path::open_dir_at(dir, ".")
        .and_then(Entries::new)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.name.into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::path::Path;

    fn usage(dir: &Path) -> Usage {
        of_tree(path::open_dir(dir).unwrap()).unwrap()
    }

    #[test]
    fn blocks_count_and_holes_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let empty = usage(dir.path());
        assert_eq!(empty.inodes, 1);
        std::fs::write(dir.path().join("full"), vec![1; 1 << 20]).unwrap();
        let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        std::fs::hard_link(dir.path().join("full"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let found = usage(dir.path());
        assert_eq!(found.inodes, 4);
        let grown = found.bytes - empty.bytes;
        assert!(((1 << 20)..(2 << 20)).contains(&grown), "{grown}");
    }

    #[test]
    fn a_deep_tree_takes_no_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let mut current = path::open_dir(dir.path()).unwrap();
        for _ in 0..3000 {
            path::mkdir_at(&current, "d", 0o700).unwrap();
            current = path::open_dir_at(&current, "d").unwrap();
        }
        path::touch_at(&current, "bottom", 0o600).unwrap();
        assert_eq!(usage(dir.path()).inodes, 3002);
        // Deeper than a path can name: taken away as sandboxes' trees are.
        let top = path::open_dir(dir.path()).unwrap();
        let mut count = 0;
        let mut fresh = || {
            count += 1;
            OsString::from(format!("moved{count}"))
        };
        let mut go_on = || std::ops::ControlFlow::Continue(());
        while let Some(entry) = Entries::new(path::open_dir(dir.path()).unwrap())
            .unwrap()
            .next()
        {
            shedbox_linux::tree::remove(top.as_fd(), &entry.unwrap().name, &mut fresh, &mut go_on)
                .unwrap();
        }
    }
}
