//! Overlay mounts in a user namespace. Source: Documentation/filesystems/overlayfs.rst.
//!
//! `userxattr`: whiteout and opaque marks in `user.overlay.*`, the only ones a user namespace may write. `volatile`: no
//! sync of a directory that a reset throws away.

use std::os::fd::{AsFd, OwnedFd};

use shedbox_linux::errno::{Context, Errno, Error};
use shedbox_linux::mount::{self, Attributes, MountFlags};
use shedbox_linux::process;
use shedbox_spec::control::Failure;

use crate::failure::Staged;

const STAGE: &str = "overlay";
/// What the upper and the scratch directory are called where names are shown.
const UPPER: &str = "u";
const WORK: &str = "w";

/// What an overlay is made of: host paths.
pub(crate) struct Layers<'a> {
    /// Lower directories, uppermost first.
    pub(crate) lower: &'a [String],
    pub(crate) upper: &'a str,
    pub(crate) work: &'a str,
}

/// A detached overlay mount. Moves the working directory.
pub(crate) fn detached(layers: &Layers<'_>, attributes: Attributes) -> Result<OwnedFd, Failure> {
    match with_lowerdir_plus(layers, attributes) {
        Err(error) if lacks_lowerdir_plus(&error) => legacy(layers, attributes),
        other => other,
    }
    .stage(STAGE)
}

/// Linux 6.5: takes any number of layers and any characters in their paths.
///
/// The kernel resolves each name at once and shows it for ever in mountinfo, as it was given. So each directory becomes
/// the working directory and is called `.`: what is inside learns nothing of where the host keeps it.
fn with_lowerdir_plus(
    layers: &Layers<'_>,
    attributes: Attributes,
) -> shedbox_linux::Result<OwnedFd> {
    let mut overlay = mount::FileSystem::open("overlay")?;
    for lower in layers.lower {
        mount::work_in(lower)?;
        overlay.set("lowerdir+", ".")?;
    }
    mount::work_in(layers.upper)?;
    overlay.set("upperdir", ".")?;
    mount::work_in(layers.work)?;
    overlay.set("workdir", ".")?;
    overlay.set_flag("userxattr")?;
    overlay.set_flag("volatile")?;
    overlay.mount(attributes)
}

/// Linux before 6.5 for few lower directories: one option of at most 255 bytes, and names that the kernel resolves when all
/// are there.
fn legacy(layers: &Layers<'_>, attributes: Attributes) -> shedbox_linux::Result<OwnedFd> {
    let links = mount::new_filesystem("tmpfs", &[], Attributes::default())?;
    process::change_directory_to(links.as_fd()).call("fchdir", String::new)?;
    let lower = link_short_names(layers)?;
    let mut overlay = mount::FileSystem::open("overlay")?;
    overlay.set("lowerdir", &lower)?;
    overlay.set("upperdir", UPPER)?;
    overlay.set("workdir", WORK)?;
    overlay.set_flag("userxattr")?;
    overlay.set_flag("volatile")?;
    overlay.mount(attributes)
}

/// Links in the working directory that lead to the layers: names that tell nothing and need no escapes. Returns those of
/// the lower directories, as the option takes them.
fn link_short_names(layers: &Layers<'_>) -> shedbox_linux::Result<String> {
    use std::os::unix::fs::symlink;
    for (index, lower) in layers.lower.iter().enumerate() {
        symlink(lower, index.to_string()).call("symlink", || lower.clone())?;
    }
    symlink(layers.upper, UPPER).call("symlink", || layers.upper.to_owned())?;
    symlink(layers.work, WORK).call("symlink", || layers.work.to_owned())?;
    let lower: Vec<String> = (0..layers.lower.len())
        .map(|index| index.to_string())
        .collect();
    Ok(lower.join(":"))
}

/// Mounts an overlay on an existing directory. Moves the working directory.
pub(crate) fn mount_on(
    layers: &Layers<'_>,
    attributes: Attributes,
    place: &str,
) -> Result<(), Failure> {
    match with_lowerdir_plus(layers, attributes) {
        Ok(tree) => mount::attach_path(tree.as_fd(), place).stage(STAGE),
        Err(error) if lacks_lowerdir_plus(&error) => {
            classic(layers, attributes, place).stage(STAGE)
        }
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
fn classic(layers: &Layers<'_>, attributes: Attributes, place: &str) -> shedbox_linux::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount_new("tmpfs", place, quiet, None)?;
    mount::work_in(place)?;
    let lower = link_short_names(layers)?;
    let data = format!("lowerdir={lower},upperdir={UPPER},workdir={WORK},userxattr,volatile");
    let data = std::ffi::CString::new(data)
        .map_err(|_| Error::new("mount", "NUL in overlay options", Errno::EINVAL))?;
    // Over the links: the kernel has resolved them by then.
    mount::mount_new("overlay", place, attributes.flags(), Some(&data))
}
