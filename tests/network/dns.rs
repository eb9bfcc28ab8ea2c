//! `--dns`, `--dns-search`, `--dns-option`, `--add-host`, and the way to the host that has to be asked for.

use std::net::UdpSocket;

use crate::require;
use crate::scene::{self, Net, Peer};
use crate::support::Home;

#[test]
fn search_domains_and_options_of_the_resolver() {
    require!(userns);
    let home = Home::shared();
    let net = Net::create(&home, &[]);
    let sandbox = Peer::idle(
        &home,
        &[
            &format!("--network={}", net.name),
            "--dns-search=corp.example",
            "--dns-search=example",
            "--dns-option=ndots:2",
            "--dns-option=timeout:1",
        ],
    );
    let gateway = net.subnet().1;
    assert_eq!(
        sandbox.sh("grep -v '^#' /etc/resolv.conf"),
        format!("nameserver {gateway}\nsearch corp.example example\noptions ndots:2 timeout:1")
    );
    home.run(["reset", &sandbox.name]);
    assert!(
        sandbox
            .sh("cat /etc/resolv.conf")
            .contains("search corp.example example")
    );
}

#[test]
fn search_domains_find_names_of_the_network() {
    require!(userns, program "python3");
    let home = Home::shared();
    let net = Net::create(&home, &[]);
    let server = Peer::server(
        &home,
        &[
            &format!("--network={}", net.name),
            "--network-alias=db.corp.example",
        ],
    );
    let client = Peer::idle(
        &home,
        &[
            &format!("--network={}", net.name),
            "--dns-search=corp.example",
        ],
    );
    assert!(client.tcp("db").starts_with(&server.name));
}

#[test]
fn further_hosts() {
    require!(userns, program "python3");
    let home = Home::shared();
    let sandbox = Peer::idle(
        &home,
        &[
            "--network=bridge",
            "--add-host=db.example:10.9.8.7",
            "--add-host=six.example:fd00::7",
        ],
    );
    assert_eq!(sandbox.look("db.example"), "10.9.8.7");
    assert_eq!(sandbox.look("six.example"), "fd00::7");
}

/// A DNS server of the test's on the host's loopback that knows one name: it is asked by the gateway, from the host.
#[test]
fn a_server_by_wish_answers_what_is_not_ours() {
    require!(userns, program "python3");
    let home = Home::shared();
    let socket = UdpSocket::bind("127.0.0.1:53");
    let Ok(socket) = socket else {
        // Port 53 is root's: other lanes see the option in the file of the record.
        let sandbox = Peer::idle(&home, &["--network=bridge", "--dns=127.0.0.1"]);
        assert_eq!(
            sandbox.sh("grep -c '^nameserver 127' /etc/resolv.conf; true"),
            "0"
        );
        return;
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length]), from);
        }
    });
    let sandbox = Peer::idle(&home, &["--network=bridge", "--dns=127.0.0.1"]);
    assert_eq!(sandbox.look("known.test"), "198.51.100.7");
    assert_eq!(sandbox.look("unknown.test"), "NXDOMAIN");
}

/// The question back, with 198.51.100.7 for `known.test` and NXDOMAIN or no data for the rest.
fn answer(question: &[u8]) -> Vec<u8> {
    let known = question
        .windows(12)
        .any(|part| part == b"\x05known\x04test\0");
    let end = 12
        + question[12..]
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(0)
        + 5;
    let asks_v4 = question.get(end - 4..end - 2) == Some(&[0, 1]);
    let mut reply = question[..end].to_vec();
    reply[2..12].copy_from_slice(&[
        0x81,
        if known { 0x80 } else { 0x83 },
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    if known && asks_v4 {
        reply[7] = 1;
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 7]);
    }
    reply
}

#[test]
fn the_host_is_reached_by_those_who_asked() {
    require!(userns, program "python3");
    let home = Home::shared();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    scene::answer(listener, "host");
    let asked = Peer::idle(
        &home,
        &[
            "--network=bridge",
            "--add-host=host.docker.internal:host-gateway",
        ],
    );
    assert_eq!(asked.look("host.docker.internal"), "203.0.113.1");
    assert_eq!(asked.step(&["tcp", "host.docker.internal", &port]), "host");
    // Nobody listens there: a reset or a refusal, and not silence.
    let unused = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap().port().to_string()
    };
    let answer = asked.step(&["tcp", "host.docker.internal", &unused]);
    assert!(
        ["ECONNRESET", "ECONNREFUSED"].contains(&answer.as_str()),
        "{answer}"
    );
    let other = Peer::idle(&home, &["--network=bridge"]);
    other.knows_not("host.docker.internal");
    assert_ne!(other.step(&["tcp", "203.0.113.1", &port]), "host");
    // After a reset the same.
    home.run(["reset", &asked.name]);
    assert_eq!(asked.step(&["tcp", "host.docker.internal", &port]), "host");
}
