//! Mount targets inside a new root: found or made without ever leaving it. Source: openat2(2), RESOLVE_IN_ROOT.

use std::os::fd::{AsRawFd, OwnedFd};

use shedbox_linux::errno::{Context, Errno};
use shedbox_linux::inroot::{self, Kind};
use shedbox_spec::control::Failure;

use crate::failure::{Staged, failure};

/// What is ours in /dev; a volume anywhere else there is the caller's business, /dev/shm among it.
const OWN_DEVICES: &[&str] = &[
    "", "/full", "/null", "/pts", "/random", "/tty", "/urandom", "/zero",
];

/// Refuses a place in /proc, /sys or among our devices, to which a link of the image's may lead: what is checked and
/// masked there would be somebody else's (CVE-2019-19921, CVE-2023-27561).
pub(crate) fn not_of_the_kernel(place: &OwnedFd, target: &str) -> Result<(), Failure> {
    let link = format!("/proc/self/fd/{}", place.as_raw_fd());
    let real = std::fs::read_link(&link)
        .call("readlink", || link)
        .stage("volume")?;
    let devices = real.strip_prefix("/dev").is_ok_and(|rest| {
        let rest = rest.to_string_lossy();
        OWN_DEVICES.iter().any(|own| {
            own.trim_start_matches('/') == rest || (*own == "/pts" && rest.starts_with("pts/"))
        })
    });
    if devices || real.starts_with("/proc") || real.starts_with("/sys") {
        let complaint = format!(
            "{target} leads to {}, which is the kernel's",
            real.display()
        );
        return Err(failure("volume", complaint, Errno::EPERM as i32));
    }
    Ok(())
}

/// An O_PATH descriptor of `path` inside the current root, where a missing file or directory is made, parents too.
///
/// Symbolic links resolve inside; magic links of /proc do not resolve at all.
pub(crate) fn ensure(path: &str, kind: Kind) -> shedbox_linux::Result<OwnedFd> {
    let root = inroot::open_root()?;
    if let Some(found) = inroot::open(&root, path)? {
        return Ok(found);
    }
    let mut reached = String::from("/");
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let parent = reached.clone();
        reached.push_str(part);
        if inroot::open(&root, &reached)?.is_none() {
            let last = index + 1 == parts.len();
            inroot::make(
                &root,
                &parent,
                part,
                if last { kind } else { Kind::Directory },
            )?;
        }
        reached.push('/');
    }
    inroot::open(&root, path)?
        .ok_or_else(|| shedbox_linux::Error::new("openat2", path, Errno::ENOENT))
}
