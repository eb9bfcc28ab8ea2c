//! TCP sockets beyond what std says: listeners with a backlog, aborts, keepalive, redirections. Source: tcp(7), ip(7).

use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{self, AddressFamily, Shutdown, SocketFlags, SocketType, ipproto, sockopt};

use crate::errno::{Context, Result};

/// A new socket of the address's family, in the network namespace of this thread. It does not block.
pub fn socket(address: SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
        .call("socket", || format!("{address}"))
}

/// Listens at an address, in the network namespace of this thread. An IPv6 address is listened at for IPv6 alone. A port
/// that connections of an earlier listener linger at is free; one that is listened at is EADDRINUSE. Does not block.
pub fn listen(address: SocketAddr, backlog: i32) -> Result<TcpListener> {
    let socket = socket(address)?;
    let detail = || address.to_string();
    sockopt::set_socket_reuseaddr(&socket, true).call("setsockopt", || "SO_REUSEADDR".into())?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).call("setsockopt", || "IPV6_V6ONLY".into())?;
    }
    net::bind(&socket, &address).call("bind", detail)?;
    net::listen(&socket, backlog).call("listen", detail)?;
    Ok(socket.into())
}

/// Ends a connection by a reset, at once and whoever else has the socket open. What is on the way is lost.
pub fn abort(socket: impl AsFd) -> Result<()> {
    // Connecting to "no address" is the kernel's tcp_disconnect, which close() with a linger time of 0 calls as well.
    net::connect_unspec(socket).call("connect", || "AF_UNSPEC".into())
}

/// Says that nothing more will be written.
pub fn shut_write(socket: impl AsFd) -> Result<()> {
    net::shutdown(socket, Shutdown::Write).call("shutdown", || "SHUT_WR".into())
}

/// Has the kernel ask a silent peer after `idle`, and end the connection when three questions stay unanswered.
pub fn keep_alive(socket: impl AsFd, idle: Duration) -> Result<()> {
    sockopt::set_socket_keepalive(&socket, true).call("setsockopt", || "SO_KEEPALIVE".into())?;
    sockopt::set_tcp_keepidle(&socket, idle).call("setsockopt", || "TCP_KEEPIDLE".into())?;
    sockopt::set_tcp_keepintvl(&socket, idle).call("setsockopt", || "TCP_KEEPINTVL".into())?;
    sockopt::set_tcp_keepcnt(&socket, 3).call("setsockopt", || "TCP_KEEPCNT".into())
}

/// Where a connection was going before the firewall redirected it. One that was not redirected has its own destination
/// where the host tracks connections, else ENOENT.
pub fn original_destination(socket: impl AsFd) -> Result<SocketAddrV4> {
    sockopt::ip_original_dst(socket).call("getsockopt", || "SO_ORIGINAL_DST".into())
}

/// The same for a connection of either family.
pub fn any_original_destination(socket: impl AsFd) -> Result<SocketAddr> {
    let local = net::getsockname(&socket)
        .call("getsockname", String::new)
        .and_then(|address| {
            SocketAddr::try_from(address)
                .call("getsockname", || "an address of another family".into())
        })?;
    if local.is_ipv4() {
        return original_destination(socket).map(SocketAddr::V4);
    }
    sockopt::ipv6_original_dst(socket)
        .map(SocketAddr::V6)
        .call("getsockopt", || "IP6T_SO_ORIGINAL_DST".into())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::Error;
    use crate::errno::Errno;

    fn pair() -> (TcpStream, TcpStream, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        (client, listener.accept().unwrap().0, address)
    }

    #[test]
    fn a_port_that_is_listened_at_is_taken_and_one_that_was_is_free() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let address = first.local_addr().unwrap();
        let Error { errno, .. } = listen(address, 16).unwrap_err();
        assert_eq!(errno, Errno::EADDRINUSE);
        let _client = TcpStream::connect(address).unwrap();
        drop(first);
        listen(address, 16).unwrap();
    }

    #[test]
    fn an_abort_is_a_reset_for_the_other_side() {
        let (mut client, server, _) = pair();
        let other = server.try_clone().unwrap();
        abort(&server).unwrap();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        drop(other);
    }

    #[test]
    fn half_a_connection_goes_on() {
        let (mut client, mut server, address) = pair();
        keep_alive(&client, Duration::from_mins(1)).unwrap();
        shut_write(&client).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        // Whether connections are tracked is the host's business.
        if let Ok(before) = original_destination(&client) {
            assert_eq!(std::net::SocketAddr::V4(before), address);
        }
    }
}
