//! seccomp filters: putting a compiled one in force. Source: seccomp(2), bpf(4).
//!
//! Filters are compiled elsewhere; here they are lists of `struct sock_filter`, each packed in a u64 in memory order.
//! All calls act on the calling thread and neither allocate nor lock, so they may be made in a vfork child; errors are
//! bare codes for the same reason.

#![allow(unsafe_code, reason = "seccomp(2) has no wrapper in nix or rustix")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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
/// Give a descriptor on which the filter's questions arrive. Linux 5.0.
const FLAG_NEW_LISTENER: libc::c_ulong = 1 << 3;
const RET_KILL_PROCESS: u32 = 0x8000_0000;
/// `_IOWR('!', 0, struct seccomp_notif)` and `_IOWR('!', 1, struct seccomp_notif_resp)`.
const NOTIF_RECV: libc::Ioctl = 0xc050_2100_u32 as libc::Ioctl;
const NOTIF_SEND: libc::Ioctl = 0xc018_2101_u32 as libc::Ioctl;
/// The call goes on as if there were no filter. Linux 5.5.
const RESPONSE_CONTINUE: u32 = 1;

/// No execve(2) from here on can gain privileges; without it an unprivileged filter is refused.
pub use crate::process::no_new_privileges as no_new_privs;

/// Puts `filter` in force for this thread and all its children, for good. Linux 4.17. An empty filter is EINVAL.
///
/// EACCES: [`no_new_privs`] has not been called. EINVAL: not a valid filter.
pub fn install(filter: &[u64]) -> Result<()> {
    set_filter(filter, FLAG_SPEC_ALLOW).map(|_| ())
}

/// The same for a filter that asks (SECCOMP_RET_USER_NOTIF). Whoever makes a call that it asks about sleeps until the
/// listener has answered, and gets ENOSYS when the listener has gone: the caller of this must never make such a call
/// itself. Linux 5.5. EBUSY: a filter that is in force has a listener already.
pub fn install_asking(filter: &[u64]) -> Result<Listener> {
    let fd = set_filter(filter, FLAG_SPEC_ALLOW | FLAG_NEW_LISTENER)?;
    // SAFETY: with FLAG_NEW_LISTENER the call returns a new descriptor, close-on-exec, that nobody else knows.
    Ok(Listener(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn set_filter(filter: &[u64], flags: libc::c_ulong) -> Result<i32> {
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
            flags,
            &raw const program,
        )
    };
    if result >= 0 {
        Ok(result as i32)
    } else {
        Err(Errno::last())
    }
}

/// Where the questions of a filter arrive. Readable when there is one.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call that somebody waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// For the answer.
    pub id: u64,
    /// The kernel's name of the ABI that the call was made by, AUDIT_ARCH_*.
    pub architecture: u32,
    /// The number of the call in that ABI.
    pub call: i32,
    /// Its arguments, as they were when it was made.
    pub arguments: [u64; 6],
}

/// `struct seccomp_notif`, with the `struct seccomp_data` in it.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    call: i32,
    architecture: u32,
    instruction_pointer: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

impl Listener {
    /// The next question; waits when there is none. `None` when whoever asked has gone meanwhile.
    pub fn receive(&self) -> Result<Option<Question>> {
        // The kernel wants it to be all zero.
        let mut notification = Notification::default();
        // SAFETY: the kernel writes one `struct seccomp_notif`, whose layout and size `Notification` has.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), NOTIF_RECV, &raw mut notification) };
        let failed = (result != 0).then(Errno::last);
        match failed {
            None => Ok(Some(Question {
                id: notification.id,
                architecture: notification.architecture,
                call: notification.call,
                arguments: notification.arguments,
            })),
            Some(Errno::ENOENT | Errno::EINTR) => Ok(None),
            Some(errno) => Err(errno),
        }
    }

    /// Answers: the call is made as if there were no filter.
    pub fn let_pass(&self, question: &Question) -> Result<()> {
        let response = Response {
            id: question.id,
            value: 0,
            error: 0,
            flags: RESPONSE_CONTINUE,
        };
        // SAFETY: the kernel reads one `struct seccomp_notif_resp`, whose layout and size `Response` has.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), NOTIF_SEND, &raw const response) };
        let failed = (result != 0).then(Errno::last);
        match failed {
            // Whoever asked was killed meanwhile.
            None | Some(Errno::ENOENT) => Ok(()),
            Some(errno) => Err(errno),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
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
    fn a_listener_lets_calls_pass() {
        const LOAD: u16 = 0x20;
        const JUMP_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let filter = [
            instruction(LOAD, 0, 0, 0),
            instruction(JUMP_EQUAL, 0, 1, libc::SYS_getppid as u32),
            instruction(RETURN, 0, 0, 0x7fc0_0000), // SECCOMP_RET_USER_NOTIF
            instruction(RETURN, 0, 0, 0x7fff_0000),
        ];
        let (sender, receiver) = std::sync::mpsc::channel();
        let asker = std::thread::spawn(move || {
            no_new_privs().unwrap();
            sender.send(install_asking(&filter).unwrap()).unwrap();
            // SAFETY: takes no arguments.
            let answered = unsafe { libc::syscall(libc::SYS_getppid) };
            (answered, i64::from(std::os::unix::process::parent_id()))
        });
        let listener = receiver.recv().unwrap();
        for _ in 0..2 {
            let question = listener.receive().unwrap().unwrap();
            assert_eq!(i64::from(question.call), libc::SYS_getppid);
            listener.let_pass(&question).unwrap();
        }
        let (raw, known) = asker.join().unwrap();
        assert_eq!(raw, known);
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
        assert_eq!(install(&vec![0; MAX_INSTRUCTIONS + 1]), Err(Errno::EINVAL));
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
