//! Which of the host's ports: as asked for, the first free one of a range, the one of before, or any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use shedbox_linux::errno::{Errno, Error};
use shedbox_spec::network::port::{PortSpec, Protocol, PublishedPort};

/// Connections that wait to be accepted. The kernel has its own limit, `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Attempts to find a port that is free for IPv4 and IPv6.
const RANDOM_ATTEMPTS: usize = 64;

/// A socket of the host's namespace.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Socket {
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Tcp(_) => Protocol::Tcp,
            Self::Udp(_) => Protocol::Udp,
        }
    }
}

/// A socket and where it is bound.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    pub(super) socket: Socket,
}

/// Why not.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) address: SocketAddr,
    pub(super) error: Error,
}

/// Indices of `specs` in the order to bind them in: what has no choice goes first, so that nobody else takes its port.
pub(super) fn order(specs: &[PortSpec]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..specs.len()).collect();
    order.sort_by_key(|index| match specs[*index].host {
        Some((first, last)) if first == last => 0,
        Some(_) => 1,
        None => 2,
    });
    order
}

/// The host's port that this one had before, where there is a choice.
pub(super) fn again(spec: &PortSpec, before: &[PublishedPort]) -> Option<u16> {
    let same_address = |address: IpAddr| match spec.host_ip {
        Some(host_ip) => host_ip == address,
        None => address.is_unspecified(),
    };
    before
        .iter()
        .filter(|port| port.container == spec.container && port.protocol == spec.protocol)
        .filter(|port| same_address(port.host_ip))
        .map(|port| port.host_port)
        .find(|port| {
            spec.host
                .is_none_or(|(first, last)| (first..=last).contains(port))
        })
}

/// Binds what one spec asks for, in the network namespace of this thread.
pub(super) fn bind(spec: &PortSpec, again: Option<u16>) -> Result<Vec<Bound>, Refused> {
    if let Some(port) = again
        && let Ok(bound) = at_port(spec, port)
    {
        return Ok(bound);
    }
    match spec.host {
        Some((first, last)) => in_range(spec, first, last),
        None => anywhere(spec),
    }
}

fn in_range(spec: &PortSpec, first: u16, last: u16) -> Result<Vec<Bound>, Refused> {
    let mut port = first;
    loop {
        match at_port(spec, port) {
            // Another port of the range may be free, or may be had.
            Err(Refused { error, .. })
                if port < last && matches!(error.errno, Errno::EADDRINUSE | Errno::EACCES) =>
            {
                port += 1;
            }
            other => return other,
        }
    }
}

fn anywhere(spec: &PortSpec) -> Result<Vec<Bound>, Refused> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match at_port(spec, 0) {
            // The port that the kernel picked for IPv4 may be in use for IPv6.
            Err(Refused { error, .. })
                if error.errno == Errno::EADDRINUSE && attempts < RANDOM_ATTEMPTS => {}
            other => return other,
        }
    }
}

/// At one port, 0 for any, of the address that was asked for or of all.
fn at_port(spec: &PortSpec, port: u16) -> Result<Vec<Bound>, Refused> {
    if let Some(address) = spec.host_ip {
        return Ok(vec![one(spec.protocol, SocketAddr::new(address, port))?]);
    }
    let v4 = one(
        spec.protocol,
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
    )?;
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), v4.address.port());
    match one(spec.protocol, v6) {
        Ok(v6) => Ok(vec![v4, v6]),
        // A host without IPv6.
        Err(refused)
            if matches!(
                refused.error.errno,
                Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL
            ) =>
        {
            Ok(vec![v4])
        }
        Err(refused) => Err(refused),
    }
}

fn one(protocol: Protocol, address: SocketAddr) -> Result<Bound, Refused> {
    let refused = |error| Refused { address, error };
    let socket = match protocol {
        Protocol::Tcp => shedbox_linux::tcp::listen(address, BACKLOG).map(Socket::Tcp),
        Protocol::Udp => shedbox_linux::udp::bind(address).map(Socket::Udp),
    }
    .map_err(refused)?;
    let address = match &socket {
        Socket::Tcp(listener) => listener.local_addr(),
        Socket::Udp(socket) => socket.local_addr(),
    }
    .map_err(|error| Error::from_io("getsockname", address.to_string(), &error))
    .map_err(refused)?;
    Ok(Bound { address, socket })
}
