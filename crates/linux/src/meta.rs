//! Metadata of files: stat, owner, mode, times, size.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid};

use crate::errno::{Context, Result};

/// What kind of file a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "inode(7) explains them")]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
    /// The file system's directory entries do not say.
    Unknown,
}

impl FileKind {
    pub(crate) fn from_rustix(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Unknown => Self::Unknown,
        }
    }

    /// The file type part of `st_mode`. Source: inode(7).
    pub fn mode_bits(self) -> u32 {
        match self {
            Self::Regular => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
            Self::CharDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Unknown => 0,
        }
    }
}

/// A point in time as inodes have it, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after them, below 10⁹.
    pub nanos: u32,
}

/// The fields of stat(2) that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Type.
    pub kind: FileKind,
    /// Permission bits, setuid, setgid and sticky included: 07777.
    pub mode: u32,
    /// Owner as this user namespace sees it (65534 when unmapped).
    pub uid: u32,
    /// Group, likewise.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Allocated units of 512 bytes.
    pub blocks: u64,
    /// Hard links.
    pub links: u64,
    /// Device of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Device number of a device node, 0 for 0:0.
    pub rdev: u64,
    /// Last modification of the content.
    pub mtime: Timestamp,
}

impl Stat {
    /// Whether it is overlay's whiteout: a character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileKind::CharDevice && self.rdev == 0
    }

    fn from_rustix(stat: &rustix::fs::Stat) -> Self {
        Self {
            kind: FileKind::from_rustix(FileType::from_raw_mode(stat.st_mode)),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            #[allow(clippy::useless_conversion, reason = "u32 on aarch64")]
            links: u64::from(stat.st_nlink),
            dev: stat.st_dev,
            ino: stat.st_ino,
            rdev: stat.st_rdev,
            mtime: Timestamp {
                #[allow(clippy::unnecessary_cast, reason = "the types differ by target")]
                seconds: stat.st_mtime as i64,
                nanos: stat.st_mtime_nsec as u32,
            },
        }
    }
}

/// Metadata of an open file. Source: fstat(2).
pub fn stat(fd: impl AsFd) -> Result<Stat> {
    rustix::fs::fstat(fd)
        .call("fstat", String::new)
        .map(|stat| Stat::from_rustix(&stat))
}

/// Metadata of a name; a link is not followed. Source: fstatat(2) `AT_SYMLINK_NOFOLLOW`.
pub fn stat_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<Stat> {
    let name = name.as_ref();
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .call("fstatat", || name.to_string_lossy().into_owned())
        .map(|stat| Stat::from_rustix(&stat))
}

/// The number of the mount that a name is on, which tells a mount point from the directory it lies in; a link is not
/// followed. Source: statx(2) `STATX_MNT_ID`, Linux 5.8.
pub fn mount_id_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<u64> {
    let name = name.as_ref();
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, rustix::fs::StatxFlags::MNT_ID)
        .call("statx", || name.to_string_lossy().into_owned())
        .map(|found| found.stx_mnt_id)
}

/// Sets owner and group of a name; a link is not followed. Clears setuid and setgid of regular files.
///
/// Ids outside the user namespace's map give EINVAL. Source: fchownat(2).
pub fn chown_at(dir: impl AsFd, name: impl AsRef<Path>, uid: u32, gid: u32) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::chownat(
        dir,
        name,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .call("fchownat", || {
        format!("{}, {uid}:{gid}", name.to_string_lossy())
    })
}

/// Sets owner and group of an open file. Source: fchown(2).
pub fn chown(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .call("fchown", || format!("{uid}:{gid}"))
}

/// Sets the permission bits of an open file. Source: fchmod(2).
pub fn chmod(fd: impl AsFd, mode: u32) -> Result<()> {
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).call("fchmod", || format!("{mode:o}"))
}

/// Sets the permission bits of a file of which we hold an `O_PATH` handle, on which fchmod(2) gives EBADF.
///
/// Through `/proc/self/fd`, so that no name is resolved again: fchmodat2(2) is only in Linux 6.6.
pub fn chmod_handle(handle: impl AsFd, mode: u32) -> Result<()> {
    let path = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
    rustix::fs::chmodat(
        rustix::fs::CWD,
        path.as_str(),
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
    )
    .call("fchmodat", || format!("{path}, {mode:o}"))
}

fn only_mtime(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanos.into(),
        },
    }
}

/// Sets the modification time of an open file and leaves its access time. Source: futimens(3).
pub fn set_mtime(fd: impl AsFd, mtime: Timestamp) -> Result<()> {
    rustix::fs::futimens(fd, &only_mtime(mtime)).call("futimens", || format!("{mtime:?}"))
}

/// Sets the modification time of a name; a link is not followed. Source: utimensat(2).
pub fn set_mtime_at(dir: impl AsFd, name: impl AsRef<Path>, mtime: Timestamp) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::utimensat(dir, name, &only_mtime(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .call("utimensat", || name.to_string_lossy().into_owned())
}

/// Sets the size of an open file. Source: ftruncate(2).
pub fn set_len(fd: impl AsFd, bytes: u64) -> Result<()> {
    rustix::fs::ftruncate(fd, bytes).call("ftruncate", || bytes.to_string())
}

/// Writes once at an offset; may write less than asked. EINTR is tried again. Source: pwrite(2).
pub fn write_at(fd: impl AsFd, bytes: &[u8], offset: u64) -> Result<usize> {
    loop {
        match rustix::io::pwrite(&fd, bytes, offset) {
            Err(rustix::io::Errno::INTR) => {}
            done => {
                return done.call("pwrite64", || format!("{} bytes at {offset}", bytes.len()));
            }
        }
    }
}

/// Writes all of `bytes` from `offset` on.
pub fn write_all_at(fd: impl AsFd, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = write_at(&fd, bytes, offset)?;
        if written == 0 {
            return Err(crate::Error::new(
                "pwrite64",
                "nothing written",
                crate::errno::Errno::EIO,
            ));
        }
        offset += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path;

    #[test]
    fn mounts_are_told_apart() {
        let root = path::open_dir(Path::new("/")).unwrap();
        let own = mount_id_at(&root, ".").unwrap();
        assert_eq!(mount_id_at(&root, "..").unwrap(), own);
        assert_ne!(mount_id_at(&root, "proc").unwrap(), own);
    }

    #[test]
    fn what_is_set_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let fd = path::open_dir(dir.path()).unwrap();
        let file = path::create_at(&fd, "f", 0o600).unwrap();
        write_all_at(&file, b"hello", 3).unwrap();
        set_len(&file, 6).unwrap();
        chmod(&file, 0o4711).unwrap();
        let mtime = Timestamp {
            seconds: 1_700_000_000,
            nanos: 123_456_789,
        };
        set_mtime(&file, mtime).unwrap();
        let stat = stat_at(&fd, "f").unwrap();
        assert_eq!(stat.kind, FileKind::Regular);
        assert_eq!(
            (stat.mode, stat.size, stat.links, stat.mtime),
            (0o4711, 6, 1, mtime)
        );
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"\0\0\0hel");
    }

    #[test]
    fn a_link_itself_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let fd = path::open_dir(dir.path()).unwrap();
        path::symlink_at("/nowhere", &fd, "l").unwrap();
        let mtime = Timestamp {
            seconds: -5,
            nanos: 0,
        };
        set_mtime_at(&fd, "l", mtime).unwrap();
        let stat = stat_at(&fd, "l").unwrap();
        assert_eq!((stat.kind, stat.mtime), (FileKind::Symlink, mtime));
    }

    #[test]
    fn modes_change_through_a_handle() {
        let dir = tempfile::tempdir().unwrap();
        let fd = path::open_dir(dir.path()).unwrap();
        path::mkdir_at(&fd, "d", 0o700).unwrap();
        let handle = path::open_handle_at(&fd, "d").unwrap();
        chmod_handle(&handle, 0).unwrap();
        assert_eq!(stat_at(&fd, "d").unwrap().mode, 0);
    }
}
