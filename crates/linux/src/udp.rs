//! UDP sockets that know which of the host's addresses a datagram was sent to. Source: ip(7), ipv6(7), IP_PKTINFO.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg, sockopt as options,
};
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use crate::errno::{Context, Result};

/// A datagram that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How long it is; longer ones than the buffer are cut.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// To which address of this host.
    pub to: Option<Local>,
}

/// An address of this host, and the interface where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Local {
    address: IpAddr,
    interface: u32,
}

impl Local {
    /// The address.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

/// Binds a socket, in the network namespace of this thread. An IPv6 address is bound for IPv6 alone. Nobody shares the
/// port: it has neither SO_REUSEADDR nor SO_REUSEPORT. Does not block.
pub fn bind(address: SocketAddr) -> Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = net::socket_with(family, SocketType::DGRAM, flags, None)
        .call("socket", || address.to_string())?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).call("setsockopt", || "IPV6_V6ONLY".into())?;
        nix::sys::socket::setsockopt(&socket, options::Ipv6RecvPacketInfo, &true)
            .call("setsockopt", || "IPV6_RECVPKTINFO".into())?;
    } else {
        nix::sys::socket::setsockopt(&socket, options::Ipv4PacketInfo, &true)
            .call("setsockopt", || "IP_PKTINFO".into())?;
    }
    net::bind(&socket, &address).call("bind", || address.to_string())?;
    Ok(socket.into())
}

/// Receives a datagram from a socket of [`bind`]. Does not wait: `WouldBlock` when there is none.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let from = message
        .address
        .as_ref()
        .and_then(to_std)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let to = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Local {
            // Where the datagram went by the routing table; for a broadcast the address that an answer has.
            address: Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into(),
            interface: 0,
        }),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            Some(Local {
                address: address.into(),
                interface: if address.is_unicast_link_local() {
                    info.ipi6_ifindex
                } else {
                    0
                },
            })
        }
        _ => None,
    });
    Ok(Received {
        length: message.bytes,
        from,
        to,
    })
}

/// Sends a datagram from an address of this host. Does not wait: `WouldBlock` when the buffer is full.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    to: SocketAddr,
    from: Option<Local>,
) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    let descriptor = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let to = SockaddrStorage::from(to);
    let sent = match from.map(|local| (local.address, local.interface)) {
        None => sendmsg(descriptor, &parts, &[], flags, Some(&to)),
        Some((IpAddr::V4(address), _)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from(address).to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            let control = [ControlMessage::Ipv4PacketInfo(&info)];
            sendmsg(descriptor, &parts, &control, flags, Some(&to))
        }
        Some((IpAddr::V6(address), interface)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: interface,
            };
            let control = [ControlMessage::Ipv6PacketInfo(&info)];
            sendmsg(descriptor, &parts, &control, flags, Some(&to))
        }
    };
    Ok(sent?)
}

/// Sends a datagram on a connected socket. Does not wait: `WouldBlock` when the buffer is full.
pub fn send_on(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(net::send(
        socket,
        bytes,
        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
    )?)
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4 as SockaddrIn).into()));
    }
    let v6: SockaddrIn6 = *address.as_sockaddr_in6()?;
    Some(SocketAddr::V6(v6.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    fn waits(socket: &UdpSocket) {
        assert!(crate::pidfd::readable(socket, Some(std::time::Duration::from_secs(5))).unwrap());
    }

    #[test]
    fn answers_come_from_the_address_that_was_asked() {
        for (any, asked) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "::1")] {
            let Ok(server) = bind(any.parse().unwrap()) else {
                assert!(any.starts_with('['), "IPv4 is always there");
                continue;
            };
            let asked: IpAddr = asked.parse().unwrap();
            let address = SocketAddr::new(asked, server.local_addr().unwrap().port());
            let client = UdpSocket::bind(if asked.is_ipv4() {
                "127.0.0.1:0"
            } else {
                "[::1]:0"
            });
            let Ok(client) = client else { continue };
            client.send_to(b"question", address).unwrap();
            waits(&server);
            let mut buffer = [0; 64];
            let received = receive(&server, &mut buffer).unwrap();
            assert_eq!(&buffer[..received.length], b"question");
            assert_eq!(received.from, client.local_addr().unwrap());
            assert_eq!(received.to.map(|local| local.address()), Some(asked));
            send(&server, b"answer", received.from, received.to).unwrap();
            assert_eq!(client.recv_from(&mut buffer).unwrap(), (6, address));
        }
    }

    #[test]
    fn a_port_has_one_owner() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(bind(address).unwrap_err().errno, Errno::EADDRINUSE);
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        assert_eq!(bind(any).unwrap_err().errno, Errno::EADDRINUSE);
        assert_eq!(
            receive(&first, &mut [0]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}
