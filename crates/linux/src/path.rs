//! Names beneath directory descriptors: resolve, create, rename, link, remove.
//!
//! Nothing here follows a symbolic link unless its name says so. Names are single components except where a function
//! says "path". Kernel 5.6 (openat2); below it [`open_dir_beneath`] and [`open_dir_in_root`] fail with ENOSYS.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno as RawErrno;

use crate::errno::{Context, Errno, Error, Result};

/// The current directory, for functions that take a directory and a path.
pub const CURRENT: BorrowedFd<'static> = CWD;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

fn show(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().to_string_lossy();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// Opens a directory by path, links followed: for trusted paths such as the data directory.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()).call("open", || show(path))
}

/// A handle (`O_PATH`) to what an absolute path names without a symbolic link anywhere on the way.
///
/// Source: openat2(2) with `RESOLVE_NO_SYMLINKS`; a link gives ELOOP.
pub fn handle_without_links(path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .call("openat2", || format!("{path}, no symbolic links"))
}

/// Opens a directory by name.
///
/// Source: openat(2) with `O_DIRECTORY|O_NOFOLLOW`; a symbolic link gives ENOTDIR or ELOOP.
pub fn open_dir_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    rustix::fs::openat(dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        .call("openat", || show(name))
}

/// Whether this process could open what is at `path` for reading or for writing; `None` when nothing is there.
///
/// Source: access(2), which takes the capabilities of a root process of this user namespace into account.
pub fn may_open(path: &str) -> Result<Option<bool>> {
    use rustix::fs::{Access, access};
    for wanted in [Access::READ_OK, Access::WRITE_OK] {
        match access(path, wanted) {
            Ok(()) => return Ok(Some(true)),
            Err(RawErrno::NOENT) => return Ok(None),
            // A read-only mount refuses writing with EROFS whoever asks.
            Err(RawErrno::ACCESS | RawErrno::PERM | RawErrno::ROFS) => {}
            Err(errno) => return Err(errno).call("access", || show(path)),
        }
    }
    Ok(Some(false))
}

/// A handle to whatever has this name, not opened for reading or writing (`O_PATH`).
pub fn open_handle_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).call("openat", || show(name))
}

/// A handle (`O_PATH`) to a directory by name: enough to resolve names in it, cheaper than opening it.
pub fn dir_handle_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).call("openat", || show(name))
}

/// Opens a file for reading by name; never blocks on a FIFO, never becomes a controlling terminal.
pub fn open_file_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).call("openat", || show(name))
}

/// Opens an existing file for writing by name; a link is refused.
pub fn open_for_writing_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags =
        OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).call("openat", || show(name))
}

/// Makes an empty regular file without opening it: a mount point. Fails with EEXIST.
pub fn touch_at(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::mknodat(
        dir,
        name,
        FileType::RegularFile,
        Mode::from_raw_mode(mode),
        0,
    )
    .call("mknodat", || show(name))
}

/// Opens or makes a regular file for appending; a link at `name` is refused.
pub fn append_at(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode)).call("openat", || show(name))
}

/// Creates a regular file for writing; EEXIST when anything has that name. The umask applies to `mode`.
pub fn create_at(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<OwnedFd> {
    let name = name.as_ref();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode)).call("openat", || show(name))
}

/// Opens the directory at a path beneath `dir`, through directories only: no symbolic link, no `..` above `dir`.
///
/// Source: openat2(2), `RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS`. A link on the way gives ELOOP, a way out EXDEV.
pub fn open_dir_beneath(dir: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    resolve(dir, path.as_ref(), DIRECTORY, how)
}

/// A handle (`O_PATH`) to the directory at a path beneath `dir`, as [`open_dir_beneath`] resolves it.
pub fn dir_handle_beneath(dir: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    resolve(dir, path.as_ref(), flags, how)
}

/// Opens the directory at a path, symbolic links followed as a process whose root is `root` would: absolute links and
/// `..` stay inside.
///
/// Source: openat2(2), `RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS`.
pub fn open_dir_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    resolve(root, path.as_ref(), DIRECTORY, how)
}

/// A handle (`O_PATH`) to the directory at a path inside `root`, links followed as [`open_dir_in_root`] does.
pub fn dir_handle_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    resolve(root, path.as_ref(), flags, how)
}

/// A handle (`O_PATH`) to whatever is at a path inside `root`, links followed as [`open_dir_in_root`] does.
pub fn handle_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    resolve(root, path.as_ref(), OFlags::PATH | OFlags::CLOEXEC, how)
}

/// Opens a file for reading at a path inside `root`, links followed as [`open_dir_in_root`] does.
pub fn open_file_in_root(root: impl AsFd, path: impl AsRef<Path>) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    resolve(root, path.as_ref(), flags, how)
}

fn resolve(dir: impl AsFd, path: &Path, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd> {
    // The kernel answers EAGAIN when something was renamed while it resolved `..`; it says to try again.
    for _ in 0..64 {
        match rustix::fs::openat2(&dir, path, flags, Mode::empty(), how) {
            Err(RawErrno::AGAIN | RawErrno::INTR) => {}
            done => return done.call("openat2", || show(path)),
        }
    }
    Err(Error::new("openat2", show(path), Errno::EAGAIN))
}

/// Makes a directory. The umask applies to `mode`.
pub fn mkdir_at(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)).call("mkdirat", || show(name))
}

/// Makes a symbolic link with any target.
pub fn symlink_at(target: impl AsRef<Path>, dir: impl AsFd, name: impl AsRef<Path>) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::symlinkat(target.as_ref(), dir, name).call("symlinkat", || show(name))
}

/// The target of a symbolic link.
pub fn read_link_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<OsString> {
    let name = name.as_ref();
    rustix::fs::readlinkat(dir, name, Vec::new())
        .call("readlinkat", || show(name))
        .map(|target| OsString::from_vec(target.into_bytes()))
}

/// Gives a file a second name. A symbolic link is linked itself, not its target.
pub fn link_at(
    old_dir: impl AsFd,
    old: impl AsRef<Path>,
    new_dir: impl AsFd,
    new: impl AsRef<Path>,
) -> Result<()> {
    let (old, new) = (old.as_ref(), new.as_ref());
    rustix::fs::linkat(old_dir, old, new_dir, new, AtFlags::empty())
        .call("linkat", || format!("{} -> {}", show(new), show(old)))
}

/// Makes a FIFO. The umask applies to `mode`.
pub fn mkfifo_at(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::mknodat(dir, name, FileType::Fifo, Mode::from_raw_mode(mode), 0)
        .call("mknodat", || show(name))
}

/// Makes the file of a socket that nobody listens at. The umask applies to `mode`.
pub fn mksocket_at(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::mknodat(dir, name, FileType::Socket, Mode::from_raw_mode(mode), 0)
        .call("mknodat", || show(name))
}

/// Makes a character device 0:0: overlay's whiteout, and the one device that a user namespace may make (Linux 5.8).
pub fn whiteout_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0)
        .call("mknodat", || format!("{}, char 0:0", show(name)))
}

/// Removes a name that is not a directory.
pub fn unlink_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::unlinkat(dir, name, AtFlags::empty()).call("unlinkat", || show(name))
}

/// Removes an empty directory.
pub fn rmdir_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<()> {
    let name = name.as_ref();
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).call("rmdir", || show(name))
}

/// What a rename does with a name that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    /// Replace it: rename(2).
    Replace,
    /// Fail with EEXIST. Linux 3.15; EINVAL on file systems that cannot.
    NoReplace,
    /// Exchange the two. Linux 3.15; EINVAL on file systems that cannot.
    Exchange,
}

/// Renames; both paths are resolved from their directories as rename(2) does, the last component is never followed.
///
/// Source: renameat2(2).
pub fn rename_at(
    old_dir: impl AsFd,
    old: impl AsRef<Path>,
    new_dir: impl AsFd,
    new: impl AsRef<Path>,
    how: Rename,
) -> Result<()> {
    let (old, new) = (old.as_ref(), new.as_ref());
    let flags = match how {
        Rename::Replace => RenameFlags::empty(),
        Rename::NoReplace => RenameFlags::NOREPLACE,
        Rename::Exchange => RenameFlags::EXCHANGE,
    };
    rustix::fs::renameat_with(old_dir, old, new_dir, new, flags)
        .call("renameat2", || format!("{} -> {}", show(old), show(new)))
}

/// Gives the calling thread its own umask, and sets it to zero: what it creates from now on has exactly the mode it
/// asks for. Its working directory becomes its own, too. For threads that create files and then end.
///
/// Source: unshare(2) `CLONE_FS`; needs no privilege.
pub fn private_zero_umask() -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).call("unshare", || "CLONE_FS".into())?;
    rustix::process::umask(Mode::empty());
    Ok(())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
