//! SOCK_SEQPACKET frames with file descriptors beside them. Source: unix(7), SCM_RIGHTS.
//!
//! A frame is one byte that tells its form, then the payload. Payloads above [`INLINE_MAX`] do not fit a socket buffer
//! for sure, so they travel in a sealed memfd, which is then the first descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::errno::{Context, Errno, Error, Result};

/// Largest payload that travels inside the frame itself, in bytes.
pub const INLINE_MAX: usize = 32 << 10;
/// Largest payload at all, in bytes. Command lines end at 6 MiB or so on Linux; 64 MiB leaves room for JSON.
pub const PAYLOAD_MAX: u64 = 64 << 20;
/// Most descriptors beside one frame.
pub const FDS_MAX: usize = 8;

const INLINE: u8 = b'J';
const IN_MEMFD: u8 = b'M';

/// A connected socket that keeps frames apart.
#[derive(Debug)]
pub struct SeqPacket(OwnedFd);

/// One frame.
#[derive(Debug)]
pub struct Frame {
    /// The payload.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

impl From<OwnedFd> for SeqPacket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<SeqPacket> for OwnedFd {
    fn from(socket: SeqPacket) -> Self {
        socket.0
    }
}

/// For runtimes that wait for many descriptors; nothing else should need the number.
impl std::os::fd::AsRawFd for SeqPacket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.0)
    }
}

impl AsFd for SeqPacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn socket(flags: SocketFlags) -> Result<OwnedFd> {
    net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags | SocketFlags::CLOEXEC,
        None,
    )
    .call("socket", || "AF_UNIX, SOCK_SEQPACKET".into())
}

/// The address of `path`, whatever its length: a name too long for `sun_path` is reached through a descriptor of its
/// directory, which the caller must keep open as long as the address is used.
fn address(path: &Path) -> Result<(SocketAddrUnix, Option<OwnedFd>)> {
    let detail = || path.display().to_string();
    if path.as_os_str().len() < 100 {
        return Ok((SocketAddrUnix::new(path).call("sockaddr_un", detail)?, None));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new("sockaddr_un", detail(), Errno::EINVAL));
    };
    let dir_fd = fs::open(
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .call("open", detail)?;
    let short = format!(
        "/proc/self/fd/{}/{}",
        std::os::fd::AsRawFd::as_raw_fd(&dir_fd),
        name.to_string_lossy()
    );
    Ok((
        SocketAddrUnix::new(short).call("sockaddr_un", detail)?,
        Some(dir_fd),
    ))
}

/// A listening socket at `path`, mode 0600. The path must not exist.
pub fn listen(path: &Path) -> Result<OwnedFd> {
    let detail = || path.display().to_string();
    let fd = socket(SocketFlags::empty())?;
    let (addr, _dir) = address(path)?;
    // The mode of a socket file is that of the socket's inode at bind time.
    rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR).call("fchmod", detail)?;
    net::bind(&fd, &addr).call("bind", detail)?;
    net::listen(&fd, 4096).call("listen", detail)?;
    Ok(fd)
}

/// Accepts one connection; `None` when none waits and the listener does not block.
pub fn accept(listener: BorrowedFd<'_>) -> Result<Option<SeqPacket>> {
    loop {
        return match net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(fd) => Ok(Some(SeqPacket(fd))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED) => Ok(None),
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => Err(errno).call("accept4", String::new),
        };
    }
}

impl SeqPacket {
    /// Two connected sockets.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .call("socketpair", || "AF_UNIX, SOCK_SEQPACKET".into())?;
        Ok((Self(a), Self(b)))
    }

    /// Connects to the listener at `path`.
    pub fn connect(path: &Path) -> Result<Self> {
        let fd = socket(SocketFlags::empty())?;
        let (addr, _dir) = address(path)?;
        net::connect(&fd, &addr).call("connect", || path.display().to_string())?;
        Ok(Self(fd))
    }

    /// Uid, gid and pid of the other end at the time it connected, as this process's namespaces show them.
    pub fn peer(&self) -> Result<(u32, u32, i32)> {
        // Not rustix: it holds pids as non-zero, and a peer outside this pid namespace shows as 0.
        let cred =
            nix::sys::socket::getsockopt(&self.0, nix::sys::socket::sockopt::PeerCredentials)
                .call("getsockopt", || "SO_PEERCRED".into())?;
        Ok((cred.uid(), cred.gid(), cred.pid()))
    }

    /// Sends one frame; waits while the socket buffer is full.
    pub fn send(&self, payload: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_flags(payload, fds, SendFlags::NOSIGNAL)
    }

    /// Sends one frame or fails with EAGAIN: for a process that must not be held up by its peer.
    pub fn try_send(&self, payload: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_flags(payload, fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_flags(&self, payload: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> Result<()> {
        if payload.len() <= INLINE_MAX {
            return self.send_raw(
                &[IoSlice::new(&[INLINE]), IoSlice::new(payload)],
                fds,
                flags,
            );
        }
        let memfd = sealed_memfd("shedbox-frame", payload)?;
        let mut all = Vec::with_capacity(fds.len() + 1);
        all.push(memfd.as_fd());
        all.extend_from_slice(fds);
        self.send_raw(&[IoSlice::new(&[IN_MEMFD])], &all, flags)
    }

    fn send_raw(
        &self,
        parts: &[IoSlice<'_>],
        fds: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX + 1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::new(
                "sendmsg",
                format!("{} descriptors", fds.len()),
                Errno::E2BIG,
            ));
        }
        let mut raised = None;
        loop {
            match net::sendmsg(&self.0, parts, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                // Descriptors in flight are counted for all processes of a user: a sandbox of theirs may have sent as
                // many as our soft limit. Its own limit is below our hard one.
                Err(rustix::io::Errno::TOOMANYREFS) if raised.is_none() => {
                    raised = Some(RaisedFileLimit::new());
                }
                other => return other.map(drop).call("sendmsg", String::new),
            }
        }
    }

    /// Receives one frame; `None` when the other end has gone.
    pub fn recv(&self) -> Result<Option<Frame>> {
        self.recv_flags(RecvFlags::CMSG_CLOEXEC)
    }

    /// Receives one frame or fails with EAGAIN when none is there.
    pub fn try_recv(&self) -> Result<Option<Frame>> {
        self.recv_flags(RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
    }

    fn recv_flags(&self, flags: RecvFlags) -> Result<Option<Frame>> {
        let mut bytes = vec![0u8; INLINE_MAX + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX + 1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut control,
                flags,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.call("recvmsg", String::new)?,
            }
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.contains(net::ReturnFlags::TRUNC)
            || received.flags.contains(net::ReturnFlags::CTRUNC)
        {
            return Err(Error::new("recvmsg", "frame too large", Errno::EMSGSIZE));
        }
        match bytes[0] {
            INLINE => {
                bytes.truncate(received.bytes);
                bytes.remove(0);
                Ok(Some(Frame { bytes, fds }))
            }
            IN_MEMFD if !fds.is_empty() => {
                let memfd = fds.remove(0);
                Ok(Some(Frame {
                    bytes: read_sealed(&memfd)?,
                    fds,
                }))
            }
            other => Err(Error::new(
                "recvmsg",
                format!("unknown frame form {other}"),
                Errno::EPROTO,
            )),
        }
    }
}

/// The soft limit on open files is the hard one as long as this lives.
struct RaisedFileLimit(Rlimit);

impl RaisedFileLimit {
    fn new() -> Self {
        let before = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        let _ = setrlimit(Resource::Nofile, raised); // then the next try fails as the last one did
        Self(before)
    }
}

impl Drop for RaisedFileLimit {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Nofile, self.0); // lowering one's own limit is always allowed
    }
}

/// A memory file that can no longer be written, cut or grown.
pub fn sealed_memfd(name: &str, content: &[u8]) -> Result<OwnedFd> {
    let memfd = fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .call("memfd_create", || name.to_owned())?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&memfd, rest).call("write", || name.to_owned())?;
        rest = &rest[written..];
    }
    fs::fcntl_add_seals(
        &memfd,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )
    .call("fcntl", || "F_ADD_SEALS".into())?;
    Ok(memfd)
}

/// Reads a sealed memory file; an unsealed one could change while it is read, so it is refused.
fn read_sealed(memfd: &OwnedFd) -> Result<Vec<u8>> {
    let seals = fs::fcntl_get_seals(memfd).call("fcntl", || "F_GET_SEALS".into())?;
    let size = fs::fstat(memfd).call("fstat", || "frame".into())?.st_size as u64;
    if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK) || size > PAYLOAD_MAX {
        return Err(Error::new(
            "recvmsg",
            "frame in an unsealed or oversized memfd",
            Errno::EMSGSIZE,
        ));
    }
    let mut bytes = vec![0u8; size as usize];
    let mut done = 0;
    while done < bytes.len() {
        let count = rustix::io::pread(memfd, &mut bytes[done..], done as u64)
            .call("pread", || "frame".into())?;
        if count == 0 {
            return Err(Error::new("pread", "frame ended early", Errno::EPROTO));
        }
        done += count;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_frames_with_descriptors() {
        let (a, b) = SeqPacket::pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        for size in [0, 1, INLINE_MAX, INLINE_MAX + 1, 3 << 20] {
            let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
            a.send(&payload, &[write.as_fd()]).unwrap();
            let frame = b.recv().unwrap().unwrap();
            assert_eq!(frame.bytes, payload);
            assert_eq!(frame.fds.len(), 1);
            rustix::io::write(&frame.fds[0], b"x").unwrap();
            let mut byte = [0];
            assert_eq!(rustix::io::read(&read, &mut byte).unwrap(), 1);
        }
        drop(a);
        assert!(b.recv().unwrap().is_none());
    }

    #[test]
    fn an_unsealed_memfd_is_refused() {
        let (a, b) = SeqPacket::pair().unwrap();
        let memfd = fs::memfd_create("open", MemfdFlags::CLOEXEC).unwrap();
        a.send_raw(
            &[IoSlice::new(&[IN_MEMFD])],
            &[memfd.as_fd()],
            SendFlags::empty(),
        )
        .unwrap();
        assert_eq!(b.recv().unwrap_err().errno, Errno::EMSGSIZE);
    }

    #[test]
    fn a_path_longer_than_sun_path() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("socket");
        let listener = listen(&path).unwrap();
        let client = SeqPacket::connect(&path).unwrap();
        let server = accept(listener.as_fd()).unwrap().unwrap();
        client.send(b"hello", &[]).unwrap();
        assert_eq!(server.recv().unwrap().unwrap().bytes, b"hello");
        assert_eq!(server.peer().unwrap().2, std::process::id() as i32);
    }
}
