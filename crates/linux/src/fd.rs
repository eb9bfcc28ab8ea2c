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

/// A pipe, closed on execve: (read end, write end).
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call("pipe2", String::new)
}

/// Reads once; 0 bytes is the end. EINTR is tried again.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::io::read(fd.as_fd(), &mut *buffer) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.call("read", String::new),
        }
    }
}

/// Reads once from a place in the file, which its own position has no part in. Source: pread(2).
pub fn read_at(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    loop {
        match rustix::io::pread(fd.as_fd(), &mut *buffer, offset) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.call("pread", String::new),
        }
    }
}

/// Writes once and says how much was taken. EINTR is tried again.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    loop {
        match rustix::io::write(fd.as_fd(), bytes) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.call("write", String::new),
        }
    }
}

/// Writes everything.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = write(fd.as_fd(), bytes)?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Replaces the file `name` in the directory `dir` by one rename; readers see the old or the new content, whole.
pub fn replace_file(dir: impl AsFd, name: &str, content: &[u8]) -> Result<()> {
    use rustix::fs::{Mode, OFlags};
    let temporary = format!(".{name}.new");
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(
        dir.as_fd(),
        temporary.as_str(),
        flags,
        Mode::from_raw_mode(0o600),
    )
    .call("openat", || temporary.clone())?;
    write_all(&file, content)?;
    rustix::fs::renameat(dir.as_fd(), temporary.as_str(), dir.as_fd(), name)
        .call("renameat", || name.to_owned())
}

/// Reads and writes of the open file behind `fd` fail with EAGAIN instead of waiting.
pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd.as_fd()).call("fcntl", || "F_GETFL".into())?;
    rustix::fs::fcntl_setfl(fd.as_fd(), flags | rustix::fs::OFlags::NONBLOCK)
        .call("fcntl", || "F_SETFL".into())
}

/// Takes over the listening socket that a parent left under `number`: checks that it is one.
///
/// Meant for the first lines of a program, when nothing else can own the number.
pub fn adopt_listener(number: i32) -> Result<OwnedFd> {
    adopt_if(number, "a listening socket", |fd| {
        rustix::net::sockopt::socket_acceptconn(fd) == Ok(true)
    })
}

/// The same for one end of a connection that keeps frames apart.
pub fn adopt_connection(number: i32) -> Result<OwnedFd> {
    adopt_if(number, "a connected socket of frames", |fd| {
        rustix::net::sockopt::socket_type(fd) == Ok(rustix::net::SocketType::SEQPACKET)
            && rustix::net::sockopt::socket_acceptconn(fd) == Ok(false)
    })
}

fn adopt_if(number: i32, what: &str, is_it: impl FnOnce(&OwnedFd) -> bool) -> Result<OwnedFd> {
    // SAFETY: descriptors above the standard ones are unknown to this program so early; a wrong number fails below.
    let fd = unsafe { adopt(number)? };
    if is_it(&fd) {
        return Ok(fd);
    }
    let _ = std::os::fd::IntoRawFd::into_raw_fd(fd); // not ours after all: leave it open
    Err(Error::new(
        "getsockopt",
        format!("descriptor {number} is not {what}"),
        Errno::EINVAL,
    ))
}

/// Gives up every descriptor of this process but `fds`, which move to `first` and up. For a process that has just been
/// cloned and goes on with these alone: owners of others must be forgotten, not dropped.
pub fn start_over_with(fds: Vec<OwnedFd>, first: i32) -> Result<Vec<OwnedFd>> {
    // SAFETY: the contract above is the caller's; a violation shows as EBADF, not as memory corruption.
    unsafe { keep_only(fds, first) }
}

/// Closes every descriptor from 3 on: the last step before a program of the sandbox is started.
pub fn close_all_but_stdio() -> std::result::Result<(), Errno> {
    // SAFETY: called in a vfork child with descriptors of its own; its owner values live on in the parent.
    unsafe { close_from(3) }.map_err(|error| error.errno)
}

/// The same, but for `further`, which becomes number 3 and stays open across execve.
pub fn close_all_but_stdio_and(
    further: std::os::fd::BorrowedFd<'_>,
) -> std::result::Result<(), Errno> {
    use std::os::fd::{AsRawFd, FromRawFd};
    let errno = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    if further.as_raw_fd() == 3 {
        // dup3 refuses to copy a descriptor onto itself.
        rustix::io::fcntl_setfd(further, rustix::io::FdFlags::empty()).map_err(errno)?;
    } else {
        // SAFETY: called in a vfork child with descriptors of its own, which is about to close whatever has this number;
        // ManuallyDrop: its owner value lives on in the parent.
        let mut target = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(3) });
        rustix::io::dup3(further, &mut target, rustix::io::DupFlags::empty()).map_err(errno)?;
    }
    // SAFETY: as in `close_all_but_stdio`.
    unsafe { close_from(4) }.map_err(|error| error.errno)
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
