//! `none`, `host` and `container:NAME`.

use crate::require;
use crate::scene::{self, Net, Peer, label};
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

/// The network that `inspect` shows of a new sandbox.
fn network_of(home: &Home, options: &[&str]) -> String {
    let sandbox = Peer::idle(home, options);
    let spec = sandbox.field("/spec/network");
    match spec.pointer("/bridge/0/network") {
        Some(name) => name.as_str().expect("text").to_owned(),
        None => spec.as_str().expect("a mode").to_owned(),
    }
}

#[test]
fn without_a_setting_none_is_the_default() {
    require!(userns);
    let home = Home::shared();
    for (options, network) in [
        (&[][..], "none"),
        (&["-p", "127.0.0.1::80"], "bridge"),
        (&["--egress=deny"], "bridge"),
        (&["--network=default"], "bridge"),
    ] {
        assert_eq!(network_of(&home, options), network, "{options:?}");
    }
}

#[test]
fn a_network_is_the_default_by_the_configuration() {
    require!(userns);
    let home = Home::new();
    let shop = label("shop");
    home.configure(&format!("[network]\ndefault = \"{shop}\"\n"));
    home.refused(
        ["run", "--rm", "host", "true"],
        125,
        &format!("no network `{shop}`, which is the default by the configuration"),
    );
    home.run(["run", "--rm", "--network=none", "host", "true"]);
    home.run(["network", "create", &shop]);
    for (options, network) in [
        (&[][..], shop.as_str()),
        (&["-p", "127.0.0.1::80"], &shop),
        (&["--network-alias=db"], &shop),
        (&["--network=default"], &shop),
        (&["--network=bridge"], "bridge"),
        (&["--network=none"], "none"),
    ] {
        assert_eq!(network_of(&home, options), network, "{options:?}");
    }
    // Settled at create: another default changes nothing for sandboxes that are there.
    let sandbox = Peer::idle(&home, &[]);
    assert!(sandbox.address(&shop).is_ipv4());
    home.run(["reset", &sandbox.name]);
    assert!(sandbox.address(&shop).is_ipv4());
}

#[test]
fn a_mode_is_the_default_by_the_configuration() {
    require!(userns);
    let home = Home::new();
    home.configure("[network]\ndefault = \"host\"\n");
    assert_eq!(network_of(&home, &[]), "host");
    // The host's network has none of this.
    assert_eq!(network_of(&home, &["-p", "127.0.0.1::80"]), "bridge");
    let net = Net::create(&home, &[]);
    assert_eq!(
        network_of(&home, &[&format!("--network={}", net.name)]),
        net.name
    );
}

#[test]
fn dockers_default_follows_a_setting_and_is_bridge_without() {
    require!(userns, many_ids);
    for (toml, default, published) in [
        ("", "bridge", "bridge"),
        ("[network]\ndefault = \"none\"\n", "none", "bridge"),
        ("[network]\ndefault = \"host\"\n", "host", "bridge"),
    ] {
        let home = Home::new();
        home.configure(toml);
        let image = home.image("tiny");
        let mode = |options: &[&str]| {
            let words = [&["docker", "create"], options, &[&image, "true"]].concat();
            let id = home.run(words);
            let mode = home.run([
                "docker",
                "inspect",
                "--format={{.HostConfig.NetworkMode}}",
                &id,
            ]);
            home.run(["docker", "rm", &id]);
            mode
        };
        assert_eq!(mode(&[]), default, "{toml}");
        assert_eq!(mode(&["-p", "127.0.0.1::80"]), published, "{toml}");
        assert_eq!(mode(&["--network=none"]), "none", "{toml}");
    }
}
