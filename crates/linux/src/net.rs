//! The loopback interface of a new network namespace. Source: netdevice(7).

#![allow(
    unsafe_code,
    reason = "interface requests have no wrapper in nix or rustix"
)]

use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::errno::{Context, Errno, Error, Result};

/// Sets `lo` up in this thread's network namespace. Needs CAP_NET_ADMIN there.
pub fn loopback_up() -> Result<()> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .call("socket", || "AF_INET".into())?;
    // SAFETY: ifreq is plain data for which zero bytes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq with a terminated name, which lives during the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(Error::new("ioctl", "SIOCSIFFLAGS lo", Errno::last()))
    }
}

/// Gives this thread a network namespace of its own. Needs CAP_SYS_ADMIN. Source: unshare(2).
#[expect(
    deprecated,
    reason = "the other function of rustix is unsafe for flags that are not used here"
)]
pub fn unshare() -> Result<()> {
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)
        .call("unshare", || "NEWNET".into())
}

/// Runs `work` on this thread in another network namespace, and comes back. The way back is the namespace of `home`.
/// Source: setns(2).
pub fn within<T>(
    namespace: std::os::fd::BorrowedFd<'_>,
    home: std::os::fd::BorrowedFd<'_>,
    work: impl FnOnce() -> T,
) -> Result<T> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let enter = |fd| {
        move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))
            .call("setns", || "network".into())
    };
    enter(namespace)?;
    let outcome = work();
    enter(home)?;
    Ok(outcome)
}

/// This thread's network namespace.
pub fn own_namespace() -> Result<std::os::fd::OwnedFd> {
    rustix::fs::open(
        "/proc/thread-self/ns/net",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .call("open", || "/proc/thread-self/ns/net".into())
}

/// Bytes that were sent and that the other end has not taken yet: with a unix socket, read; with TCP, acknowledged. Source:
/// unix(7), tcp(7), SIOCOUTQ.
pub fn unsent(socket: impl AsFd) -> Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, which has the number of SIOCOUTQ, writes one int behind the pointer.
    let outcome =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if outcome == 0 {
        Ok(usize::try_from(count).unwrap_or(0))
    } else {
        Err(Errno::last()).call("ioctl", || "SIOCOUTQ".into())
    }
}
