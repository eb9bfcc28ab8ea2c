//! Cgroup namespaces: what `/proc/self/cgroup` and mounts of cgroup2 take for the root. Source: cgroup_namespaces(7).

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::errno::{Context, Result};

/// Moves this process into a new cgroup namespace, whose root is the cgroup it is in now, and gives a descriptor of it.
///
/// CLONE_NEWCGROUP together with a cgroup to be born in would take the parent's cgroup for the root.
pub fn unshare() -> Result<OwnedFd> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
        .call("unshare", || "NEWCGROUP".into())?;
    let path = "/proc/self/ns/cgroup";
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .call("open", || path.into())
}

/// Moves this process into a cgroup namespace. Needs CAP_SYS_ADMIN in the user namespace that owns it; the process
/// need not be in a cgroup below its root.
pub fn join(namespace: BorrowedFd<'_>) -> Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::ControlGroup))
        .call("setns", || "cgroup".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::{Stack, borrow_process};
    use crate::errno::Errno;
    use std::os::fd::AsFd;

    #[test]
    fn a_child_makes_one_for_its_parent_and_is_in_it() {
        let mut stack = Stack::new(64 << 10).unwrap();
        let mut made = None;
        let mut joined = None;
        borrow_process(&mut stack, true, None, &mut || {
            made = Some(unshare());
            0
        })
        .unwrap();
        let namespace = match made.unwrap() {
            Ok(namespace) => namespace,
            // Only root may, without a user namespace around it.
            Err(error) => return assert_eq!(error.errno, Errno::EPERM),
        };
        let mut before = String::new();
        let mut after = String::new();
        let look = || std::fs::read_link("/proc/self/ns/cgroup").unwrap();
        borrow_process(&mut stack, false, None, &mut || {
            before = look().display().to_string();
            joined = Some(join(namespace.as_fd()));
            after = look().display().to_string();
            0
        })
        .unwrap();
        joined.unwrap().unwrap();
        assert_ne!(before, after);
    }
}
