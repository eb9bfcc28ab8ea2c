//! seccomp filters: putting a compiled one in force. Source: seccomp(2), bpf(4).
//!
//! Filters are compiled elsewhere; here they are lists of `struct sock_filter`, each packed in a u64 in memory order.
//! All calls act on the calling thread and neither allocate nor lock, so they may be made in a vfork child; errors are
//! bare codes for the same reason.

#![allow(unsafe_code, reason = "seccomp(2) has no wrapper in nix or rustix")]

use crate::errno::Errno;
use crate::process::Result;

#[cfg(target_endian = "big")]
compile_error!("filters are packed for little-endian machines");

/// Most instructions of one filter: the kernel's BPF_MAXINSNS.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Argument of seccomp(2): a counted list of instructions.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u64,
}

const SET_MODE_FILTER: libc::c_ulong = 1;
const GET_ACTION_AVAIL: libc::c_ulong = 2;
/// Do not turn on the speculation mitigations that cost a sandboxed process speed and protect only it from itself.
const FLAG_SPEC_ALLOW: libc::c_ulong = 1 << 2;
const RET_KILL_PROCESS: u32 = 0x8000_0000;

/// No execve(2) from here on can gain privileges; without it an unprivileged filter is refused.
pub use crate::process::no_new_privileges as no_new_privs;

/// Puts `filter` in force for this thread and all its children, for good. Linux 4.17. An empty filter is EINVAL.
///
/// EACCES: [`no_new_privs`] has not been called. EINVAL: not a valid filter.
pub fn install(filter: &[u64]) -> Result<()> {
    if filter.is_empty() || filter.len() > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL);
    }
    let program = Program {
        length: filter.len() as u16,
        instructions: filter.as_ptr(),
    };
    // SAFETY: the kernel reads `length` eight-byte instructions from the slice during the call and checks each; a u64
    // has the size of a `sock_filter` and at least its alignment.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::last())
    }
}

/// True when this kernel has seccomp filters that can end a process (Linux 4.14); no filter is installed.
pub fn available() -> bool {
    let action = RET_KILL_PROCESS;
    // SAFETY: the kernel reads one u32 from `action` during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) };
    result == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct sock_filter` with its fields in memory order.
    fn instruction(code: u16, jump_true: u8, jump_false: u8, k: u32) -> u64 {
        u64::from(code)
            | u64::from(jump_true) << 16
            | u64::from(jump_false) << 24
            | u64::from(k) << 32
    }

    #[test]
    fn a_filter_answers_in_place_of_the_kernel() {
        const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
        const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
        const RETURN: u16 = 0x06; // BPF_RET | BPF_K
        let filter = [
            instruction(LOAD, 0, 0, 0), // seccomp_data.nr
            instruction(JUMP_EQUAL, 0, 1, libc::SYS_getppid as u32),
            instruction(RETURN, 0, 0, 0x0005_0000 | Errno::EUCLEAN as u32),
            instruction(RETURN, 0, 0, 0x7fff_0000),
        ];
        assert!(available());
        assert_eq!(install(&[]), Err(Errno::EINVAL));
        assert_eq!(install(&[0; MAX_INSTRUCTIONS + 1]), Err(Errno::EINVAL));
        // The filter binds only this thread, which ends with it.
        std::thread::spawn(move || {
            no_new_privs().unwrap();
            assert_eq!(install(&[u64::MAX]), Err(Errno::EINVAL));
            install(&filter).unwrap();
            // SAFETY: takes no arguments.
            assert_eq!(unsafe { libc::syscall(libc::SYS_getppid) }, -1);
            assert_eq!(Errno::last(), Errno::EUCLEAN);
        })
        .join()
        .unwrap();
    }
}
