//! A seccomp filter that takes a few calls away, for a process of ours that is set up and goes on without them. Source:
//! seccomp(2), bpf(4).
//!
//! Numbers are those of this machine's own ABI; a call by any other is refused. Arguments are compared in the 32 bits that
//! the kernel reads of them.

use crate::bpf::{ALLOW, ARCHITECTURE, ERRNO, Filter, NATIVE, NUMBER, X32, and, answer, low};
use crate::errno::Errno;
use crate::seccomp::MAX_INSTRUCTIONS;

pub mod calls;

/// Values of arguments. Source: clone(2), setns(2), socket(2).
pub mod flags {
    /// A thread of this process, and no process.
    pub const THREAD: u32 = libc::CLONE_THREAD as u32;
    /// Every flag that makes a namespace.
    pub const NAMESPACES: u32 = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u32;
    /// A network namespace.
    pub const NETWORK_NAMESPACE: u32 = libc::CLONE_NEWNET as u32;
    /// Families of sockets.
    pub const INET: u32 = libc::AF_INET as u32;
    /// The same.
    pub const INET6: u32 = libc::AF_INET6 as u32;
    /// The same.
    pub const NETLINK: u32 = libc::AF_NETLINK as u32;
    /// Type of a socket, without its flags.
    pub const STREAM: u32 = libc::SOCK_STREAM as u32;
}

/// What is refused: EPERM, but for [`Refusal::Absent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A call, always.
    Call(i64),
    /// A call that an older kernel does not have: ENOSYS, so that the C library takes the call before it.
    Absent(i64),
    /// A call unless an argument, less the bits that `mask` leaves out, is one of `values`.
    Unless {
        /// The call.
        call: i64,
        /// Which argument, from 0.
        argument: u32,
        /// The bits that are looked at.
        mask: u32,
        /// What they may be.
        values: Vec<u32>,
    },
}

/// Compiles a filter for [`crate::seccomp::install`]. EINVAL: more than a filter can hold.
pub fn compile(refusals: &[Refusal]) -> Result<Vec<u64>, Errno> {
    let refuse = answer(ERRNO | Errno::EPERM as u32);
    let absent = answer(ERRNO | Errno::ENOSYS as u32);
    let mut filter = Filter::default();
    filter.load(ARCHITECTURE);
    filter.unless_equal(NATIVE, &[refuse]);
    filter.load(NUMBER);
    filter.when_at_least(X32, &[refuse]);
    for refusal in refusals {
        match refusal {
            Refusal::Call(call) => filter.when_equal(number(*call)?, &[refuse]),
            Refusal::Absent(call) => filter.when_equal(number(*call)?, &[absent]),
            Refusal::Unless {
                call,
                argument,
                mask,
                values,
            } => {
                // Ends in an answer either way, so that the number of the call is not needed again.
                let mut body = Filter::default();
                body.load(low(*argument));
                body.push(and(*mask));
                for value in values {
                    body.when_equal(*value, &[answer(ALLOW)]);
                }
                body.push(refuse);
                if body.0.len() > usize::from(u8::MAX) {
                    return Err(Errno::EINVAL);
                }
                filter.when_equal(number(*call)?, &body.0);
            }
        }
    }
    filter.push(answer(ALLOW));
    if filter.0.len() > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL);
    }
    Ok(filter.0)
}

fn number(call: i64) -> Result<u32, Errno> {
    u32::try_from(call).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{install, no_new_privs};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

    fn open(family: AddressFamily) -> Result<(), rustix::io::Errno> {
        socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None).map(drop)
    }

    #[test]
    fn what_is_named_is_refused_and_nothing_else() {
        let filter = compile(&[
            Refusal::Call(calls::GETPRIORITY),
            Refusal::Unless {
                call: calls::SOCKET,
                argument: 0,
                mask: u32::MAX,
                values: vec![libc::AF_INET as u32, libc::AF_NETLINK as u32],
            },
            Refusal::Absent(calls::MEMFD_CREATE),
        ])
        .unwrap();
        // It binds only this thread, which ends with it.
        std::thread::spawn(move || {
            no_new_privs().unwrap();
            install(&filter).unwrap();
            let priority = rustix::process::getpriority_process(None);
            assert_eq!(priority, Err(rustix::io::Errno::PERM));
            assert_eq!(open(AddressFamily::INET), Ok(()));
            assert_eq!(open(AddressFamily::UNIX), Err(rustix::io::Errno::PERM));
            let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC);
            assert_eq!(memory.map(drop), Err(rustix::io::Errno::NOSYS));
            assert!(std::fs::metadata("/").is_ok());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn masks_leave_bits_out() {
        // The type of a socket without its flags.
        let filter = compile(&[Refusal::Unless {
            call: calls::SOCKETPAIR,
            argument: 1,
            mask: 0xf,
            values: vec![libc::SOCK_STREAM as u32],
        }])
        .unwrap();
        std::thread::spawn(move || {
            no_new_privs().unwrap();
            install(&filter).unwrap();
            assert!(std::os::unix::net::UnixStream::pair().is_ok());
            let error = std::os::unix::net::UnixDatagram::pair().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_is_too_long_or_no_number() {
        assert_eq!(compile(&[Refusal::Call(-1)]), Err(Errno::EINVAL));
        let many = vec![Refusal::Call(calls::SOCKET); MAX_INSTRUCTIONS];
        assert_eq!(compile(&many), Err(Errno::EINVAL));
    }
}
