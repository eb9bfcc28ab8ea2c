//! `none`, `host` and `container:NAME`.

use crate::require;
use crate::scene::{self, Peer};
use crate::support::Home;

#[test]
fn none_has_nothing_but_loopback() {
    require!(userns, program "python3");
    let home = Home::shared();
    let sandbox = Peer::server(&home, &["--network=none"]);
    assert_eq!(sandbox.sh("ls /sys/class/net"), "lo");
    assert!(sandbox.tcp("127.0.0.1").starts_with(&sandbox.name));
    assert_eq!(sandbox.tcp("203.0.113.1"), "ENETUNREACH");
}

#[test]
fn host_is_the_hosts() {
    require!(userns, program "python3");
    let home = Home::shared();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    scene::answer(listener, "host");
    let sandbox = Peer::idle(&home, &["--network=host"]);
    assert_eq!(sandbox.step(&["tcp", "127.0.0.1", &port]), "host");
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(
        sandbox.sh("readlink /proc/self/ns/net"),
        own.to_str().unwrap()
    );
}

#[test]
fn a_sandbox_shares_anothers_localhost() {
    require!(userns, program "python3");
    let home = Home::shared();
    let server = Peer::server(&home, &["--network=bridge", "-p", "127.0.0.1::8000"]);
    let mode = format!("--network=container:{}", server.name);
    let guest = Peer::idle(&home, &[&mode]);
    assert!(guest.tcp("127.0.0.1").starts_with(&server.name));
    let namespace = "readlink /proc/self/ns/net";
    assert_eq!(guest.sh(namespace), server.sh(namespace));
    assert_eq!(
        guest.sh("cat /etc/resolv.conf"),
        server.sh("cat /etc/resolv.conf")
    );
    // Only the network: processes and files are its own.
    assert_ne!(
        guest.sh("readlink /proc/self/ns/pid"),
        server.sh("readlink /proc/self/ns/pid")
    );
    // A reset of either keeps it.
    home.run(["reset", &guest.name]);
    assert!(guest.tcp("127.0.0.1").starts_with(&server.name));
    home.run(["reset", &server.name]);
    server.serve();
    assert!(guest.tcp("127.0.0.1").starts_with(&server.name));
}

#[test]
fn a_sandbox_that_cannot_be_joined() {
    require!(userns);
    let home = Home::shared();
    let run = |mode: &str, more: &[&str], part: &str| {
        let mode = format!("--network={mode}");
        let line = [&["run", "--rm", mode.as_str()], more, &["host", "true"]].concat();
        home.refused(line, 125, part);
    };
    run("container:", &[], "`container:` names no sandbox");
    run("container:nobody-there", &[], "nobody-there");
    let stopped = Peer::idle(&home, &["--network=bridge"]);
    let mode = format!("container:{}", stopped.name);
    run(
        &mode,
        &["-p", "80"],
        "`--publish` does not go with network mode",
    );
    run(&mode, &["--network=bridge"], "goes with no other network");
    home.run(["stop", "--time=0", &stopped.name]);
    run(&mode, &[], "is not running");
}

#[test]
fn the_namespace_lives_as_long_as_somebody_is_in_it() {
    require!(userns, program "python3");
    let home = Home::shared();
    let owner = Peer::idle(&home, &["--network=bridge"]);
    let guest = Peer::idle(&home, &[&format!("--network=container:{}", owner.name)]);
    home.run(["stop", "--time=0", &owner.name]);
    assert_eq!(guest.sh("grep -c lo: /proc/net/dev"), "1");
    home.run(["start", &owner.name]);
}
