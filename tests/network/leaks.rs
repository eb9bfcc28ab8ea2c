//! What five hundred sandboxes with networks and ports leave behind: nothing.

use std::net::TcpListener;

use crate::gateway::{self, holdings};
use crate::require;
use crate::scene::{Net, Peer};
use crate::support::{Home, Kinship, eventually};

/// Network namespaces that processes of this user are in.
fn namespaces(kin: &Kinship) -> usize {
    let mut found: Vec<_> = kin
        .all()
        .iter()
        .filter_map(|kin| std::fs::read_link(format!("/proc/{}/ns/net", kin.pid)).ok())
        .collect();
    found.sort();
    found.dedup();
    found.len()
}

fn rounds(count: usize) {
    let kin = Kinship::begin();
    let home = Home::new();
    // What is made once for all is there before anything is counted.
    let keeper = Peer::idle(&home, &["--network=bridge"]);
    let net = Net::create(&home, &["--internal"]);
    let on = format!("--network={}", net.name);
    let round = || {
        Peer::idle(
            &home,
            &[
                &on,
                "-p",
                "127.0.0.1::80",
                "-p",
                "127.0.0.1::53/udp",
                "--egress=deny",
            ],
        )
    };
    drop(round());
    let gateway = gateway::of(&kin);
    eventually("the first round has gone", || {
        let kept = |leak: &&String| leak.starts_with("sandbox ") || leak.starts_with("trash ");
        home.leaks().iter().filter(kept).count() == 1
    });
    let before = holdings(&gateway);
    let (servants, spaces) = (gateway::servants(&home), namespaces(&kin));
    let mut address = None;
    for number in 0..count {
        let sandbox = round();
        let port = sandbox.host_port("80/tcp").port();
        let own = sandbox.address(&net.name);
        drop(sandbox);
        drop(
            TcpListener::bind(("127.0.0.1", port)).expect("the port is free when rm has answered"),
        );
        // Leases are given back: no more addresses are in use at any time than one.
        if number % 100 == 99 {
            let free = net.field("/Containers");
            assert_eq!(free.as_object().map(serde_json::Map::len), Some(0));
        }
        address = Some(own);
    }
    assert!(address.is_some());
    eventually("interfaces, routes and rules are as before", || {
        let now = holdings(&gateway);
        (now.interfaces.len(), now.routes.len(), &now.rules)
            == (before.interfaces.len(), before.routes.len(), &before.rules)
    });
    // A few connections of the runtime's own may come and go.
    eventually("descriptors are as before", || {
        holdings(&gateway).descriptors <= before.descriptors + 2
    });
    eventually("processes and namespaces are as before", || {
        (gateway::servants(&home), namespaces(&kin)) == (servants, spaces)
    });
    assert_eq!(
        gateway::of(&kin).pid,
        gateway.pid,
        "it has not been replaced"
    );
    drop((net, keeper));
}

#[test]
fn twenty_rounds_leave_nothing() {
    require!(userns, program "nft", program "nsenter", program "ip");
    rounds(20);
}

mod long {
    use super::*;

    #[test]
    fn five_hundred_rounds_leave_nothing() {
        require!(userns, program "nft", program "nsenter", program "ip");
        rounds(500);
    }
}

#[test]
fn the_gateway_goes_with_its_home() {
    require!(userns);
    let kin = Kinship::begin();
    let home = Home::new();
    drop(Peer::idle(&home, &["--network=bridge"]));
    gateway::of(&kin);
    drop(home);
    let left: Vec<_> = kin
        .all()
        .into_iter()
        .filter(|kin| kin.command.contains(" gateway") || kin.command.contains("pasta"))
        .collect();
    assert_eq!(left, []);
}
