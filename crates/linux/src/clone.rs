//! clone(2) and clone3(2): a copy of this process in new namespaces, and a vfork-style child, also right in a cgroup.
//!
//! Both are for single-threaded processes: a copied lock of another thread would never be released.

#![allow(
    unsafe_code,
    reason = "clone3 has no wrapper in nix or rustix; clone's contract cannot be checked by types"
)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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
/// The child starts in another cgroup. Source: linux/sched.h; Linux 5.7.
const INTO_CGROUP: u64 = 0x2_0000_0000;

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

/// Copies this process as fork(2) does, with `flags` of this module. Linux 5.2 (CLONE_PIDFD).
///
/// By clone(2) and not clone3(2), which the system call filter of a sandbox refuses to init as well.
///
/// # Safety
/// The caller must be single-threaded: memory is copied, other threads are not, and their locks stay locked.
pub unsafe fn fork(flags: u64) -> Result<Side> {
    let mut pidfd: RawFd = -1;
    let exit_signal = if flags & PARENT == 0 {
        libc::SIGCHLD as u64
    } else {
        0
    };
    let all = flags | libc::CLONE_PIDFD as u64 | exit_signal;
    // SAFETY: without CLONE_VM and with no stack the child goes on with a copy of this stack, as after fork(2); the
    // kernel writes the third argument, `pidfd`, before the parent returns, and reads none of the last two, whose order
    // depends on the machine.
    let pid = unsafe { libc::syscall(libc::SYS_clone, all, 0, &raw mut pidfd, 0, 0) };
    match pid {
        -1 => Err(Error::new("clone", flag_names(flags), Errno::last())),
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

/// Safe form of [`fork`]: refuses with EBUSY when this process has other threads.
pub fn fork_into(flags: u64) -> Result<Side> {
    let tasks = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if tasks > 1 {
        return Err(Error::new(
            "clone",
            format!("{tasks} threads"),
            Errno::EBUSY,
        ));
    }
    // SAFETY: one thread, as just counted: no other can start one.
    unsafe { fork(flags) }
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
/// With `cgroup`, the descriptor of a directory of version 2, it is born there (Linux 5.7). A process that moves itself
/// later waits for every processor to pass through the kernel once, which takes as long as ten short commands. The caller
/// must be allowed to write `cgroup.procs` in that directory and in the lowest one that it has in common with its own.
/// This uses clone3, so a seccomp filter of this process must let that pass. Source: clone(2), CLONE_INTO_CGROUP.
///
/// # Safety
/// Single-threaded caller. `child` must not unwind and must not leave memory in a state that the parent cannot use.
pub unsafe fn vfork(
    stack: &mut Stack,
    share_files: bool,
    cgroup: Option<BorrowedFd<'_>>,
    child: &mut dyn FnMut() -> i32,
) -> Result<Child> {
    extern "C" fn enter(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `argument` is the address of `child` below, which the suspended parent keeps alive.
        let child = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> i32>() };
        child()
    }
    let mut child = child;
    let argument = (&raw mut child).cast();
    let mut pidfd: RawFd = -1;
    let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    if share_files {
        flags |= libc::CLONE_FILES;
    }
    let pid = if let Some(cgroup) = cgroup {
        let args = CloneArgs {
            flags: flags as u64 | INTO_CGROUP,
            pidfd: (&raw mut pidfd) as u64,
            exit_signal: libc::SIGCHLD as u64,
            stack: stack.base as u64,
            stack_size: stack.size as u64,
            cgroup: cgroup.as_raw_fd() as u64,
            ..CloneArgs::default()
        };
        // SAFETY: `args`, `child` and `pidfd` outlive the call; the stack is mapped, writable and unused while the child
        // runs; `enter` takes the address of `child` and does not unwind; CLONE_VFORK suspends this thread until the
        // child no longer uses the memory.
        match unsafe { clone3_and_call(&args, enter, argument) } {
            pid if pid < 0 => {
                let errno = Errno::from_raw(-pid as i32);
                return Err(Error::new("clone3", "VM|VFORK|INTO_CGROUP", errno));
            }
            pid => pid as i32,
        }
    } else {
        // SAFETY: one past the end of the mapping, aligned to a page: the ABI's start of a downward stack.
        let top = unsafe { stack.base.byte_add(stack.size) };
        // SAFETY: the stack is mapped, writable and unused while the child runs; `child` and `pidfd` live until the
        // parent resumes; CLONE_VFORK suspends the parent until the child no longer uses this memory.
        match unsafe { libc::clone(enter, top, flags | libc::SIGCHLD, argument, &raw mut pidfd) } {
            pid if pid < 0 => return Err(Error::new("clone", "VM|VFORK", Errno::last())),
            pid => pid,
        }
    };
    // SAFETY: made by the kernel for this call (CLONE_PIDFD); with CLONE_FILES the child does not know its number.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// clone3 with a stack for the child: the child calls `enter(argument)` on it and ends with that status. Gives the pid,
/// or an errno as a negative number. libc offers clone3 to nobody, and a child on another stack cannot return into a
/// function of Rust's.
///
/// # Safety
/// `args` names a stack of the child's own; `enter` does not unwind, and `argument` is what it takes.
unsafe fn clone3_and_call(
    args: &CloneArgs,
    enter: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    argument: *mut libc::c_void,
) -> i64 {
    let result: i64;
    // SAFETY: the parent's side changes no register but those declared. The child has a copy of the registers and an
    // empty stack, aligned as the ABI wants it because it ends on a page border, and never leaves this block.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {argument}",
            "call {enter}",
            "mov edi, eax",
            "mov eax, {exit_group}",
            "syscall",
            "ud2",
            "2:",
            argument = in(reg) argument,
            enter = in(reg) enter,
            exit_group = const libc::SYS_exit_group,
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            // Not `lateout`: the child still needs `argument` and `enter` when the call has changed these.
            out("rcx") _,
            out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, {argument}",
            "blr {enter}",
            "mov x8, {exit_group}",
            "svc 0",
            "brk 1",
            "2:",
            argument = in(reg) argument,
            enter = in(reg) enter,
            exit_group = const libc::SYS_exit_group,
            in("x8") libc::SYS_clone3,
            inlateout("x0") args => result,
            in("x1") size_of::<CloneArgs>(),
        );
    }
    result
}

/// Safe form of [`vfork`]: a panic of `child` ends it with status 101 instead of unwinding into a foreign frame.
///
/// With `share_files` descriptors that the child opens or closes are this process's own. Without it the child has
/// copies: a descriptor must not be dropped in it, because the parent would believe it closed.
pub fn borrow_process(
    stack: &mut Stack,
    share_files: bool,
    cgroup: Option<BorrowedFd<'_>>,
    child: &mut dyn FnMut() -> i32,
) -> Result<Child> {
    let mut guarded =
        || std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut *child)).unwrap_or(101);
    // SAFETY: this thread is suspended while the child runs on its memory, so the child sees what the thread left; the
    // closure cannot unwind. Other threads go on as during posix_spawn(3): their locks are released by themselves.
    unsafe { vfork(stack, share_files, cgroup, &mut guarded) }
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
            vfork(&mut stack, false, None, &mut || {
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

    /// The cgroup v2 that this process is in, when there is one: then its directory can be cloned into.
    #[test]
    fn vfork_into_its_own_cgroup_or_a_clear_error() {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = own.lines().find_map(|line| line.strip_prefix("0::"));
        // Alone, or beside version 1.
        let dir = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .iter()
            .filter(|root| std::path::Path::new(&format!("{root}/cgroup.procs")).exists())
            .find_map(|root| std::fs::File::open(format!("{root}{}", path?)).ok())
            .unwrap_or_else(|| std::fs::File::open("/").unwrap());
        let mut stack = Stack::new(64 << 10).unwrap();
        let mut seen = [0u64; 4];
        let outcome = borrow_process(&mut stack, false, Some(dir.as_fd()), &mut || {
            // Aligned vector code and a deeper frame: the stack is one that the ABI allows.
            seen = std::array::from_fn(|index| index as u64 + u64::from(std::process::id() > 0));
            5
        });
        match outcome {
            Ok(child) => {
                assert_eq!(seen, [1, 2, 3, 4]);
                let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
                assert_eq!(status.unwrap().unwrap().exit_status(), Some(5));
            }
            // Not a cgroup, or not ours to enter.
            Err(error) => {
                assert!(
                    matches!(error.errno, Errno::EBADF | Errno::EACCES | Errno::ENOENT),
                    "{error}"
                );
                assert_eq!(seen, [0; 4]);
            }
        }
    }
}
