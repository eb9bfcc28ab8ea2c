//! /sys of a generation: a memory file system with the few parts of the kernel's own that programs use, read-only.
//!
//! The rest of sysfs is about the host: its hardware, disks, modules, firmware tables, tracing, and files that root of the
//! host may write. A list of what is shown needs no care for what the next kernel adds.

use shedbox_linux::errno::{Context, Errno};
use shedbox_linux::mount::{self, MountFlags};
use shedbox_spec::control::Failure;
use shedbox_spec::security::SYS_PATHS;

use crate::failure::Staged;
use crate::masks::SEALED;

const STAGE: &str = "sys";
/// Directories that are there and empty, but for what is bound into them: what every /sys has.
const DIRECTORIES: [&str; 17] = [
    "block",
    "bus",
    "class",
    "dev",
    "devices",
    "devices/system",
    "devices/system/cpu",
    "devices/system/node",
    "devices/virtual",
    "devices/virtual/net",
    "firmware",
    "fs",
    "fs/cgroup",
    "kernel",
    "kernel/mm",
    "kernel/mm/transparent_hugepage",
    "module",
];
/// Interfaces of the sandbox's own network: none of them has hardware, so all of them are here.
const INTERFACES: &str = "devices/virtual/net";

/// Where the kernel's own sysfs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// One of the sandbox's network namespace is mounted on `/sys` already; it is covered.
    Own,
    /// The host's, at `/sys`, while the new root is the working directory. It shows the interfaces of the host, so none
    /// of them are taken.
    Host,
}

/// Builds it on `/sys` (for [`Source::Host`] on `sys` of the working directory).
pub(crate) fn fill(source: Source) -> Result<(), Failure> {
    let (from, to) = match source {
        Source::Own => {
            // What is covered stays in reach for the working directory.
            mount::work_in("/sys").stage(STAGE)?;
            ("", "/sys")
        }
        Source::Host => ("/sys/", "sys"),
    };
    mount::mount_new("tmpfs", to, MountFlags::empty(), Some(c"mode=755,size=64k")).stage(STAGE)?;
    for directory in DIRECTORIES {
        let path = format!("{to}/{directory}");
        std::fs::create_dir(&path)
            .call("mkdir", || path.clone())
            .stage(STAGE)?;
    }
    let link = format!("{to}/class/net");
    std::os::unix::fs::symlink(format!("../{INTERFACES}"), &link)
        .call("symlink", || link.clone())
        .stage(STAGE)?;
    let own = match source {
        Source::Own => &[INTERFACES][..],
        Source::Host => &[],
    };
    for path in SYS_PATHS.iter().chain(own) {
        match mount::bind(&format!("{from}{path}"), &format!("{to}/{path}")) {
            // This kernel or machine has none of it.
            Err(error) if error.errno == Errno::ENOENT => {}
            other => other.stage(STAGE)?,
        }
    }
    hide_throttling(to)?;
    let place = match source {
        Source::Own => c"/sys",
        Source::Host => c"sys",
    };
    mount::set_attributes_at(place, SEALED, true).stage(STAGE)
}

/// Counters of each processor that tell how hard neighbours work; machines with such processors only.
fn hide_throttling(sys: &str) -> Result<(), Failure> {
    let cpus = format!("{sys}/devices/system/cpu");
    if !std::path::Path::new(&format!("{cpus}/cpu0/thermal_throttle")).exists() {
        return Ok(());
    }
    let names = std::fs::read_dir(&cpus)
        .call("opendir", || cpus.clone())
        .stage(STAGE)?;
    for name in names.flatten() {
        let path = format!(
            "{cpus}/{}/thermal_throttle",
            name.file_name().to_string_lossy()
        );
        match mount::bind(&format!("{sys}/firmware"), &path) {
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => {}
            other => other.stage(STAGE)?,
        }
    }
    Ok(())
}
