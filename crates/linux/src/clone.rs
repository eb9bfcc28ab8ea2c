//! clone(2) and clone3(2): a copy of this process in new namespaces, and a vfork-style child.
//!
//! Both are for single-threaded processes: a copied lock of another thread would never be released.

#![allow(
    unsafe_code,
    reason = "clone3 has no wrapper in nix or rustix; clone's contract cannot be checked by types"
)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::errno::{Errno, Error, Result};

/// New user namespace.
pub const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
/// New mount namespace.
pub const NEWNS: u64 = libc::CLONE_NEWNS as u64;
/// New pid namespace.
pub const NEWPID: u64 = libc::CLONE_NEWPID as u64;
/// New network namespace.
pub const NEWNET: u64 = libc::CLONE_NEWNET as u64;
/// New System V IPC and POSIX message queue namespace.
pub const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
/// New host name namespace.
pub const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
/// New cgroup namespace.
pub const NEWCGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
/// The child's parent is this process's parent.
pub const PARENT: u64 = libc::CLONE_PARENT as u64;

/// A child of this process.
#[derive(Debug)]
pub struct Child {
    /// Its pid.
    pub pid: i32,
    /// A descriptor that names it beyond reuse of the pid.
    pub pidfd: OwnedFd,
}

/// Which side of a clone this is.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one.
    Parent(Child),
}

#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Copies this process as fork(2) does, with `flags` of this module. Linux 5.3.
///
/// # Safety
/// The caller must be single-threaded: memory is copied, other threads are not, and their locks stay locked.
pub unsafe fn clone3(flags: u64) -> Result<Side> {
    let mut pidfd: RawFd = -1;
    let exit_signal = if flags & PARENT == 0 {
        libc::SIGCHLD as u64
    } else {
        0
    };
    let args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal,
        ..CloneArgs::default()
    };
    // SAFETY: `args` outlives the call and has the size that is passed; without CLONE_VM and with no stack the child
    // goes on with a copy of this stack, as after fork(2); the kernel writes `pidfd` before the parent returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(Error::new("clone3", flag_names(flags), Errno::last())),
        0 => Ok(Side::Child),
        pid => {
            // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD) and nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent(Child {
                pid: pid as i32,
                pidfd,
            }))
        }
    }
}

fn flag_names(flags: u64) -> String {
    let names = [
        (NEWUSER, "NEWUSER"),
        (NEWNS, "NEWNS"),
        (NEWPID, "NEWPID"),
        (NEWNET, "NEWNET"),
        (NEWIPC, "NEWIPC"),
        (NEWUTS, "NEWUTS"),
        (NEWCGROUP, "NEWCGROUP"),
    ];
    names
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| *name)
        .collect::<Vec<_>>()
        .join("|")
}

/// Safe form of [`clone3`]: refuses with EBUSY when this process has other threads.
pub fn fork_into(flags: u64) -> Result<Side> {
    let tasks = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if tasks > 1 {
        return Err(Error::new(
            "clone3",
            format!("{tasks} threads"),
            Errno::EBUSY,
        ));
    }
    // SAFETY: one thread, as just counted: no other can start one.
    unsafe { clone3(flags) }
}

/// A stack for [`vfork`], mapped once and used again for every child.
#[derive(Debug)]
pub struct Stack {
    base: *mut libc::c_void,
    size: usize,
}

impl Stack {
    /// Maps `size` bytes (a multiple of the page size) with an unmapped page below them.
    pub fn new(size: usize) -> Result<Self> {
        const GUARD: usize = 4096;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size + GUARD,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::new(
                "mmap",
                format!("stack of {size} bytes"),
                Errno::last(),
            ));
        }
        let stack = Self {
            base,
            size: size + GUARD,
        };
        // SAFETY: the first page of the mapping just made; nothing refers to it yet.
        if unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } != 0 {
            return Err(Error::new("mprotect", "guard page", Errno::last()));
        }
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; no child runs on it, because `vfork` returns only after the
        // child has left it.
        unsafe { libc::munmap(self.base, self.size) };
    }
}

/// Runs `child` in a new process that shares this one's memory, and waits until it has called execve(2) or has ended.
///
/// The child may change its own credentials, namespaces, descriptors and signals: they are copies (descriptors are
/// shared with `share_files`). What it writes to memory the parent sees, which is how it reports a failure. It must
/// end by execve or by returning, which ends it with that status.
///
/// # Safety
/// Single-threaded caller. `child` must not unwind and must not leave memory in a state that the parent cannot use.
pub unsafe fn vfork(
    stack: &mut Stack,
    share_files: bool,
    flags: u64,
    child: &mut dyn FnMut() -> i32,
) -> Result<Child> {
    extern "C" fn enter(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `argument` is the address of `child` below, which the suspended parent keeps alive.
        let child = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> i32>() };
        child()
    }
    let mut child = child;
    let mut pidfd: RawFd = -1;
    let mut all = libc::CLONE_VM
        | libc::CLONE_VFORK
        | libc::CLONE_PIDFD
        | libc::SIGCHLD
        | flags as libc::c_int;
    if share_files {
        all |= libc::CLONE_FILES;
    }
    // SAFETY: one past the end of the mapping, aligned to a page: the ABI's start of a downward stack.
    let top = unsafe { stack.base.byte_add(stack.size) };
    // SAFETY: the stack is mapped, writable and unused while the child runs; `child` and `pidfd` live until the parent
    // resumes; CLONE_VFORK suspends the parent until the child no longer uses this memory.
    let pid = unsafe { libc::clone(enter, top, all, (&raw mut child).cast(), &raw mut pidfd) };
    if pid < 0 {
        return Err(Error::new("clone", "VM|VFORK", Errno::last()));
    }
    // SAFETY: made by the kernel for this call (CLONE_PIDFD); with CLONE_FILES the child does not know its number.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// Safe form of [`vfork`]: a panic of `child` ends it with status 101 instead of unwinding into a foreign frame.
///
/// With `share_files` descriptors that the child opens or closes are this process's own. Without it the child has
/// copies: a descriptor must not be dropped in it, because the parent would believe it closed.
pub fn borrow_process(
    stack: &mut Stack,
    share_files: bool,
    child: &mut dyn FnMut() -> i32,
) -> Result<Child> {
    let mut guarded =
        || std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut *child)).unwrap_or(101);
    // SAFETY: this thread is suspended while the child runs on its memory, so the child sees what the thread left; the
    // closure cannot unwind. Other threads go on as during posix_spawn(3): their locks are released by themselves.
    unsafe { vfork(stack, share_files, 0, &mut guarded) }
}

/// Ends this process without running destructors or exit handlers: the end of every cloned child.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;

    #[test]
    fn vfork_shares_memory_and_reports_status() {
        let mut stack = Stack::new(64 << 10).unwrap();
        let mut seen = 0;
        // SAFETY: the closure only writes an integer; other test threads keep their own locks and are not touched.
        let child = unsafe {
            vfork(&mut stack, false, 0, &mut || {
                seen = 7;
                3
            })
        }
        .unwrap();
        assert_eq!(seen, 7);
        let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)
            .unwrap()
            .unwrap();
        assert_eq!(status.exit_status(), Some(3));
    }
}
