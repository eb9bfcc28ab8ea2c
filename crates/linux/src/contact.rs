//! A system call filter against contact with other processes of the host, for a program that shares its namespaces:
//! sockets by family and kind, System V IPC, POSIX message queues, limits of other processes.
//!
//! It is short and written by hand. Numbers are compared in 32 bits where the kernel takes an `int`. Other ABIs of the
//! machine and io_uring, which could make sockets unseen, are refused whole. What is refused answers EACCES (limits of
//! others EPERM, as the kernel does), calls that are closed altogether ENOSYS.

use crate::bpf::{ALLOW, ARCHITECTURE, ERRNO, Filter, NATIVE, NUMBER, X32, and, answer, high, low};
use crate::errno::Errno;

/// What may be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// Sockets of the UNIX family. Without them a pair of connected ones can still be made.
    pub unix: bool,
    /// Sockets of the internet families.
    pub internet: Internet,
}

/// Which sockets of the internet families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Internet {
    /// None, and of no other family but UNIX.
    Closed,
    /// TCP alone: not UDP, not multipath TCP, not SCTP, none of another family but UNIX.
    Tcp,
    /// Sockets of any family.
    Open,
}

/// Kinds of sockets are in the low four bits; the rest are flags.
const KIND: u32 = 0xf;

/// Calls that are closed altogether.
const CLOSED: [libc::c_long; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];
/// Calls that reach what others of the same user share.
const SHARED: [libc::c_long; 5] = [
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
];

/// The filter, packed for [`seccomp::install`](crate::seccomp::install).
pub fn filter(contact: Contact) -> Vec<u64> {
    let mut filter = Filter::default();
    let closed = ERRNO | Errno::ENOSYS as u32;
    let denied = ERRNO | Errno::EACCES as u32;
    filter.load(ARCHITECTURE);
    filter.unless_equal(NATIVE, &[answer(closed)]);
    filter.load(NUMBER);
    filter.when_at_least(X32, &[answer(closed)]);
    for call in CLOSED {
        filter.when_equal(call as u32, &[answer(closed)]);
    }
    for call in SHARED {
        filter.when_equal(call as u32, &[answer(denied)]);
    }
    filter.when_equal(libc::SYS_socket as u32, &sockets(contact));
    filter.when_equal(libc::SYS_socketpair as u32, &pairs(contact));
    filter.when_equal(libc::SYS_prlimit64 as u32, &limits());
    filter.push(answer(ALLOW));
    filter.0
}

fn sockets(contact: Contact) -> Vec<u64> {
    let denied = ERRNO | Errno::EACCES as u32;
    let mut filter = Filter::default();
    filter.load(low(0));
    let unix = if contact.unix { ALLOW } else { denied };
    filter.when_equal(libc::AF_UNIX as u32, &[answer(unix)]);
    match contact.internet {
        Internet::Closed => filter.push(answer(denied)),
        Internet::Open => filter.push(answer(ALLOW)),
        Internet::Tcp => {
            let mut tcp = Filter::default();
            tcp.load(low(1));
            tcp.push(and(KIND));
            tcp.unless_equal(libc::SOCK_STREAM as u32, &[answer(denied)]);
            tcp.load(low(2));
            tcp.when_equal(0, &[answer(ALLOW)]);
            tcp.when_equal(libc::IPPROTO_TCP as u32, &[answer(ALLOW)]);
            tcp.push(answer(denied));
            filter.when_equal(libc::AF_INET as u32, &tcp.0);
            filter.when_equal(libc::AF_INET6 as u32, &tcp.0);
            filter.push(answer(denied));
        }
    }
    filter.0
}

/// A pair of datagram sockets can be pointed at any other address afterwards; the other kinds cannot.
fn pairs(contact: Contact) -> Vec<u64> {
    let mut filter = Filter::default();
    if !contact.unix {
        filter.load(low(1));
        filter.push(and(KIND));
        let denied = answer(ERRNO | Errno::EACCES as u32);
        filter.when_equal(libc::SOCK_DGRAM as u32, &[denied]);
    }
    filter.push(answer(ALLOW));
    filter.0
}

/// A process reads limits of any, and changes only its own.
fn limits() -> Vec<u64> {
    let mut change = Filter::default();
    change.load(low(0));
    change.when_equal(0, &[answer(ALLOW)]);
    change.push(answer(ERRNO | Errno::EPERM as u32));
    let mut filter = Filter::default();
    // The pointer to the new limits, in two halves.
    for half in [low(2), high(2)] {
        filter.load(half);
        filter.unless_equal(0, &change.0);
    }
    filter.push(answer(ALLOW));
    filter.0
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;
