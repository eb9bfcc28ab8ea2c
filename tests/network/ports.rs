//! Published ports: from the host into a sandbox.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use crate::gateway;
use crate::require;
use crate::scene::{Peer, datagram_from_host, from_host};
use crate::support::{Home, Kinship, eventually};

/// A port of the host's that is free right now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn v6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[track_caller]
fn reached(address: SocketAddr, server: &Peer) {
    let answer = from_host(address).unwrap_or_else(|error| format!("{error}"));
    assert!(answer.starts_with(&server.name), "{address}: {answer}");
}

#[test]
fn tcp_and_udp_by_both_families() {
    require!(userns, program "python3");
    let home = Home::shared();
    let server = Peer::server(&home, &["--network=bridge", "-p", "8000", "-p", "8000/udp"]);
    let tcp = server.host_port("8000/tcp");
    let udp = server.host_port("8000/udp");
    reached(tcp, &server);
    assert!(datagram_from_host(udp).unwrap().starts_with(&server.name));
    assert_eq!(server.published("8000/tcp").len(), 1 + usize::from(v6()));
    if v6() {
        let at = |port| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
        reached(at(tcp.port()), &server);
        let answer = datagram_from_host(at(udp.port())).unwrap();
        assert!(answer.starts_with(&server.name), "{answer}");
    }
}

#[test]
fn at_one_address_alone() {
    require!(userns, program "python3");
    let home = Home::shared();
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:8000");
    let server = Peer::server(&home, &["--network=bridge", "-p", &publish]);
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(server.published("8000/tcp"), [at]);
    reached(at, &server);
    let elsewhere = TcpStream::connect(SocketAddr::from(([127, 0, 0, 2], port)));
    assert_eq!(
        elsewhere.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[test]
fn ranges_and_pairs() {
    require!(userns, program "python3");
    let home = Home::shared();
    let first = free_port().min(65_000);
    let range = format!("127.0.0.1:{first}-{}:8000", first + 20);
    let one = Peer::server(&home, &["--network=bridge", "-p", &range]);
    let two = Peer::server(&home, &["--network=bridge", "-p", &range]);
    let (a, b) = (one.host_port("8000/tcp"), two.host_port("8000/tcp"));
    assert!(a.port() >= first && b.port() > a.port() && b.port() <= first + 20);
    reached(a, &one);
    reached(b, &two);
    let pairs = Peer::idle(&home, &["--network=bridge", "-p", "127.0.0.1::7000-7003"]);
    let ports: std::collections::BTreeSet<u16> = (7000..=7003)
        .map(|port| pairs.host_port(&format!("{port}/tcp")).port())
        .collect();
    assert_eq!(ports.len(), 4);
}

#[test]
fn every_exposed_port() {
    require!(userns, program "python3");
    let home = Home::shared();
    let server = Peer::server(
        &home,
        &[
            "--network=bridge",
            "-P",
            "--expose=8000",
            "--expose=8000/udp",
        ],
    );
    reached(server.host_port("8000/tcp"), &server);
    let answer = datagram_from_host(server.host_port("8000/udp")).unwrap();
    assert!(answer.starts_with(&server.name), "{answer}");
}

#[test]
fn what_nobody_listens_at_is_reset() {
    require!(userns);
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge", "-p", "127.0.0.1::8000"]);
    let error = from_host(sandbox.host_port("8000/tcp")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// A sandbox with this published port is refused, and `part` says why.
#[track_caller]
fn unpublished(home: &Home, publish: &str, part: &str) {
    let line = [
        "run",
        "--rm",
        "--network=bridge",
        "-p",
        publish,
        "host",
        "true",
    ];
    home.refused(line, 125, part);
}

#[test]
fn ports_in_use_say_by_whom() {
    require!(userns);
    let home = Home::shared();
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap().port();
    let publish = format!("127.0.0.1:{taken}:80");
    unpublished(
        &home,
        &publish,
        &format!("port 127.0.0.1:{taken}/tcp is in use"),
    );
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = datagrams.local_addr().unwrap().port();
    let publish = format!("127.0.0.1:{udp}:80/udp");
    unpublished(
        &home,
        &publish,
        &format!("port 127.0.0.1:{udp}/udp is in use"),
    );

    let first = Peer::idle(&home, &["--network=bridge", "-p", "127.0.0.1::80"]);
    let port = first.host_port("80/tcp").port();
    let publish = format!("{port}:80");
    let line = [
        "run",
        "--rm",
        "--network=bridge",
        "-p",
        &publish,
        "host",
        "true",
    ];
    let owner = format!("/tcp is in use by sandbox {}", &first.id()[..12]);
    home.refused(line, 125, &owner);
}

#[test]
fn a_removed_sandbox_frees_its_ports_at_once() {
    require!(userns, program "python3");
    let home = Home::shared();
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:8000");
    for _ in 0..5 {
        let server = Peer::server(&home, &["--network=bridge", "-p", &publish]);
        reached(SocketAddr::from(([127, 0, 0, 1], port)), &server);
        drop(server);
        drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
    }
}

#[test]
fn stop_closes_them_and_start_opens_the_same() {
    require!(userns, program "python3");
    let home = Home::shared();
    let server = Peer::server(&home, &["--network=bridge", "-p", "127.0.0.1::8000"]);
    let at = server.host_port("8000/tcp");
    home.run(["stop", "--time=0", &server.name]);
    let closed = TcpStream::connect(at).unwrap_err();
    assert_eq!(closed.kind(), std::io::ErrorKind::ConnectionRefused);
    home.run(["start", &server.name]);
    assert_eq!(server.host_port("8000/tcp"), at);
    server.serve();
    reached(at, &server);
}

#[test]
fn the_daemons_end_is_not_noticed() {
    require!(userns, program "python3");
    let kin = Kinship::begin();
    let home = Home::new();
    let server = Peer::server(&home, &["--network=bridge", "-p", "127.0.0.1::8000"]);
    let at = server.host_port("8000/tcp");
    let before = gateway::of(&kin).pid;
    kin.daemon(&home).expect("a daemon").kill();
    eventually("the daemon is gone", || kin.daemon(&home).is_none());
    reached(at, &server);
    // The next daemon knows of it all, and can close it.
    assert_eq!(server.host_port("8000/tcp"), at);
    assert_eq!(gateway::of(&kin).pid, before);
    reached(at, &server);
    drop(server);
    let closed = TcpStream::connect(at).unwrap_err();
    assert_eq!(closed.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_killed_gateway_comes_back_with_everything() {
    require!(userns, program "python3");
    let kin = Kinship::begin();
    let home = Home::new();
    home.run(["network", "create", "shop"]);
    let server = Peer::server(&home, &["--network=shop", "-p", "127.0.0.1::8000"]);
    let client = Peer::idle(&home, &["--network=shop"]);
    let at = server.host_port("8000/tcp");
    let address = server.address("shop");
    let before = gateway::of(&kin);
    before.kill();
    eventually("another gateway is there", || {
        kin.all()
            .iter()
            .any(|kin| kin.pid != before.pid && kin.command.contains(" gateway"))
    });
    eventually("the port is served again", || {
        from_host(at).is_ok_and(|answer| answer.starts_with(&server.name))
    });
    assert_eq!(server.address("shop"), address);
    // A resolver that asks before waits for longer than anybody here.
    eventually("the client is connected again", || {
        client.sh("cat /proc/net/dev").contains("eth0")
    });
    eventually("names are answered again", || {
        client.tcp(&server.name).starts_with(&server.name)
    });
    assert_eq!(
        client.tcp(address),
        format!("{} {}", server.name, client.address("shop"))
    );
    drop((server, client));
    home.run(["network", "rm", "shop"]);
}

/// Without sandboxes nothing but the gateway holds the user namespace of a daemon and a keeper that have ended. The next daemon
/// makes another one, whose sandboxes that gateway could not connect.
#[test]
fn a_gateway_that_is_left_alone_in_its_user_namespace_is_replaced() {
    require!(userns, program "python3");
    let kin = Kinship::begin();
    let home = Home::new();
    drop(Peer::idle(&home, &["--network=bridge"]));
    let before = gateway::of(&kin);
    // Or it would go by itself some seconds after the daemon has.
    let _held =
        shedbox_linux::seqpacket::SeqPacket::connect(&home.runtime().join("gateway.sock")).unwrap();
    let servants = || kin.daemon(&home).into_iter().chain(kin.keepers());
    servants().for_each(|servant| servant.kill());
    eventually("daemon and keeper are gone", || servants().next().is_none());
    assert_eq!(gateway::of(&kin).pid, before.pid);
    let server = Peer::server(&home, &["--network=bridge", "-p", "127.0.0.1::8000"]);
    assert_ne!(gateway::of(&kin).pid, before.pid);
    reached(server.host_port("8000/tcp"), &server);
}

#[test]
fn a_port_of_each_address_that_the_host_lacks() {
    require!(userns);
    let home = Home::shared();
    let lacking = IpAddr::from([192, 0, 2, 99]);
    let publish = format!("{lacking}:8080:80");
    unpublished(&home, &publish, "this host has no address 192.0.2.99");
}
