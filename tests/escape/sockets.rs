//! CVE-2020-15257 and its neighbours: the host's abstract sockets, its loopback services, its own addresses, the cloud's
//! metadata address.

use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::attack::Attack;
use crate::require;
use crate::support::{Case, unique};

/// Answers everybody who connects.
fn serve<C: Write, E>(mut accept: impl FnMut() -> Result<C, E> + Send + 'static) {
    std::thread::spawn(move || {
        while let Ok(mut client) = accept() {
            let _ = client.write_all(b"the host's");
        }
    });
}

/// An address of this machine that is not loopback, by asking which one a packet would leave from; none is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[test]
fn nothing_of_the_hosts_network_is_reached() {
    require!(userns);
    let name = unique("abstract");
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    serve(move || listener.accept().map(|(client, _)| client));
    let any = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = any.local_addr().unwrap().port();
    serve(move || any.accept().map(|(client, _)| client));
    let own = own_address().unwrap_or_else(|| "127.0.0.2".parse().unwrap());
    let attack = Attack::new(include_str!("sockets.py"))
        .with(format!("abstract={name}"))
        .with(format!("loopback=127.0.0.1:{port}"))
        .with(format!("host={own}:{port}"));

    let control = attack.without_walls(&["env"]);
    for what in ["abstract", "loopback", "host"] {
        assert_eq!(control.outcome(what), "the host's");
    }

    let attack = attack
        .with("metadata=169.254.169.254:80")
        .with("outside=198.51.100.1:443")
        .with("udp=198.51.100.1:53")
        .with("metadata of IPv6=fd00:ec2::254:80");
    let (case, seen) = attack.inside(Case::host());
    let own_outcome = if own.is_loopback() {
        "ECONNREFUSED"
    } else {
        "ENETUNREACH"
    };
    seen.is(&format!(
        "sockets: as 0
        abstract: ECONNREFUSED
        loopback: ECONNREFUSED
        host: {own_outcome}
        metadata: ENETUNREACH
        outside: ENETUNREACH
        udp: ENETUNREACH
        metadata of IPv6: ENETUNREACH
        abstract names in sight: 0
        interfaces: lo
        routes: 0"
    ));
    // The network namespace is kept across a reset; what is in it stays the same.
    let (_case, next) = attack.inside(case.reset());
    next.is(seen.text());
}
