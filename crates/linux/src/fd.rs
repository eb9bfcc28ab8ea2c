//! Descriptors as a set: which stay open, and where.

#![allow(unsafe_code, reason = "close_range has no wrapper in nix or rustix")]

use std::os::fd::{AsFd, OwnedFd};

use crate::errno::{Context, Errno, Error, Result};

/// Closes every descriptor from `first` on. Linux 5.9. Safe to call in a vfork child.
///
/// # Safety
/// No value of this process that owns one of them may be used or dropped afterwards.
pub unsafe fn close_from(first: u32) -> Result<()> {
    // SAFETY: the caller gives up all these descriptors; the call itself touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(Error::new("close_range", first.to_string(), Errno::last()))
    }
}

/// Moves `fds` to the numbers `first`, `first + 1`, … and closes everything above them.
///
/// # Safety
/// As [`close_from`]: this process must be a fresh copy that uses none of its other descriptors any more.
pub unsafe fn keep_only(fds: Vec<OwnedFd>, first: i32) -> Result<Vec<OwnedFd>> {
    use std::os::fd::{FromRawFd, IntoRawFd};
    let count = fds.len() as i32;
    // Out of the way first, so that no move overwrites one that is still to be moved.
    let high = first + count + 64;
    let mut parked = Vec::with_capacity(fds.len());
    for fd in fds {
        let copy = rustix::io::fcntl_dupfd_cloexec(&fd, high)
            .call("fcntl", || "F_DUPFD_CLOEXEC".into())?;
        let _ = fd.into_raw_fd(); // closed with the rest below
        parked.push(copy);
    }
    let mut kept = Vec::with_capacity(parked.len());
    for (index, fd) in parked.into_iter().enumerate() {
        let number = first + index as i32;
        // SAFETY: the caller uses nothing at this number; ownership of it is taken here.
        let mut target = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::dup3(&fd, &mut target, rustix::io::DupFlags::CLOEXEC)
            .call("dup3", || number.to_string())?;
        let _ = fd.into_raw_fd();
        kept.push(std::mem::ManuallyDrop::into_inner(target));
    }
    // SAFETY: the numbers below are the ones just kept; the rest is given up by the caller.
    unsafe { close_from((first + count) as u32)? };
    Ok(kept)
}

/// Makes `fd` the process's standard descriptor `number` (0, 1 or 2), open across execve.
pub fn become_stdio(fd: impl AsFd, number: i32) -> std::result::Result<(), rustix::io::Errno> {
    match number {
        0 => rustix::stdio::dup2_stdin(fd),
        1 => rustix::stdio::dup2_stdout(fd),
        _ => rustix::stdio::dup2_stderr(fd),
    }
}

/// True for pipes, FIFOs and sockets: what may be handed to a sandboxed process as a standard stream.
pub fn is_stream(fd: impl AsFd) -> Result<bool> {
    let mode = rustix::fs::fstat(fd).call("fstat", String::new)?.st_mode;
    let kind = rustix::fs::FileType::from_raw_mode(mode);
    Ok(matches!(
        kind,
        rustix::fs::FileType::Fifo | rustix::fs::FileType::Socket
    ))
}

/// A descriptor given to this process by number, as after socket activation or from its parent.
///
/// # Safety
/// Nothing else in this process may own `number`.
pub unsafe fn adopt(number: i32) -> Result<OwnedFd> {
    use std::os::fd::{BorrowedFd, FromRawFd};
    // SAFETY: borrowed for one call only; a number that is not open fails there with EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)
        .call("fcntl", || format!("descriptor {number}"))?;
    // SAFETY: open, as the call above has shown, and owned by nobody else, as the caller promises.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
