//! What is hidden inside: paths of the kernel's own file systems, and paths that the spec names.
//!
//! Everything hidden shows one of two things, an empty file or an empty directory, out of a directory of /dev's memory
//! file system that is mounted on itself read-only. A bind mount takes the flags of what it is bound from, so a mask is
//! one call, and neither a mask nor a device of the host behind it can be written.
//!
//! A mount stays on its directory entry: the entry itself can be neither renamed nor removed (EBUSY), its parents take the
//! mount along, and unmounting needs CAP_SYS_ADMIN and a system call filter that lets it through.

use std::os::fd::AsFd;

use shedbox_linux::errno::Errno;
use shedbox_linux::mount::{self, Attributes};
use shedbox_linux::{inroot, path};
use shedbox_spec::control::Failure;
use shedbox_spec::security::{MASKED_PATHS, READ_ONLY_PATHS};

use crate::dev;
use crate::failure::Staged;

const STAGE: &str = "masked paths";

/// Nothing in it is a device, a program, a way to other rights, or can be changed.
pub(crate) const SEALED: Attributes = Attributes {
    read_only: true,
    no_suid: true,
    no_dev: true,
    no_exec: true,
};

/// Turns the directory with shedbox's own files read-only. What is bound from it afterwards is read-only as well.
pub(crate) fn prepare() -> Result<(), Failure> {
    mount::bind(dev::PRIVATE, dev::PRIVATE).stage(STAGE)?;
    mount::set_attributes_at(dev::PRIVATE_C, SEALED, false).stage(STAGE)
}

/// Hides paths of /proc. What this kernel does not have needs no mask, and neither does what nobody inside can open:
/// init holds every capability there is inside, so what it may not open is closed for good.
///
/// Nothing in /proc is a symbolic link of the image's making, so plain paths do.
pub(crate) fn hide_kernel_paths() -> Result<(), Failure> {
    for path in MASKED_PATHS {
        if path::may_open(path).stage(STAGE)? != Some(true) {
            continue;
        }
        let nothing = if path.ends_with('/') {
            dev::EMPTY_DIRECTORY
        } else {
            dev::EMPTY_FILE
        };
        mount::bind(nothing, path).stage(STAGE)?;
    }
    Ok(())
}

/// Makes paths of /proc read-only.
pub(crate) fn protect_kernel_paths() -> Result<(), Failure> {
    let stage = "read-only paths";
    for path in READ_ONLY_PATHS {
        match mount::bind(path, path) {
            Err(error) if error.errno == Errno::ENOENT => continue,
            other => other.stage(stage)?,
        }
        mount::remount_read_only(path, super::rootfs::quiet()).stage(stage)?;
    }
    Ok(())
}

/// Hides paths of the image and of what is mounted in it, where links may stand on the way: they resolve inside. Returns
/// those that are not there.
pub(crate) fn hide(paths: &[String]) -> Result<Vec<&str>, Failure> {
    let mut absent = Vec::new();
    if paths.is_empty() {
        return Ok(absent);
    }
    let root = inroot::open_root().stage(STAGE)?;
    for path in paths {
        let place = match inroot::open(&root, path) {
            Ok(Some(place)) => place,
            Ok(None) => {
                absent.push(path.as_str());
                continue;
            }
            // A file stands where a directory of the path would be.
            Err(error) if error.errno == Errno::ENOTDIR => {
                absent.push(path.as_str());
                continue;
            }
            Err(error) => return Err(error).stage(STAGE),
        };
        let nothing = if mount::is_directory(&place).stage(STAGE)? {
            dev::EMPTY_DIRECTORY
        } else {
            dev::EMPTY_FILE
        };
        let tree = mount::clone_tree(nothing, false).stage(STAGE)?;
        mount::attach(tree.as_fd(), place.as_fd())
            .map_err(|mut error| {
                path.clone_into(&mut error.detail);
                error
            })
            .stage(STAGE)?;
    }
    Ok(absent)
}
