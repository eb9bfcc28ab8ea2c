//! The way to the world, where there can be one: /dev/net/tun and pasta. The world is this host's own address.

use std::net::SocketAddr;

use crate::require;
use crate::scene::{self, Net, Peer};
use crate::support::Home;
use crate::words::{allow, deny, switch};

fn ask(sandbox: &Peer, at: SocketAddr) -> String {
    // Without the half-close of other steps: pasta of Debian 12 loses one that comes right after the connection.
    sandbox.output(&[
        "python3",
        "-c",
        "import socket, sys\n\
         try:\n    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print(s.recv(99).decode().strip())\n\
         except OSError as error:\n    print(error)",
        &at.ip().to_string(),
        &at.port().to_string(),
    ])
}

#[test]
fn the_world_is_reached_and_the_hosts_loopback_is_not() {
    require!(userns, program "python3", tun);
    let Some(world) = scene::world() else {
        panic!("this machine has no address but loopback");
    };
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    assert_eq!(ask(&sandbox, world), "world");
    let net = Net::create(&home, &[]);
    let other = Peer::idle(&home, &[&format!("--network={}", net.name)]);
    assert_eq!(ask(&other, world), "world");
    let internal = Net::create(&home, &["--internal"]);
    let inner = Peer::idle(&home, &[&format!("--network={}", internal.name)]);
    assert_ne!(ask(&inner, world), "world");
    // After a reset as before.
    home.run(["reset", &sandbox.name]);
    assert_eq!(ask(&sandbox, world), "world");
}

#[test]
fn a_policy_holds_towards_the_world() {
    require!(userns, program "python3", tun);
    let Some(world) = scene::world() else {
        panic!("this machine has no address but loopback");
    };
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge", "--egress=deny"]);
    assert_ne!(ask(&sandbox, world), "world");
    switch(
        &home,
        &sandbox.name,
        &[
            "--egress=deny".to_owned(),
            allow(&format!("{}:{}", world.ip(), world.port())),
        ],
    );
    assert_eq!(ask(&sandbox, world), "world");
    switch(
        &home,
        &sandbox.name,
        &["--egress=allow".to_owned(), deny(&world.ip().to_string())],
    );
    assert_ne!(ask(&sandbox, world), "world");
}

#[test]
fn one_pasta_for_all() {
    require!(userns, tun);
    let kin = crate::support::Kinship::begin();
    let home = Home::new();
    let all: Vec<Peer> = (0..3)
        .map(|_| Peer::idle(&home, &["--network=bridge"]))
        .collect();
    assert_eq!(crate::gateway::pastas(&kin).len(), 1);
    drop(all);
}

#[test]
fn without_tun_or_pasta_there_is_a_warning_and_ports_work() {
    require!(userns, program "python3", no_tun);
    let home = Home::shared();
    let server = Peer::server(&home, &["--network=bridge", "-p", "127.0.0.1::8000"]);
    let answer = scene::from_host(server.host_port("8000/tcp")).unwrap();
    assert!(answer.starts_with(&server.name), "{answer}");
    let doctor = home.shedbox(["doctor"]).output().unwrap();
    let text = String::from_utf8_lossy(&doctor.stdout);
    assert!(
        text.contains("/dev/net/tun") || text.contains("pasta"),
        "{text}"
    );
}
