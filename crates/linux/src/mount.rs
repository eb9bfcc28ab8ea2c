//! Mounts: the file-descriptor API (fsopen, open_tree, move_mount, mount_setattr) and the classic calls.
//!
//! A detached mount is made before `pivot_root`, while host paths can be seen, and attached afterwards, when only the
//! new root can: so no target is ever resolved on the host.

#![allow(unsafe_code, reason = "mount_setattr has no wrapper in nix or rustix")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, CWD};
pub use rustix::mount::MountFlags;
use rustix::mount::{
    self, FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use crate::errno::{Context, Errno, Result};

/// Attributes of a mount as [`set_attributes`] takes them. Source: mount_setattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of one kernel call"
)]
pub struct Attributes {
    /// Read-only.
    pub read_only: bool,
    /// setuid bits and file capabilities have no effect.
    pub no_suid: bool,
    /// Device nodes cannot be opened.
    pub no_dev: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
}

impl Attributes {
    /// The same for mount(2).
    pub fn flags(self) -> MountFlags {
        let flag = |on: bool, flag: MountFlags| if on { flag } else { MountFlags::empty() };
        flag(self.read_only, MountFlags::RDONLY)
            | flag(self.no_suid, MountFlags::NOSUID)
            | flag(self.no_dev, MountFlags::NODEV)
            | flag(self.no_exec, MountFlags::NOEXEC)
    }

    fn bits(self) -> u64 {
        let bit = |on: bool, flag: MountAttrFlags| if on { u64::from(flag.bits()) } else { 0 };
        bit(self.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY)
            | bit(self.no_suid, MountAttrFlags::MOUNT_ATTR_NOSUID)
            | bit(self.no_dev, MountAttrFlags::MOUNT_ATTR_NODEV)
            | bit(self.no_exec, MountAttrFlags::MOUNT_ATTR_NOEXEC)
    }
}

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes on a mount and on all below it. Linux 5.12. Attributes that are set already stay set.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    recursive: bool,
) -> Result<()> {
    let attr = MountAttr {
        attr_set: attributes.bits(),
        ..MountAttr::default()
    };
    mount_setattr(
        mount.as_raw_fd(),
        c"",
        libc::AT_EMPTY_PATH,
        recursive,
        &attr,
    )
    .call("mount_setattr", || format!("{attributes:?}"))
}

/// Sets attributes on the mount at `path` and, with `recursive`, on all below it. Linux 5.12.
pub fn set_attributes_at(path: &CStr, attributes: Attributes, recursive: bool) -> Result<()> {
    change_attributes(path, attributes.bits(), 0, recursive)
}

/// Makes the mount at `path` writable again that [`set_attributes_at`] has made read-only. Linux 5.12.
pub fn set_writable_at(path: &CStr) -> Result<()> {
    let read_only = Attributes {
        read_only: true,
        ..Attributes::default()
    };
    change_attributes(path, 0, read_only.bits(), false)
}

fn change_attributes(path: &CStr, set: u64, clear: u64, recursive: bool) -> Result<()> {
    let attr = MountAttr {
        attr_set: set,
        attr_clr: clear,
        ..MountAttr::default()
    };
    mount_setattr(
        libc::AT_FDCWD,
        path,
        libc::AT_SYMLINK_NOFOLLOW,
        recursive,
        &attr,
    )
    .call("mount_setattr", || {
        format!("{} set {set:#x} clear {clear:#x}", path.to_string_lossy())
    })
}

fn mount_setattr(
    dir: RawFd,
    path: &CStr,
    flags: libc::c_int,
    recursive: bool,
    attr: &MountAttr,
) -> std::result::Result<(), Errno> {
    let flags = flags | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, `attr` has the size that is passed, both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::last())
    }
}

/// A detached copy of the mount at `path` and of all mounts below it. Linux 5.2.
pub fn clone_tree(path: &str, follow: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    if !follow {
        flags |= OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    }
    mount::open_tree(CWD, path, flags).call("open_tree", || path.to_owned())
}

/// A detached copy of the mount that `fd` (opened with O_PATH) lies on, from `fd` down.
pub fn clone_tree_fd(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    mount::open_tree(fd, "", flags).call("open_tree", String::new)
}

/// Attaches a detached mount on `target`, an O_PATH descriptor.
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    mount::move_mount(tree, "", target, "", flags).call("move_mount", String::new)
}

/// Attaches a detached mount at a path of the current mount namespace.
pub fn attach_path(tree: BorrowedFd<'_>, target: &str) -> Result<()> {
    mount::move_mount(
        tree,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .call("move_mount", || target.to_owned())
}

/// An option of [`new_filesystem`].
#[derive(Debug, Clone, Copy)]
pub enum FsOption<'a> {
    /// A word of its own.
    Flag(&'a str),
    /// `key=value`.
    Value(&'a str, &'a str),
}

/// A file system that is being configured: a context of fsopen(2). Linux 5.2. The kernel's own words on a failure are
/// part of the error.
#[derive(Debug)]
pub struct FileSystem {
    kind: String,
    context: OwnedFd,
}

impl FileSystem {
    /// Opens a context.
    pub fn open(kind: &str) -> Result<Self> {
        let context =
            mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).call("fsopen", || kind.to_owned())?;
        Ok(Self {
            kind: kind.to_owned(),
            context,
        })
    }

    /// Sets `key=value`.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        mount::fsconfig_set_string(&self.context, key, value).call("fsconfig", || {
            explain(&self.context, &format!("{key}={value}"))
        })
    }

    /// Sets a word of its own.
    pub fn set_flag(&mut self, key: &str) -> Result<()> {
        mount::fsconfig_set_flag(&self.context, key).call("fsconfig", || key.to_owned())
    }

    /// Makes the file system and a detached mount of it.
    pub fn mount(self, attributes: Attributes) -> Result<OwnedFd> {
        mount::fsconfig_create(&self.context).call("fsconfig", || {
            explain(&self.context, &format!("create {}", self.kind))
        })?;
        let flags = MountAttrFlags::from_bits_retain(attributes.bits() as u32);
        mount::fsmount(&self.context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
            .call("fsmount", || explain(&self.context, &self.kind))
    }
}

/// A detached mount of a new file system, see [`FileSystem`].
pub fn new_filesystem(
    kind: &str,
    options: &[FsOption<'_>],
    attributes: Attributes,
) -> Result<OwnedFd> {
    let mut system = FileSystem::open(kind)?;
    for option in options {
        match option {
            FsOption::Flag(key) => system.set_flag(key),
            FsOption::Value(key, value) => system.set(key, value),
        }?;
    }
    system.mount(attributes)
}

/// What the kernel wrote into the log of a file system context. Source: fsopen(2), "message log".
fn explain(context: &OwnedFd, what: &str) -> String {
    let mut text = what.to_owned();
    let mut line = [0u8; 512];
    while let Ok(count) = rustix::io::read(context, &mut line) {
        if count == 0 {
            break;
        }
        text.push_str("; ");
        text.push_str(String::from_utf8_lossy(&line[..count]).trim_end());
    }
    text
}

/// mount(2) of a new file system on `target`, relative to the working directory.
pub fn mount_new(kind: &str, target: &str, flags: MountFlags, data: Option<&CStr>) -> Result<()> {
    mount::mount(kind, target, kind, flags, data).call("mount", || format!("{kind} on {target}"))
}

/// Binds `source` on `target`, with all mounts below.
pub fn bind(source: &str, target: &str) -> Result<()> {
    mount::mount_bind_recursive(source, target)
        .call("mount", || format!("bind {source} on {target}"))
}

/// Makes the bind mount at `path` read-only; `flags` are those that it has already and keeps.
pub fn remount_read_only(path: &str, flags: MountFlags) -> Result<()> {
    mount::mount_remount(path, flags | MountFlags::BIND | MountFlags::RDONLY, c"")
        .call("mount", || format!("remount {path}"))
}

/// Makes `new_root` (the working directory) the root of this mount namespace and stacks the old one on top of it, to be
/// taken off with [`detach_old_root`]. Source: pivot_root(2), "pivot_root(\".\", \".\")".
pub fn pivot_into_cwd() -> Result<()> {
    rustix::process::pivot_root(".", ".").call("pivot_root", || "., .".into())
}

/// Takes the old root, stacked on the working directory by [`pivot_into_cwd`], out of the tree.
pub fn detach_old_root() -> Result<()> {
    mount::unmount(".", UnmountFlags::DETACH).call("umount2", || "old root".into())
}

/// Takes the mount at `path` out of the tree; it goes when its last user has gone.
pub fn detach(path: &str) -> Result<()> {
    mount::unmount(path, UnmountFlags::DETACH).call("umount2", || path.to_owned())
}

/// True when the kernel knows overlay's `lowerdir+` (Linux 6.5): found out by trying.
pub fn has_lowerdir_plus() -> bool {
    let Ok(context) = mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) else {
        return false;
    };
    mount::fsconfig_set_string(&context, "lowerdir+", "/").is_ok()
}

/// Makes `path` the working directory of this process, to which the targets of this module are relative. For a process
/// with one thread only.
pub fn work_in(path: &str) -> Result<()> {
    rustix::process::chdir(path).call("chdir", || path.to_owned())
}

/// A descriptor of `path` without following a symbolic link at its end, for use as a mount target.
pub fn target(path: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .call("open", || path.to_owned())
}

/// The kind of file behind `fd`: true for a directory.
pub fn is_directory(fd: impl AsFd) -> Result<bool> {
    let stat =
        rustix::fs::statat(fd.as_fd(), "", AtFlags::EMPTY_PATH).call("fstatat", String::new)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}
