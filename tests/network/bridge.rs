//! `--network bridge`: an address, a route, names in files; and nobody else in reach.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use crate::require;
use crate::scene::{self, PORT, Peer};
use crate::support::Home;

#[test]
fn an_address_a_route_and_the_files_that_name_them() {
    require!(userns, program "python3", program "ip");
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge", "--hostname=inside"]);
    let address = sandbox.address("bridge");
    let gateway: Ipv4Addr = sandbox
        .field("/NetworkSettings/Networks/bridge/Gateway")
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        sandbox.sh("ip -4 -o addr show dev eth0 | awk '{print $4}' | cut -d/ -f1"),
        address.to_string()
    );
    assert_eq!(
        sandbox.sh("ip -4 route show default | cut -d' ' -f1-5"),
        format!("default via {gateway} dev eth0")
    );
    assert_eq!(
        sandbox.sh("ls /sys/class/net | sort | tr '\\n' ' '").trim(),
        "eth0 lo"
    );
    assert_eq!(
        sandbox.sh(&format!(
            "grep -c '^{address}[[:space:]].*inside' /etc/hosts"
        )),
        "1"
    );
    assert_eq!(
        sandbox.sh("grep '^nameserver' /etc/resolv.conf"),
        format!("nameserver {gateway}")
    );
    // Root inside cannot change any of it.
    let changed = sandbox.attempt(&["ip", "link", "set", "eth0", "down"]);
    assert_ne!(changed.status.code(), Some(0));
}

#[test]
fn sandboxes_on_the_bridge_do_not_reach_each_other() {
    require!(userns, program "python3");
    let home = Home::shared();
    let server = Peer::server(&home, &["--network=bridge"]);
    let client = Peer::idle(&home, &["--network=bridge"]);
    let address = server.address("bridge");
    assert_ne!(address, client.address("bridge"));
    assert_eq!(client.tcp("127.0.0.1"), "ECONNREFUSED");
    for answer in [client.tcp(address), client.udp(address)] {
        assert!(
            [
                "ECONNREFUSED",
                "EHOSTUNREACH",
                "ENETUNREACH",
                "EACCES",
                "EPERM",
                "timeout"
            ]
            .contains(&answer.as_str()),
            "{answer}"
        );
    }
    // Nor by name.
    client.knows_not(&server.name);
}

#[test]
fn the_hosts_loopback_is_out_of_reach() {
    require!(userns, program "python3");
    let home = Home::shared();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    scene::answer(listener, "host");
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    let gateway = sandbox.field("/NetworkSettings/Networks/bridge/Gateway");
    for address in ["127.0.0.1", gateway.as_str().unwrap(), "203.0.113.1"] {
        let answer = sandbox.step(&["tcp", address, &port]);
        assert_ne!(answer, "host", "{address}");
    }
    // The listener was there all the time.
    let there = scene::from_host(([127, 0, 0, 1], port.parse().unwrap()).into());
    assert_eq!(there.unwrap(), "host");
}

#[test]
fn without_a_way_out_that_is_said_at_once() {
    require!(userns, program "python3", no_tun);
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    let began = Instant::now();
    assert_eq!(sandbox.tcp("203.0.113.1"), "ENETUNREACH");
    assert_eq!(sandbox.udp("203.0.113.1"), "ENETUNREACH");
    assert!(began.elapsed() < crate::support::patience(std::time::Duration::from_secs(5)));
}

#[test]
fn a_reset_keeps_the_address_and_the_namespace() {
    require!(userns, program "python3", program "ip");
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge", "--publish=127.0.0.1::8000"]);
    let seen = |sandbox: &Peer| {
        (
            sandbox.address("bridge"),
            sandbox.sh("cat /sys/class/net/eth0/address /etc/resolv.conf"),
            sandbox.published("8000/tcp"),
            sandbox.sh("readlink /proc/self/ns/net"),
        )
    };
    let before = seen(&sandbox);
    sandbox.serve();
    assert!(sandbox.tcp("127.0.0.1").starts_with(&sandbox.name));
    home.run(["reset", &sandbox.name]);
    assert_eq!(seen(&sandbox), before);
    // What served has gone with its generation.
    assert_eq!(sandbox.tcp("127.0.0.1"), "ECONNREFUSED");
    sandbox.serve();
    let answer = scene::from_host(sandbox.host_port("8000/tcp")).unwrap();
    assert!(answer.starts_with(&sandbox.name), "{answer}");
}

#[test]
fn addresses_are_unique_while_they_are_used_and_free_afterwards() {
    require!(userns);
    let home = Home::shared();
    let all: Vec<Peer> = (0..8)
        .map(|_| Peer::idle(&home, &["--network=bridge"]))
        .collect();
    let mut addresses: Vec<IpAddr> = all.iter().map(|one| one.address("bridge")).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), all.len());
    assert!(all.iter().all(Peer::tcp_port_is_closed));
}

impl Peer<'_> {
    /// Nothing listens inside that the test has not started.
    fn tcp_port_is_closed(&self) -> bool {
        let table = self.sh("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null");
        let port = format!(":{PORT:04X} ");
        !table.contains(&port)
    }
}
