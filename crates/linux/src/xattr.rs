//! Extended attributes of open files.
//!
//! The f*xattr calls refuse `O_PATH` handles (EBADF); [`set`] and the others then go through `/proc/self/fd`, which
//! reaches the very same inode, links and FIFOs included, without resolving a name.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::XattrFlags;
use rustix::io::Errno as RawErrno;

use crate::errno::{Context, Errno, Result};

/// Largest value of one attribute: `XATTR_SIZE_MAX`, xattr(7). File systems may have less (ext4: one block).
pub const MAX_VALUE: usize = 65536;
/// Longest name with its prefix: `XATTR_NAME_MAX`.
pub const MAX_NAME: usize = 255;

fn proc_path(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Creates or replaces an attribute. Source: fsetxattr(2).
///
/// EPERM: the kernel does not let this user namespace, or this kind of file, have it. EOPNOTSUPP: the file system does
/// not. ENOSPC, E2BIG or ERANGE: too large for one inode.
pub fn set(fd: impl AsFd, name: impl AsRef<OsStr>, value: &[u8]) -> Result<()> {
    let name = name.as_ref();
    match rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty()) {
        Err(RawErrno::BADF) => {
            rustix::fs::setxattr(proc_path(&fd).as_str(), name, value, XattrFlags::empty())
        }
        done => done,
    }
    .call("fsetxattr", || {
        format!("{}, {} bytes", name.to_string_lossy(), value.len())
    })
}

/// The value of an attribute; `None` when the file has none of that name, or its file system has no attributes.
/// Source: fgetxattr(2).
pub fn get(fd: impl AsFd, name: impl AsRef<OsStr>) -> Result<Option<Vec<u8>>> {
    let name = name.as_ref();
    // Most values are short; the kernel says ERANGE when one is not.
    for size in [256, MAX_VALUE] {
        let mut value = vec![0; size];
        let read = match rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
            Err(RawErrno::BADF) => {
                rustix::fs::getxattr(proc_path(&fd).as_str(), name, &mut value[..])
            }
            done => done,
        };
        match read {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(RawErrno::NODATA | RawErrno::OPNOTSUPP) => return Ok(None),
            Err(RawErrno::RANGE) if size < MAX_VALUE => {}
            Err(errno) => {
                return Err(errno).call("fgetxattr", || name.to_string_lossy().into_owned());
            }
        }
    }
    Err(Errno::ERANGE).call("fgetxattr", || name.to_string_lossy().into_owned())
}

/// The names of all attributes, sorted. Source: flistxattr(2).
pub fn list(fd: impl AsFd) -> Result<Vec<OsString>> {
    let mut size = 1024;
    loop {
        let mut names = vec![0_u8; size];
        let read = match rustix::fs::flistxattr(&fd, &mut names[..]) {
            Err(RawErrno::BADF) => rustix::fs::listxattr(proc_path(&fd).as_str(), &mut names[..]),
            done => done,
        };
        match read {
            Ok(length) => {
                names.truncate(length);
                let mut names: Vec<OsString> = names
                    .split(|byte| *byte == 0)
                    .filter(|name| !name.is_empty())
                    .map(|name| OsString::from_vec(name.to_vec()))
                    .collect();
                names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
                return Ok(names);
            }
            Err(RawErrno::OPNOTSUPP) => return Ok(Vec::new()),
            // XATTR_LIST_MAX is 64 KiB.
            Err(RawErrno::RANGE) if size < MAX_VALUE => size = MAX_VALUE,
            Err(errno) => return Err(errno).call("flistxattr", String::new),
        }
    }
}

/// Removes an attribute; one that is not there is no failure. Source: fremovexattr(2).
pub fn remove(fd: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    let done = match rustix::fs::fremovexattr(&fd, name) {
        Err(RawErrno::BADF) => rustix::fs::removexattr(proc_path(&fd).as_str(), name),
        done => done,
    };
    match done {
        Err(RawErrno::NODATA) => Ok(()),
        done => done.call("fremovexattr", || name.to_string_lossy().into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path;

    #[test]
    fn set_get_list_remove() {
        // /var/tmp: a tmpfs at /tmp has user attributes only since Linux 6.6.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let fd = path::open_dir(dir.path()).unwrap();
        let file = path::create_at(&fd, "f", 0o600).unwrap();
        assert_eq!(get(&file, "user.none").unwrap(), None);
        let long = vec![7; 1000];
        set(&file, "user.long", &long).unwrap();
        set(&file, "user.a", b"").unwrap();
        assert_eq!(get(&file, "user.long").unwrap(), Some(long));
        assert_eq!(get(&file, "user.a").unwrap(), Some(Vec::new()));
        let handle = path::open_handle_at(&fd, "f").unwrap();
        set(&handle, "user.h", b"1").unwrap();
        assert_eq!(get(&handle, "user.h").unwrap(), Some(b"1".to_vec()));
        let user: Vec<_> = list(&handle)
            .unwrap()
            .into_iter()
            .filter(|name| name.as_bytes().starts_with(b"user."))
            .collect();
        assert_eq!(user, ["user.a", "user.h", "user.long"]);
        remove(&file, "user.a").unwrap();
        remove(&file, "user.a").unwrap();
        assert_eq!(get(&file, "user.a").unwrap(), None);
    }

    #[test]
    fn a_value_that_is_too_large_is_refused() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let fd = path::open_dir(dir.path()).unwrap();
        let file = path::create_at(&fd, "f", 0o600).unwrap();
        let error = set(&file, "user.big", &vec![0; MAX_VALUE + 1]).unwrap_err();
        assert_eq!(error.errno, Errno::E2BIG);
    }
}
