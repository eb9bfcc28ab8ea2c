//! With the real rules, links and redirections, in namespaces of their own: the gateway's, each sandbox's and the world's.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener as Listener, TcpStream as Stream};
use std::os::fd::{AsFd, OwnedFd};

use shedbox_linux::net;
use shedbox_linux::netlink::{Batch, Netlink, Protocol as Part};
use shedbox_linux::rtnetlink::{self as rt, End, Route};
use shedbox_spec::gateway::{Attach, Endpoint, NetworkSetup};
use shedbox_spec::network::egress::{Egress, Verdict};

use super::*;
use crate::firewall::{Firewall, NAME_PROXY_PORT, UPLINK};
use crate::host::HostNet;
use crate::links::Links;
use crate::testing::{inside, policy};

/// Server of the world, and the same by an address that no name leads to.
const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);

/// A network namespace, and the thread that is in it.
struct Space {
    thread: HostNet,
    namespace: OwnedFd,
}

impl Space {
    fn new() -> Self {
        let thread = HostNet::start().unwrap();
        let namespace = thread
            .run(|| {
                net::unshare().unwrap();
                net::loopback_up().unwrap();
                Ok(net::own_namespace().unwrap())
            })
            .unwrap();
        Self { thread, namespace }
    }

    fn netlink(&self) -> Netlink {
        self.thread
            .run(|| Ok(Netlink::open(Part::Route).unwrap()))
            .unwrap()
    }

    /// Echoes whatever comes.
    fn serve(&self, port: u16) {
        let listener = self
            .thread
            .run(move || Listener::bind((Ipv4Addr::UNSPECIFIED, port)))
            .unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut bytes) {
                        if stream.write_all(&bytes[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    }

    fn connect(&self, to: Ipv4Addr, port: u16) -> std::io::Result<Stream> {
        self.thread.run(move || {
            let stream = Stream::connect_timeout(&(to, port).into(), Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            Ok(stream)
        })
    }

    /// Says something and gives what comes back: the same, or the kind of the end.
    fn ask(&self, to: Ipv4Addr, port: u16, words: &[u8]) -> Result<Stream, String> {
        let mut stream = self
            .connect(to, port)
            .map_err(|error| error.kind().to_string())?;
        say(&mut stream, words).map(|()| stream)
    }
}

fn say(stream: &mut Stream, words: &[u8]) -> Result<(), String> {
    let mut bytes = vec![0; words.len()];
    stream
        .write_all(words)
        .and_then(|()| stream.read_exact(&mut bytes))
        .map_err(|error| error.kind().to_string())?;
    assert_eq!(bytes, words);
    Ok(())
}

fn http(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

struct Scene {
    client: Space,
    proxy: Arc<Proxy>,
    firewall: Arc<Firewall>,
    member: Arc<Member>,
    interfaces: Vec<String>,
    _rest: (tokio::runtime::Runtime, tempfile::TempDir, Vec<Space>),
}

/// Address of the client, of one on the same network and of one on another network.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);

fn network(group: u32, third: u8, internal: bool) -> NetworkSetup {
    NetworkSetup {
        group,
        name: format!("n{group}"),
        v4: (
            format!("10.{third}.0.0/24").try_into().unwrap(),
            Ipv4Addr::new(10, third, 0, 1),
        ),
        v6: None,
        peers: true,
        names: true,
        internal,
    }
}

fn scene(egress: Egress, internal: bool) -> Scene {
    let mut links = Links::new().unwrap();
    let firewall = Arc::new(Firewall::new().unwrap());
    let directory = Arc::new(Directory::default());
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(&dir.path().join("audit.jsonl")).unwrap();
    let (ours, theirs) = (network(17, 9, internal), network(18, 8, false));
    for network in [&ours, &theirs] {
        links.add_network(network).unwrap();
        firewall
            .add_network(network.group, network.peers, network.internal)
            .unwrap();
        directory.add_network(network.clone());
    }
    let mut spaces = Vec::new();
    let mut first = None;
    for (number, (name, network, v4)) in [
        ("client", &ours, CLIENT),
        ("neighbour", &ours, NEIGHBOUR),
        ("stranger", &theirs, STRANGER),
    ]
    .into_iter()
    .enumerate()
    {
        let space = Space::new();
        let attach: Attach = serde_json::from_value(serde_json::json!({
            "sandbox": name, "name": name, "endpoints": [], "ports": [],
            "egress": (number == 0).then_some(&egress),
        }))
        .unwrap();
        let endpoint = Endpoint {
            group: network.group,
            interface: "eth0".into(),
            mac: [2, 0, 0, 0, 0, number as u8],
            v4,
            v6: None,
            aliases: Vec::new(),
        };
        // Whoever has a namespace may add routes in it, so there is one out of internal networks as well.
        let link = links
            .connect(
                network,
                &endpoint,
                space.namespace.as_fd(),
                &space.netlink(),
                true,
            )
            .unwrap();
        let member = Arc::new(Member::new(&attach, number as u32));
        directory.add(Arc::clone(&member));
        directory.connect(&member, endpoint);
        if number == 0 {
            firewall
                .set_policy("client", std::slice::from_ref(&link.name), Some(&egress))
                .unwrap();
            first = Some((space, member, vec![link.name]));
        } else {
            space.serve(80);
            spaces.push(space);
        }
    }
    let world = world();
    for port in [80, 443] {
        world.serve(port);
    }
    spaces.push(world);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let proxy = Proxy::new(directory, firewall.clone(), audit);
    let listener = tcp::listen((Ipv4Addr::UNSPECIFIED, NAME_PROXY_PORT).into(), 64).unwrap();
    {
        let _in_runtime = runtime.enter();
        runtime.spawn(Arc::clone(&proxy).serve(listener));
    }
    let (client, member, interfaces) = first.unwrap();
    Scene {
        client,
        proxy,
        firewall,
        member,
        interfaces,
        _rest: (runtime, dir, spaces),
    }
}

/// What pasta gives otherwise: an interface that leads to everybody else.
fn world() -> Space {
    let space = Space::new();
    let (here, there) = ([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]);
    let end = |name, index, mac, group| End {
        name,
        index,
        mac,
        group,
    };
    let to = |to: IpAddr, prefix, index| Route {
        to,
        prefix,
        index,
        via: None,
        last: false,
    };
    let gateway = Ipv4Addr::new(198, 51, 100, 1);
    let mut batch = Batch::new();
    rt::add_veth(
        &mut batch,
        end(UPLINK, 5, here, 1),
        end("eth0", 2, there, 0),
        space.namespace.as_fd(),
    );
    rt::add_address(&mut batch, 5, gateway.into(), 24);
    rt::add_route(&mut batch, to(Ipv4Addr::new(198, 51, 100, 0).into(), 24, 5));
    Netlink::open(Part::Route)
        .unwrap()
        .carry_out(&batch)
        .unwrap();
    let mut batch = Batch::new();
    rt::set_up(&mut batch, 2);
    for address in [WORLD, ELSEWHERE] {
        rt::add_address(&mut batch, 2, address.into(), 24);
    }
    rt::add_route(&mut batch, to(gateway.into(), 32, 2));
    space.netlink().carry_out(&batch).unwrap();
    space
}

impl Scene {
    fn learn(&self, name: &str, address: Ipv4Addr) {
        self.firewall
            .learn(&self.member, name, &[(address.into(), 60)])
            .unwrap();
    }

    /// As `Members::set_egress` does.
    fn switch(&self, egress: Option<Egress>) {
        self.firewall
            .set_policy("client", &self.interfaces, egress.as_ref())
            .unwrap();
        self.member.set_egress(egress);
        self.proxy.recheck(&self.member);
    }
}

/// Reset, refused by a rule, or not to be reached: but not answered.
#[track_caller]
fn refused(outcome: Result<Stream, String>) {
    assert!(outcome.is_err(), "it was answered");
}

#[test]
fn an_allowed_name_at_an_address_that_it_led_to() {
    inside(
        "proxy::tests::an_allowed_name_at_an_address_that_it_led_to",
        || {
            let scene = scene(policy(Verdict::Deny, &["good.example"], &[]), false);
            scene.learn("good.example", WORLD);
            scene.client.ask(WORLD, 80, &http("good.example")).unwrap();
            refused(scene.client.ask(WORLD, 80, &http("evil.example")));
            refused(scene.client.ask(ELSEWHERE, 80, &http("good.example")));
        },
    );
}

#[test]
fn other_networks_are_not_reached_through_the_proxy() {
    inside(
        "proxy::tests::other_networks_are_not_reached_through_the_proxy",
        || {
            let scene = scene(policy(Verdict::Allow, &[], &["evil.example"]), false);
            scene.client.ask(WORLD, 80, &http("good.example")).unwrap();
            refused(scene.client.ask(WORLD, 80, &http("evil.example")));
            scene
                .client
                .ask(NEIGHBOUR, 80, &http("evil.example"))
                .unwrap();
            refused(scene.client.ask(STRANGER, 80, &http("good.example")));
        },
    );
}

#[test]
fn internal_networks_have_no_way_out_through_the_proxy() {
    inside(
        "proxy::tests::internal_networks_have_no_way_out_through_the_proxy",
        || {
            let scene = scene(policy(Verdict::Allow, &[], &["evil.example"]), true);
            scene.client.ask(NEIGHBOUR, 80, &http("neighbour")).unwrap();
            refused(scene.client.ask(WORLD, 80, &http("good.example")));
        },
    );
}

#[test]
fn a_switch_ends_what_it_refuses_by_address() {
    inside(
        "proxy::tests::a_switch_ends_what_it_refuses_by_address",
        || {
            let scene = scene(policy(Verdict::Deny, &["good.example"], &[]), false);
            scene.learn("good.example", WORLD);
            let mut stream = scene.client.ask(WORLD, 80, &http("good.example")).unwrap();
            scene.switch(Some(policy(
                Verdict::Deny,
                &["good.example", "other.example"],
                &[],
            )));
            say(&mut stream, b"still there").unwrap();
            scene.switch(Some(policy(
                Verdict::Deny,
                &["good.example"],
                &["198.51.100.0/24"],
            )));
            assert!(say(&mut stream, b"gone").is_err());
        },
    );
}

#[test]
fn a_switch_keeps_what_it_allows_though_the_answer_is_old() {
    inside(
        "proxy::tests::a_switch_keeps_what_it_allows_though_the_answer_is_old",
        || {
            let good = || Some(policy(Verdict::Deny, &["good.example"], &[]));
            let scene = scene(good().unwrap(), false);
            scene.learn("good.example", WORLD);
            let mut stream = scene.client.ask(WORLD, 80, &http("good.example")).unwrap();
            // What was handed out is forgotten with the policy.
            scene.switch(None);
            scene.switch(good());
            assert!(
                scene
                    .firewall
                    .names_of(&scene.member, WORLD.into())
                    .is_empty()
            );
            say(&mut stream, b"still there").unwrap();
        },
    );
}

#[test]
fn a_list_of_refused_names_is_not_got_around() {
    inside(
        "proxy::tests::a_list_of_refused_names_is_not_got_around",
        || {
            let scene = scene(policy(Verdict::Allow, &[], &["evil.example"]), false);
            for words in [
                "GET / HTTP/1.1\r\nHost: evil.example\r\nHost: good.example\r\n\r\n",
                "GET HTTP://evil.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
                "\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            ] {
                refused(scene.client.ask(WORLD, 80, words.as_bytes()));
            }
            // The name is behind more than is looked at.
            let padding = "a".repeat(2 * LOOK_MAX);
            let long = format!("GET / HTTP/1.1\r\nA: {padding}\r\nHost: evil.example\r\n\r\n");
            refused(scene.client.ask(WORLD, 80, long.as_bytes()));
            // Another protocol names nobody, and nobody is what the list does not speak of.
            scene.client.ask(WORLD, 443, b"SSH-2.0-x y\r\n").unwrap();
        },
    );
}

#[test]
fn connections_that_say_nothing_are_counted() {
    inside(
        "proxy::tests::connections_that_say_nothing_are_counted",
        || {
            let scene = scene(policy(Verdict::Allow, &[], &["evil.example"]), false);
            let _silent: Vec<_> = (0..CONNECTIONS_MAX)
                .map(|_| scene.client.connect(WORLD, 80).unwrap())
                .collect();
            // They are accepted by tasks of their own.
            let deadline = std::time::Instant::now() + NAME_WITHIN / 2;
            while scene.proxy.places.taken("client") < CONNECTIONS_MAX {
                assert!(std::time::Instant::now() < deadline, "they are not counted");
                std::thread::yield_now();
            }
            refused(scene.client.ask(WORLD, 80, &http("good.example")));
        },
    );
}
