//! File systems as a whole: room, and what has reached the disk.

use std::os::fd::AsFd;

use crate::errno::{Context, Result};
use crate::meta::{self, FileKind, Stat};

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that an unprivileged user may still take.
    pub free_bytes: u64,
    /// Inodes in all; 0 on file systems that make them as needed (btrfs).
    pub total_inodes: u64,
    /// Inodes that an unprivileged user may still take.
    pub free_inodes: u64,
    /// Mounted read-only.
    pub read_only: bool,
}

/// Room on the file system that a file is on. Source: fstatvfs(3).
pub fn room(fd: impl AsFd) -> Result<Room> {
    let stat = rustix::fs::fstatvfs(fd).call("fstatvfs", String::new)?;
    Ok(Room {
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_inodes: stat.f_files,
        free_inodes: stat.f_favail,
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// What a link of `/proc/<pid>/fd` or `map_files` leads to, when that is a regular file of an overlay which has no name
/// any more; `None` for everything else. The link is followed by the kernel to the open file itself, not to a path.
///
/// Source: proc_pid_fd(5), statfs(2) `OVERLAYFS_SUPER_MAGIC`.
pub fn held_file(dir: impl AsFd, name: &str) -> Result<Option<Stat>> {
    const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())
        .call("openat", || name.to_owned())?;
    let stat = meta::stat(&file)?;
    if stat.links != 0 || stat.kind != FileKind::Regular {
        return Ok(None);
    }
    let system = rustix::fs::fstatfs(&file).call("fstatfs", || name.to_owned())?;
    #[allow(clippy::unnecessary_cast, reason = "the type differs by target")]
    let overlay = system.f_type as u64 == OVERLAYFS_SUPER_MAGIC;
    Ok(overlay.then_some(stat))
}

/// Writes everything that is dirty on the file system of `fd` to the disk and waits for it. Since Linux 5.8 it reports
/// an error of the writing. Source: syncfs(2).
pub fn sync_file_system(fd: impl AsFd) -> Result<()> {
    rustix::fs::syncfs(fd).call("syncfs", String::new)
}

/// Lets the calling thread give way to others on the processor, and with it (priorities derive from niceness) on the
/// disk. For deletion and other work that nobody waits for. Source: setpriority(2), per thread on Linux.
pub fn background_thread() -> Result<()> {
    rustix::process::setpriority_process(None, 10).call("setpriority", || "10".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path;

    #[test]
    fn room_and_sync() {
        let dir = tempfile::tempdir().unwrap();
        let fd = path::open_dir(dir.path()).unwrap();
        let room = room(&fd).unwrap();
        assert!(room.total_bytes >= room.free_bytes && room.free_bytes > 0);
        assert!(!room.read_only);
        sync_file_system(&fd).unwrap();
    }
}
