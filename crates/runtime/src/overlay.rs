//! Overlay mounts in a user namespace. Source: Documentation/filesystems/overlayfs.rst.
//!
//! `userxattr`: whiteout and opaque marks in `user.overlay.*`, the only ones a user namespace may write. `volatile`: no
//! sync of a directory that a reset throws away.

use std::os::fd::{AsFd, OwnedFd};

use shedbox_linux::errno::{Errno, Error};
use shedbox_linux::mount::{self, Attributes, FsOption, MountFlags};
use shedbox_spec::control::Failure;

use crate::failure::Staged;

const STAGE: &str = "overlay";

/// What an overlay is made of: host paths.
pub(crate) struct Layers<'a> {
    /// Lower directories, uppermost first.
    pub(crate) lower: &'a [String],
    pub(crate) upper: &'a str,
    pub(crate) work: &'a str,
}

/// A detached overlay mount over a single lower directory.
pub(crate) fn detached(layers: &Layers<'_>) -> Result<OwnedFd, Failure> {
    match with_lowerdir_plus(layers) {
        Err(error) if lacks_lowerdir_plus(&error) => {
            // Linux before 6.5: one option for all lower directories, with its separators escaped.
            let lower = layers
                .lower
                .join("")
                .replace('\\', "\\\\")
                .replace(':', "\\:");
            new(vec![FsOption::Value("lowerdir", &lower)], layers)
        }
        other => other,
    }
    .stage(STAGE)
}

/// Linux 6.5: takes any number of layers and any characters in their paths.
fn with_lowerdir_plus(layers: &Layers<'_>) -> shedbox_linux::Result<OwnedFd> {
    new(
        layers
            .lower
            .iter()
            .map(|lower| FsOption::Value("lowerdir+", lower))
            .collect(),
        layers,
    )
}

fn new<'a>(mut options: Vec<FsOption<'a>>, layers: &Layers<'a>) -> shedbox_linux::Result<OwnedFd> {
    options.push(FsOption::Value("upperdir", layers.upper));
    options.push(FsOption::Value("workdir", layers.work));
    options.push(FsOption::Flag("userxattr"));
    options.push(FsOption::Flag("volatile"));
    mount::new_filesystem("overlay", &options, Attributes::default())
}

/// Mounts an overlay on an existing directory.
pub(crate) fn mount_on(layers: &Layers<'_>, place: &str) -> Result<(), Failure> {
    match with_lowerdir_plus(layers) {
        Ok(tree) => mount::attach_path(tree.as_fd(), place).stage(STAGE),
        Err(error) if lacks_lowerdir_plus(&error) => classic(layers, place).stage(STAGE),
        Err(error) => Err(error).stage(STAGE),
    }
}

/// Before Linux 6.5 options are not looked at one by one: `lowerdir+` is refused only when the mount is made. EINVAL has
/// other causes there too; then the older way fails for the same one and names it.
fn lacks_lowerdir_plus(error: &Error) -> bool {
    error.errno == Errno::EINVAL && error.call == "fsconfig"
}

/// mount(2), for kernels before 6.5. Its options must fit one page, and 127 layer paths do not: each layer gets a link
/// with a short name in a memory file system, which is the working directory while the kernel reads the options.
fn classic(layers: &Layers<'_>, place: &str) -> shedbox_linux::Result<()> {
    use shedbox_linux::errno::Context;
    use std::os::unix::fs::symlink;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount_new("tmpfs", place, quiet, None)?;
    mount::work_in(place)?;
    for (index, lower) in layers.lower.iter().enumerate() {
        symlink(lower, index.to_string()).call("symlink", || lower.clone())?;
    }
    symlink(layers.upper, "u").call("symlink", || layers.upper.to_owned())?;
    symlink(layers.work, "w").call("symlink", || layers.work.to_owned())?;
    let lower: Vec<String> = (0..layers.lower.len())
        .map(|index| index.to_string())
        .collect();
    let data = format!(
        "lowerdir={},upperdir=u,workdir=w,userxattr,volatile",
        lower.join(":")
    );
    let data = std::ffi::CString::new(data)
        .map_err(|_| Error::new("mount", "NUL in overlay options", Errno::EINVAL))?;
    // Over the links: the kernel has resolved them by then.
    mount::mount_new("overlay", place, MountFlags::empty(), Some(&data))
}
