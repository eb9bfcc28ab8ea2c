#![allow(
    unsafe_code,
    reason = "raw calls with arguments that no wrapper would pass"
)]

use super::*;
use crate::seccomp;

/// What each attempt answers under a filter, in a thread of its own: a filter binds one thread for good.
fn under(contact: Contact, attempt: fn() -> Vec<Errno>) -> Vec<Errno> {
    std::thread::spawn(move || {
        seccomp::no_new_privs().unwrap();
        seccomp::install(&filter(contact)).unwrap();
        attempt()
    })
    .join()
    .unwrap()
}

fn socket(family: u64, kind: u64, protocol: u64) -> Errno {
    use rustix::fd::FromRawFd;
    // SAFETY: takes plain numbers; what it makes is owned below.
    let fd = unsafe { libc::syscall(libc::SYS_socket, family, kind, protocol) };
    if fd < 0 {
        return Errno::last();
    }
    // SAFETY: just made, and nobody else knows it.
    drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) });
    Errno::from_raw(0)
}

const OK: Errno = Errno::UnknownErrno;
const TCP: fn() -> Errno = || socket(2, 1 | 0o2_000_000, 0);

#[test]
fn families_and_kinds() {
    let attempts: fn() -> Vec<Errno> = || {
        vec![
            socket(1, 1, 0),
            TCP(),
            socket(10, 1, 6),
            socket(2, 2, 0),
            socket(2, 1, 262),
            socket(16, 3, 0),
            // High bits that the kernel does not look at.
            socket(1 << 32 | 16, 3, 0),
        ]
    };
    let no = Errno::EACCES;
    for (unix, internet, expected) in [
        (false, Internet::Closed, vec![no; 7]),
        (true, Internet::Closed, vec![OK, no, no, no, no, no, no]),
        (false, Internet::Tcp, vec![no, OK, OK, no, no, no, no]),
        (true, Internet::Tcp, vec![OK, OK, OK, no, no, no, no]),
    ] {
        assert_eq!(under(Contact { unix, internet }, attempts), expected);
    }
    let open = Contact {
        unix: true,
        internet: Internet::Open,
    };
    assert_eq!(under(open, || vec![TCP(), socket(2, 2, 0)]), [OK, OK]);
}

#[test]
fn pairs_that_can_be_pointed_elsewhere() {
    let attempts: fn() -> Vec<Errno> = || {
        [libc::SOCK_STREAM, libc::SOCK_SEQPACKET, libc::SOCK_DGRAM]
            .into_iter()
            .map(|kind| {
                let mut pair = [0; 2];
                // SAFETY: the kernel writes two descriptors to a live array of two.
                let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
                if made == 0 { OK } else { Errno::last() }
            })
            .collect()
    };
    let closed = Contact {
        unix: false,
        internet: Internet::Closed,
    };
    assert_eq!(under(closed, attempts), [OK, OK, Errno::EACCES]);
    let unix = Contact {
        unix: true,
        ..closed
    };
    assert_eq!(under(unix, attempts), [OK, OK, OK]);
}

#[test]
fn what_others_share_is_closed() {
    let attempts: fn() -> Vec<Errno> = || {
        let call = |number: libc::c_long, a: i64, b: i64, c: i64| {
            // SAFETY: refused before it does anything; the arguments are plain numbers.
            let result = unsafe { libc::syscall(number, a, b, c, 0) };
            if result == 0 { OK } else { Errno::last() }
        };
        let limit = [u64::MAX; 2];
        vec![
            call(libc::SYS_shmget, 0, 1, 0),
            call(libc::SYS_shmat, 0, 0, 0),
            call(libc::SYS_semget, 0, 1, 0),
            call(libc::SYS_msgget, 0, 0, 0),
            call(libc::SYS_io_uring_setup, 0, 0, 0),
            call(libc::SYS_prlimit64, 1, 0, (&raw const limit) as i64),
            call(libc::SYS_prlimit64, 0, 0, 0),
            call(0x4000_0000, 0, 0, 0),
        ]
    };
    let closed = Contact {
        unix: false,
        internet: Internet::Closed,
    };
    let (no, none) = (Errno::EACCES, Errno::ENOSYS);
    assert_eq!(
        under(closed, attempts),
        [no, no, no, no, none, Errno::EPERM, OK, none]
    );
}
