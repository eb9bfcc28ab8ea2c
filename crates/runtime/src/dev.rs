//! /dev of a generation: a small tmpfs with the six harmless devices, a devpts of its own, shm and mqueue.

use std::ffi::{CStr, CString};
use std::os::unix::fs::symlink;

use shedbox_linux::errno::Context;
use shedbox_linux::mount::{self, Attributes, MountFlags};
use shedbox_linux::path;
use shedbox_spec::control::Failure;
use shedbox_spec::generation::GenerationSpec;

use crate::failure::Staged;

/// Where files that shedbox itself needs inside are kept: in the tmpfs of /dev, so that they cost no mount of their own
/// and never reach the image's layers.
pub(crate) const PRIVATE: &str = "/dev/.shedbox";
/// The same for a kernel call.
pub(crate) const PRIVATE_C: &CStr = c"/dev/.shedbox";
/// What stands for a hidden file.
pub(crate) const EMPTY_FILE: &str = "/dev/.shedbox/none";
/// What stands for a hidden directory.
pub(crate) const EMPTY_DIRECTORY: &str = "/dev/.shedbox/nothing";
/// Files in [`PRIVATE`] that are bound into /etc.
pub(crate) const ETC_FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];
/// The null device, inside.
pub(crate) const NULL: &str = "/dev/null";
/// Settings for apt where there is only one id (see `apt_conf`).
pub(crate) const APT_CONF: &str = "apt.conf";

const STAGE: &str = "dev";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
    ("/proc/kcore", "core"),
];

/// On a single-id map apt cannot change to its `_apt` user to fetch; it runs as root there.
const APT_SETTINGS: &str = "APT::Sandbox::User \"root\";\n";

/// Devices of the host: their owner there may be root here, who could change the mode of the host's own node.
const DEVICE: Attributes = Attributes {
    read_only: true,
    no_suid: true,
    no_dev: false,
    no_exec: true,
};

/// Mounts and fills `dev` of the working directory, which must be the new root. Leaves the working directory in it.
pub(crate) fn fill(spec: &GenerationSpec) -> Result<(), Failure> {
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    // The devices are mounts of their own.
    mount::mount_new(
        "tmpfs",
        "dev",
        quiet | MountFlags::NODEV,
        Some(c"mode=755,size=65536k"),
    )
    .stage(STAGE)?;
    // From here on every path is relative to a file system that nobody else has ever seen.
    mount::work_in("dev").stage(STAGE)?;
    let here = mount::target(".").stage(STAGE)?;
    for name in DEVICES {
        path::touch_at(&here, name, 0o644).stage(STAGE)?;
        mount::bind(&format!("/dev/{name}"), name).stage(STAGE)?;
    }
    for (target, name) in LINKS {
        symlink(target, name)
            .call("symlink", || name.to_owned())
            .stage(STAGE)?;
    }
    for name in ["pts", "shm", "mqueue", ".shedbox", ".shedbox/nothing"] {
        path::mkdir_at(&here, name, 0o755).stage(STAGE)?;
    }
    private_files(spec)?;
    // All devices in one call; the directory that they are in has to be written again.
    mount::set_attributes_at(c".", DEVICE, true).stage(STAGE)?;
    mount::set_writable_at(c".").stage(STAGE)?;
    // Group 5 is `tty` in every distribution; on a single-id map it does not exist.
    let has_tty_group = spec
        .gid_map
        .iter()
        .any(|(first, count)| (*first..first + count).contains(&5));
    let options = if has_tty_group {
        c"newinstance,ptmxmode=0666,mode=0620,gid=5"
    } else {
        c"newinstance,ptmxmode=0666,mode=0620"
    };
    mount::mount_new("devpts", "pts", quiet, Some(options)).stage("devpts")?;
    let shm = CString::new(format!("mode=1777,size={}", spec.shm_size)).unwrap_or_default(); // digits hold no NUL
    mount::mount_new("tmpfs", "shm", quiet | MountFlags::NODEV, Some(&shm)).stage("shm")?;
    mount::mount_new("mqueue", "mqueue", quiet | MountFlags::NODEV, None).stage("mqueue")
}

fn private_files(spec: &GenerationSpec) -> Result<(), Failure> {
    let write = |name: &str, content: &str| {
        std::fs::write(format!(".shedbox/{name}"), content)
            .call("write", || name.to_owned())
            .stage(STAGE)
    };
    write("none", "")?;
    write("hosts", &spec.etc_hosts)?;
    write("hostname", &format!("{}\n", spec.hostname))?;
    write("resolv.conf", &spec.etc_resolv_conf)?;
    if spec.deny_setgroups {
        write(APT_CONF, APT_SETTINGS)?;
    }
    Ok(())
}
