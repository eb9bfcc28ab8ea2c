//! Paths inside a root: resolved by the kernel so that no symbolic link leads out. Source: openat2(2).

use std::os::fd::{AsFd, OwnedFd};

pub use rustix::fs::OFlags;
use rustix::fs::{self, CWD, Mode, ResolveFlags};

use crate::errno::{Context, Result};

/// What to make where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An empty directory, mode 0755.
    Directory,
    /// An empty file, mode 0644.
    File,
}

/// An O_PATH descriptor of this process's root directory.
pub fn open_root() -> Result<OwnedFd> {
    fs::openat(
        CWD,
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .call("open", || "/".into())
}

/// An O_PATH descriptor of `path` below `root`; `None` when there is nothing. Linux 5.6.
pub fn open(root: impl AsFd, path: &str) -> Result<Option<OwnedFd>> {
    match open_with(root, path, OFlags::PATH) {
        Err(error) if error.errno == crate::errno::Errno::ENOENT => Ok(None),
        other => other.map(Some),
    }
}

/// Opens `path` below `root` with `flags`.
pub fn open_with(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match fs::openat2(
            root.as_fd(),
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            how,
        ) {
            // A rename elsewhere made the kernel doubt its walk; it asks to be called again.
            Err(rustix::io::Errno::AGAIN) => {}
            other => return other.call("openat2", || path.to_owned()),
        }
    }
}

/// Makes `name` in the directory `parent` below `root`; one that is there already is no error.
pub fn make(root: impl AsFd, parent: &str, name: &str, kind: Kind) -> Result<()> {
    let dir = open_with(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let made = match kind {
        Kind::Directory => fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)),
        Kind::File => fs::mknodat(
            &dir,
            name,
            fs::FileType::RegularFile,
            Mode::from_raw_mode(0o644),
            0,
        ),
    };
    match made {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other.call("mkdirat", || format!("{parent}{name}")),
    }
}

/// Reads a small regular file below `root`, at most `limit` bytes: anything else (a FIFO that would block, a device, a
/// file that never ends) is refused with EINVAL or EFBIG. `None` when there is nothing.
pub fn read_small(root: impl AsFd, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
    use crate::errno::{Errno, Error};
    let fd = match open_with(
        root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    ) {
        Err(error) if error.errno == Errno::ENOENT => return Ok(None),
        other => other?,
    };
    let stat = fs::fstat(&fd).call("fstat", || path.to_owned())?;
    if !fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Error::new(
            "read",
            format!("{path}: not a regular file"),
            Errno::EINVAL,
        ));
    }
    let mut bytes = Vec::with_capacity((stat.st_size as usize).min(limit) + 1);
    let mut chunk = [0u8; 4096];
    loop {
        let count = crate::fd::read(&fd, &mut chunk)?;
        if count == 0 {
            return Ok(Some(bytes));
        }
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > limit {
            return Err(Error::new(
                "read",
                format!("{path}: more than {limit} bytes"),
                Errno::EFBIG,
            ));
        }
    }
}
