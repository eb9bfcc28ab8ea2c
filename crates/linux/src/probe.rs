//! Questions to the kernel that change nothing: what this host can do.

#![allow(
    unsafe_code,
    reason = "fork from a process with threads, and calls that nix and rustix do not have"
)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::thread::UnshareFlags;

use crate::clone::{self, Stack};
use crate::errno::{Context, Errno, Error, Result};

/// The Landlock ABI of this kernel; 0 when it has none or it is off. Source: landlock_create_ruleset(2),
/// `LANDLOCK_CREATE_RULESET_VERSION`.
pub fn landlock_abi() -> u32 {
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag the kernel takes a null pointer of size 0 and reads no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0,
            VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Runs `inside` in a child process that is root of a new user namespace (its own id alone) and has mount, pid, ipc, uts,
/// cgroup and network namespaces of its own: what a sandbox is made of. An error is that of the first call that failed;
/// `inside` has not run then.
///
/// The child shares this process's memory, so `inside` reports by what it captures. Descriptors of this process must
/// not be dropped in it.
pub fn in_new_namespaces(inside: &mut dyn FnMut()) -> Result<()> {
    let mut stack = Stack::new(256 << 10)?;
    let mut outcome = Err(Error::new("clone", "the child ended early", Errno::ECHILD));
    let child = clone::borrow_process(&mut stack, false, None, &mut || {
        outcome =
            crate::userns::enter(&crate::userns::Map::Single).and_then(|()| unshare_the_rest());
        if outcome.is_ok() {
            inside();
        }
        0
    })?;
    crate::pidfd::wait(child.pidfd.as_fd(), None)?;
    crate::spawn::reap(child.pid);
    outcome
}

fn unshare_the_rest() -> Result<()> {
    let flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP
        | UnshareFlags::NEWNET;
    // SAFETY: none of the flags takes file descriptors or memory away from this process.
    unsafe { rustix::thread::unshare_unsafe(flags) }.call("unshare", || {
        "NEWNS|NEWPID|NEWIPC|NEWUTS|NEWCGROUP|NEWNET".into()
    })
}

/// A child process that waits in a new user namespace without maps, until this is dropped.
#[derive(Debug)]
pub struct HeldNamespace {
    pid: libc::pid_t,
    /// The child ends when this is closed.
    _leash: OwnedFd,
}

impl HeldNamespace {
    /// Makes the child. An error of `unshare` says that this user may not have user namespaces.
    pub fn new() -> Result<Self> {
        let (leash_read, leash) = crate::fd::pipe()?;
        let (report_read, report) = crate::fd::pipe()?;
        let (leash_raw, report_raw) = (leash_read.as_raw_fd(), report.as_raw_fd());
        let own_leash = leash.as_raw_fd();
        // SAFETY: the child makes only raw calls on its own stack until it ends: it takes no lock that another thread
        // of this process may have held.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: raw calls with numbers and with addresses of this stack frame.
            unsafe {
                let failed = libc::unshare(libc::CLONE_NEWUSER) != 0;
                let errno = if failed { *libc::__errno_location() } else { 0 };
                libc::close(own_leash);
                libc::write(report_raw, (&raw const errno).cast(), size_of::<i32>());
                let mut byte = 0u8;
                libc::read(leash_raw, (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
        }
        if pid < 0 {
            return Err(Error::new("fork", "", Errno::last()));
        }
        drop((leash_read, report));
        let held = Self { pid, _leash: leash };
        let mut errno = [0; size_of::<i32>()];
        let count = crate::fd::read(&report_read, &mut errno)?;
        match (count, i32::from_ne_bytes(errno)) {
            (4, 0) => Ok(held),
            (4, errno) => Err(Errno::from_raw(errno)).call("unshare", || "NEWUSER".into()),
            _ => Err(Error::new(
                "unshare",
                "the child ended early",
                Errno::ECHILD,
            )),
        }
    }

    /// Pid of the child: what newuidmap(1) takes.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for HeldNamespace {
    fn drop(&mut self) {
        // SAFETY: the pid is that of our child, which has not been waited for, so it names no other process.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // SAFETY: as above; no status is asked for.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_namespace_is_another_one() {
        let held = match HeldNamespace::new() {
            Ok(held) => held,
            Err(error) => {
                assert!(std::env::var_os("SHEDBOX_TEST_STRICT").is_none(), "{error}");
                eprintln!("SKIPPED: no user namespaces here: {error}");
                return;
            }
        };
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
        assert_ne!(namespace(&held.pid().to_string()), namespace("self"));
        let pid = held.pid();
        drop(held);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn new_namespaces_have_a_root_of_their_own() {
        let mut seen = None;
        match in_new_namespaces(&mut || {
            seen = Some((
                crate::process::own_uid(),
                std::fs::read_to_string("/proc/self/uid_map"),
            ));
        }) {
            Ok(()) => {
                let (uid, map) = seen.unwrap();
                assert_eq!(uid, 0);
                let map = map.unwrap();
                let fields: Vec<&str> = map.split_ascii_whitespace().collect();
                assert_eq!((fields[0], fields[2]), ("0", "1"));
            }
            Err(error) => {
                assert!(std::env::var_os("SHEDBOX_TEST_STRICT").is_none(), "{error}");
                eprintln!("SKIPPED: no user namespaces here: {error}");
            }
        }
    }

    #[test]
    fn landlock_is_a_small_number() {
        assert!(landlock_abi() < 100);
    }
}
