//! A system call filter against contact with other processes of the host, for a program that shares its namespaces:
//! sockets by family and kind, System V IPC, POSIX message queues, limits of other processes.
//!
//! It is short and written by hand. Numbers are compared in 32 bits where the kernel takes an `int`. Other ABIs of the
//! machine and io_uring, which could make sockets unseen, are refused whole. What is refused answers EACCES (limits of
//! others EPERM, as the kernel does), calls that are closed altogether ENOSYS.

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

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
/// Calls from this number on are those of x32; no other architecture has them.
const X32: u32 = 0x4000_0000;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Offset of the low half of an argument, on a little-endian machine.
const fn low(argument: u32) -> u32 {
    16 + 8 * argument
}

/// Offset of the high half.
const fn high(argument: u32) -> u32 {
    low(argument) + 4
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
    let mut filter = Filter(Vec::new());
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
    filter.0.push(answer(ALLOW));
    filter.0
}

fn sockets(contact: Contact) -> Vec<u64> {
    let denied = ERRNO | Errno::EACCES as u32;
    let mut filter = Filter(Vec::new());
    filter.load(low(0));
    let unix = if contact.unix { ALLOW } else { denied };
    filter.when_equal(libc::AF_UNIX as u32, &[answer(unix)]);
    match contact.internet {
        Internet::Closed => filter.0.push(answer(denied)),
        Internet::Open => filter.0.push(answer(ALLOW)),
        Internet::Tcp => {
            let mut tcp = Filter(Vec::new());
            tcp.load(low(1));
            tcp.0.push(instruction(AND, 0, 0, KIND));
            tcp.unless_equal(libc::SOCK_STREAM as u32, &[answer(denied)]);
            tcp.load(low(2));
            tcp.when_equal(0, &[answer(ALLOW)]);
            tcp.when_equal(libc::IPPROTO_TCP as u32, &[answer(ALLOW)]);
            tcp.0.push(answer(denied));
            filter.when_equal(libc::AF_INET as u32, &tcp.0);
            filter.when_equal(libc::AF_INET6 as u32, &tcp.0);
            filter.0.push(answer(denied));
        }
    }
    filter.0
}

/// A pair of datagram sockets can be pointed at any other address afterwards; the other kinds cannot.
fn pairs(contact: Contact) -> Vec<u64> {
    let mut filter = Filter(Vec::new());
    if !contact.unix {
        filter.load(low(1));
        filter.0.push(instruction(AND, 0, 0, KIND));
        let denied = answer(ERRNO | Errno::EACCES as u32);
        filter.when_equal(libc::SOCK_DGRAM as u32, &[denied]);
    }
    filter.0.push(answer(ALLOW));
    filter.0
}

/// A process reads limits of any, and changes only its own.
fn limits() -> Vec<u64> {
    let mut change = Filter(Vec::new());
    change.load(low(0));
    change.when_equal(0, &[answer(ALLOW)]);
    change.0.push(answer(ERRNO | Errno::EPERM as u32));
    let mut filter = Filter(Vec::new());
    // The pointer to the new limits, in two halves.
    for half in [low(2), high(2)] {
        filter.load(half);
        filter.unless_equal(0, &change.0);
    }
    filter.0.push(answer(ALLOW));
    filter.0
}

/// Instructions so far. A block that is entered by a jump ends by an answer, so it never comes back.
struct Filter(Vec<u64>);

impl Filter {
    fn load(&mut self, offset: u32) {
        self.0.push(instruction(LOAD, 0, 0, offset));
    }

    fn when_equal(&mut self, value: u32, block: &[u64]) {
        self.0
            .push(instruction(JUMP_EQUAL, 0, block.len() as u8, value));
        self.0.extend_from_slice(block);
    }

    fn unless_equal(&mut self, value: u32, block: &[u64]) {
        self.0
            .push(instruction(JUMP_EQUAL, block.len() as u8, 0, value));
        self.0.extend_from_slice(block);
    }

    fn when_at_least(&mut self, value: u32, block: &[u64]) {
        self.0
            .push(instruction(JUMP_AT_LEAST, 0, block.len() as u8, value));
        self.0.extend_from_slice(block);
    }
}

fn answer(action: u32) -> u64 {
    instruction(RETURN, 0, 0, action)
}

/// `struct sock_filter` with its fields in memory order.
fn instruction(code: u16, jump_true: u8, jump_false: u8, k: u32) -> u64 {
    u64::from(code) | u64::from(jump_true) << 16 | u64::from(jump_false) << 24 | u64::from(k) << 32
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;
