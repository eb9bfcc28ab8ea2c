//! Upper directories in memory: one file system of a fixed size takes everything that a generation writes, so the kernel
//! itself keeps the limit. It is mounted where overlay's scratch directory would be, in this mount namespace alone, and
//! goes with it. Its pages count as memory of the sandbox.

use std::ffi::CString;

use shedbox_linux::errno::Errno;
use shedbox_linux::mount::{self, MountFlags};
use shedbox_linux::{path, xattr};
use shedbox_spec::control::Failure;
use shedbox_spec::generation::DiskRoom;

use crate::failure::{Staged, failure};

const STAGE: &str = "disk limit";

/// Mounts the file system on `work`, a directory of the host, and makes `upper` and `work` in it, and `cow/<index>/…`
/// for each copy-on-write volume.
pub(crate) fn mount(room: DiskRoom, work: &str, cow: &[usize]) -> Result<(), Failure> {
    let inodes = room
        .inodes
        .map_or_else(String::new, |inodes| format!(",nr_inodes={inodes}"));
    let data = CString::new(format!("mode=0700,size={}{inodes}", room.bytes))
        .map_err(|_| failure(STAGE, "mount(tmpfs)".to_owned(), Errno::EINVAL as i32))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount_new("tmpfs", work, flags, Some(&data)).stage(STAGE)?;
    let top = path::open_dir(work.as_ref()).stage(STAGE)?;
    // Overlay marks what was deleted with attributes of the user's, which tmpfs has since Linux 6.6. Found out now,
    // because overlay would only say so when something is deleted.
    xattr::set(&top, "user.overlay.probe", b"y").stage(STAGE)?;
    let mut pairs = vec![top];
    if !cow.is_empty() {
        path::mkdir_at(&pairs[0], "cow", 0o700).stage(STAGE)?;
        let dir = path::open_dir_at(&pairs[0], "cow").stage(STAGE)?;
        for index in cow {
            let name = index.to_string();
            path::mkdir_at(&dir, &name, 0o700).stage(STAGE)?;
            pairs.push(path::open_dir_at(&dir, &name).stage(STAGE)?);
        }
    }
    for dir in pairs {
        path::mkdir_at(&dir, "upper", 0o755).stage(STAGE)?;
        path::mkdir_at(&dir, "work", 0o700).stage(STAGE)?;
    }
    Ok(())
}
