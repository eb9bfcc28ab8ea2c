//! Named networks: who finds whom by name, and who does not.

use std::collections::BTreeSet;

use crate::require;
use crate::scene::{Net, Peer, label};
use crate::support::Home;

fn on(network: &str) -> String {
    format!("--network={network}")
}

#[test]
fn by_name_alias_short_id_and_address() {
    require!(userns, program "python3");
    let home = Home::shared();
    let net = Net::create(&home, &[]);
    let server = Peer::server(
        &home,
        &[
            &on(&net.name),
            "--network-alias=web",
            "--network-alias=Shop.Front",
        ],
    );
    let client = Peer::idle(&home, &[&on(&net.name)]);
    let address = server.address(&net.name);
    let short = server.id()[..12].to_owned();
    for name in [server.name.as_str(), "web", "WEB", "shop.front", &short] {
        let answer = client.tcp(name);
        assert_eq!(
            answer,
            format!("{} {}", server.name, client.address(&net.name)),
            "{name}"
        );
        assert_eq!(client.look(name), address.to_string(), "{name}");
    }
    assert!(client.udp("web").starts_with(&server.name));
    let reverse = client.step(&["reverse", &address.to_string()]);
    assert_eq!(
        reverse.split('.').next(),
        Some(server.name.as_str()),
        "{reverse}"
    );
    client.knows_not(&label("nobody"));
}

#[test]
fn a_web_server_of_busybox() {
    require!(userns, image "tiny");
    let home = Home::shared();
    let tiny = home.image("tiny");
    let net = Net::create(&home, &[]);
    let web = Peer::run(
        &home,
        &[&on(&net.name), "--network-alias=web"],
        &tiny,
        &["sleep", "1000000"],
    );
    web.sh("mkdir -p /www && echo page > /www/index.html && httpd -p 80 -h /www");
    let client = Peer::run(&home, &[&on(&net.name)], &tiny, &["sleep", "1000000"]);
    assert_eq!(client.sh("wget -q -O - http://web/"), "page");
    assert_eq!(client.sh("nslookup web >/dev/null && echo there"), "there");
    let address = web.address(&net.name).to_string();
    assert!(client.sh("nslookup web").contains(&address));
}

#[test]
fn the_same_name_on_two_networks_is_two_sandboxes() {
    require!(userns, program "python3");
    let home = Home::shared();
    let (left, right) = (Net::create(&home, &[]), Net::create(&home, &[]));
    let one = Peer::server(&home, &[&on(&left.name), "--network-alias=db"]);
    let two = Peer::server(&home, &[&on(&right.name), "--network-alias=db"]);
    for (net, server, other) in [(&left, &one, &two), (&right, &two, &one)] {
        let client = Peer::idle(&home, &[&on(&net.name)]);
        assert!(client.tcp("db").starts_with(&server.name));
        client.knows_not(&other.name);
        let there = if std::ptr::eq(net, &raw const left) {
            &right
        } else {
            &left
        };
        let answer = client.tcp(other.address(&there.name));
        assert!(!answer.starts_with(&other.name), "{answer}");
    }
}

#[test]
fn connect_and_disconnect_while_it_runs() {
    require!(userns, program "python3");
    let home = Home::shared();
    let (first, second) = (Net::create(&home, &[]), Net::create(&home, &[]));
    let server = Peer::server(&home, &[&on(&second.name)]);
    let client = Peer::idle(&home, &[&on(&first.name)]);
    client.knows_not(&server.name);
    home.run([
        "network",
        "connect",
        "--alias=late",
        &second.name,
        &client.name,
    ]);
    assert!(client.tcp(&server.name).starts_with(&server.name));
    assert_eq!(
        server.look("late"),
        client.address(&second.name).to_string()
    );
    assert_eq!(client.sh("ls /sys/class/net | grep -c eth"), "2");
    // It is the sandbox's now, and a reset keeps it.
    home.run(["reset", &client.name]);
    assert!(client.tcp(&server.name).starts_with(&server.name));
    home.run(["network", "disconnect", &second.name, &client.name]);
    client.knows_not(&server.name);
    server.knows_not("late");
    assert_eq!(client.sh("ls /sys/class/net | grep -c eth"), "1");
    home.refused(
        ["network", "disconnect", &second.name, &client.name],
        1,
        "is not connected to",
    );
}

/// The default route goes with the interface that had it; names are asked for at an address behind it.
#[test]
fn the_way_out_moves_when_its_network_is_left() {
    require!(userns, program "python3");
    let home = Home::shared();
    let (first, second) = (Net::create(&home, &[]), Net::create(&home, &[]));
    let inner = Net::create(&home, &["--internal"]);
    let server = Peer::server(&home, &[&on(&second.name)]);
    let client = Peer::idle(
        &home,
        &[&on(&first.name), &on(&inner.name), &on(&second.name)],
    );
    let routes = || client.sh("awk '$2 == \"00000000\" { print $1 }' /proc/net/route");
    assert_eq!(routes(), "eth0");
    home.run(["network", "disconnect", &first.name, &client.name]);
    assert_eq!(routes(), "eth2");
    assert!(client.tcp(&server.name).starts_with(&server.name));
    // One without a way out changes nothing.
    home.run(["network", "disconnect", &inner.name, &client.name]);
    assert_eq!(routes(), "eth2");
    home.run(["network", "connect", &first.name, &client.name]);
    assert_eq!(routes(), "eth2");
    home.run(["network", "disconnect", &second.name, &client.name]);
    assert_eq!(routes(), "eth0");
}

#[test]
fn several_networks_from_the_start() {
    require!(userns, program "python3");
    let home = Home::shared();
    let (left, right) = (Net::create(&home, &[]), Net::create(&home, &[]));
    let one = Peer::server(&home, &[&on(&left.name)]);
    let two = Peer::server(&home, &[&on(&right.name)]);
    let both = Peer::server(&home, &[&on(&left.name), &on(&right.name)]);
    for other in [&one, &two] {
        assert!(both.tcp(&other.name).starts_with(&other.name));
        assert!(other.tcp(&both.name).starts_with(&both.name));
    }
    // Who is on both is no bridge between them.
    assert!(!one.tcp(two.address(&right.name)).starts_with(&two.name));
}

#[test]
fn internal_networks_have_peers_and_no_way_out() {
    require!(userns, program "python3");
    let home = Home::shared();
    let net = Net::create(&home, &["--internal"]);
    let server = Peer::server(&home, &[&on(&net.name)]);
    let client = Peer::idle(&home, &[&on(&net.name)]);
    assert!(client.tcp(&server.name).starts_with(&server.name));
    assert_eq!(net.field("/Internal"), true);
    if let Some(world) = crate::scene::world() {
        let answer = client.step(&["tcp", &world.ip().to_string(), &world.port().to_string()]);
        assert!(
            ["ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EACCES"].contains(&answer.as_str()),
            "{answer}"
        );
    }
}

#[test]
fn addresses_by_wish() {
    require!(userns);
    let home = Home::shared();
    let net = Net::create(&home, &["--subnet=10.231.7.0/24"]);
    assert_eq!(
        net.subnet(),
        ("10.231.7.0/24".into(), [10, 231, 7, 1].into())
    );
    let sandbox = Peer::idle(&home, &[&on(&net.name), "--ip=10.231.7.77"]);
    assert_eq!(
        sandbox.address(&net.name),
        std::net::IpAddr::from([10, 231, 7, 77])
    );
    for (address, word) in [
        ("10.231.7.77", "10.231.7.77 is in use"),
        ("10.231.7.1", "10.231.7.1 is the gateway's"),
        ("10.231.8.1", "is not in"),
        ("10.231.7.0", "10.231.7.0"),
        ("10.231.7.255", "10.231.7.255"),
    ] {
        let ip = format!("--ip={address}");
        home.refused(
            ["run", "--rm", &on(&net.name), &ip, "host", "true"],
            125,
            word,
        );
    }
    // A reset and a restart keep it.
    home.run(["reset", &sandbox.name]);
    home.run(["stop", "--time=0", &sandbox.name]);
    home.run(["start", &sandbox.name]);
    assert_eq!(
        sandbox.address(&net.name),
        std::net::IpAddr::from([10, 231, 7, 77])
    );
}

#[test]
fn list_inspect_remove_prune() {
    require!(userns);
    let home = Home::new();
    let (used, unused) = (label("used"), label("unused"));
    home.run(["network", "create", &used]);
    home.run(["network", "create", &unused]);
    let listed = |home: &Home| -> BTreeSet<String> {
        let text = home.run(["network", "ls", "--format", "json"]);
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let name = |network: &serde_json::Value| network["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    };
    assert!(listed(&home).is_superset(&BTreeSet::from([
        "bridge".into(),
        used.clone(),
        unused.clone()
    ])));
    home.refused(
        ["network", "create", &used],
        1,
        &format!("network `{used}` exists"),
    );
    {
        let sandbox = Peer::idle(&home, &[&on(&used)]);
        home.refused(["network", "rm", &used], 1, &sandbox.name);
        home.run(["network", "prune", "--force"]);
        assert!(listed(&home).contains(&used) && !listed(&home).contains(&unused));
    }
    home.run(["network", "rm", &used]);
    assert!(!listed(&home).contains(&used));
    home.refused(["network", "inspect", &used], 1, &used);
    home.refused(["network", "rm", "bridge"], 1, "bridge");
}

#[test]
fn subnets_do_not_collide() {
    require!(userns);
    let home = Home::new();
    let mut nets: Vec<Net> = (0..10).map(|_| Net::create(&home, &[])).collect();
    let subnets: BTreeSet<String> = nets.iter().map(|net| net.subnet().0).collect();
    assert_eq!(subnets.len(), nets.len());
    let taken = format!("--subnet={}", nets[0].subnet().0);
    home.refused(
        ["network", "create", &taken, &label("net")],
        1,
        &nets[0].name,
    );
    // A subnet by wish is one that the next choice leaves alone.
    nets.push(Net::create(&home, &["--subnet=10.231.0.0/16"]));
    home.refused(
        ["network", "create", "--subnet=10.231.9.0/24", &label("net")],
        1,
        &nets[10].name,
    );
}

mod long {
    use super::*;

    #[test]
    fn a_thousand_networks() {
        require!(userns, program "python3");
        let home = Home::new();
        let names: Vec<String> = (0..1000).map(|number| format!("n{number}")).collect();
        for name in &names {
            home.run(["network", "create", name]);
        }
        let server = Peer::server(&home, &["--network=n0", "--network=n999"]);
        let client = Peer::idle(&home, &["--network=n999"]);
        assert!(client.tcp(&server.name).starts_with(&server.name));
        let stranger = Peer::idle(&home, &["--network=n500"]);
        stranger.knows_not(&server.name);
        drop((server, client, stranger));
        for chunk in names.chunks(100) {
            home.run(
                ["network", "rm"]
                    .into_iter()
                    .chain(chunk.iter().map(String::as_str)),
            );
        }
        let custom = ["network", "ls", "--quiet", "--filter", "type=custom"];
        assert_eq!(home.run(custom).lines().count(), 0);
    }
}
