//! With a made-up server of the world on loopback, and a wall that takes notes.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use proptest::prelude::*;
use shedbox_spec::gateway::{Attach, Endpoint, NetworkSetup};
use shedbox_spec::network::egress::{Egress, EgressRule};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, PacketFlag, Question, ResourceRecord};

use super::*;

#[path = "dns_world_tests.rs"]
mod world;

type Learned = (String, Vec<(IpAddr, u32)>);
type Asked = Arc<Mutex<Vec<Vec<u8>>>>;
/// What a server of the world makes of a query.
type World = Box<dyn Fn(&Packet<'_>) -> Vec<u8> + Send>;

#[derive(Default)]
struct Notes(Mutex<Vec<Learned>>);

impl Wall for Notes {
    fn learn(&self, _: &Member, name: &str, addresses: &[(IpAddr, u32)]) -> std::io::Result<()> {
        self.0
            .lock()
            .unwrap()
            .push((name.to_owned(), addresses.to_vec()));
        Ok(())
    }

    fn names_of(&self, _: &Member, _: IpAddr) -> Vec<String> {
        Vec::new()
    }
}

struct Scene {
    dns: Arc<Dns>,
    notes: Arc<Notes>,
    /// What the servers of the world were asked.
    asked: Asked,
    dir: tempfile::TempDir,
}

const OWN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// Two sandboxes on the network `shop`, and a server of the world that answers `addresses` to everything.
async fn scene(
    addresses: &'static [&'static str],
    egress: Option<Egress>,
    internal: bool,
) -> Scene {
    let world = move |query: &Packet<'_>| {
        let mut reply = reply_to(query);
        for address in addresses {
            reply.answers.push(record(&asked_name(query), a(address)));
        }
        reply.build_bytes_vec().unwrap()
    };
    scene_of(vec![Box::new(world)], egress, internal).await
}

fn reply_to<'a>(query: &Packet<'a>) -> Packet<'a> {
    let mut reply = Packet::new_reply(query.id());
    reply.questions.clone_from(&query.questions);
    reply
}

fn asked_name(query: &Packet<'_>) -> String {
    query.questions[0].qname.to_string()
}

fn record(name: &str, rdata: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(name).unwrap().into_owned(), CLASS::IN, 300, rdata)
}

fn a(address: &str) -> RData<'static> {
    let address: Ipv4Addr = address.parse().unwrap();
    RData::A(A {
        address: address.to_bits(),
    })
}

/// The same with servers of the world at 127.0.0.1, 127.0.0.2 and so on, which answer as they like.
async fn scene_of(worlds: Vec<World>, egress: Option<Egress>, internal: bool) -> Scene {
    let asked = Asked::default();
    let dir = tempfile::tempdir().unwrap();
    let resolv = dir.path().join("resolv.conf");
    let (mut port, mut servers) = (0, String::new());
    for (world, number) in worlds.into_iter().zip(1..) {
        let address = Ipv4Addr::new(127, 0, 0, number);
        let socket = UdpSocket::bind((address, port)).await.unwrap();
        port = socket.local_addr().unwrap().port();
        servers.push_str(&["nameserver ", &address.to_string(), "\n"].concat());
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                asked.lock().unwrap().push(buffer[..length].to_vec());
                let reply = world(&Packet::parse(&buffer[..length]).unwrap());
                socket.send_to(&reply, from).await.unwrap();
            }
        });
    }
    std::fs::write(&resolv, servers).unwrap();
    let directory = Arc::new(Directory::default());
    directory.add_network(NetworkSetup {
        group: 17,
        name: "shop".into(),
        v4: (
            "10.9.0.0/24".to_owned().try_into().unwrap(),
            Ipv4Addr::new(10, 9, 0, 1),
        ),
        v6: None,
        peers: true,
        names: true,
        internal,
    });
    for (name, v4, aliases) in [
        ("client", OWN, vec![]),
        ("web", Ipv4Addr::new(10, 9, 0, 3), vec!["www".to_owned()]),
    ] {
        let attach: Attach = serde_json::from_value(serde_json::json!({
            "sandbox": format!("{name}00112233445566"), "name": name, "endpoints": [], "ports": [], "egress": egress,
        }))
        .unwrap();
        let member = Arc::new(Member::new(&attach, 1));
        directory.add(Arc::clone(&member));
        directory.connect(
            &member,
            Endpoint {
                group: 17,
                interface: "eth0".into(),
                mac: [0; 6],
                v4,
                v6: None,
                aliases,
            },
        );
    }
    let host = HostNet::start().unwrap();
    let notes = Arc::new(Notes::default());
    let dns = Arc::new(Dns {
        directory,
        wall: Arc::clone(&notes) as Arc<dyn Wall>,
        audit: Audit::open(&dir.path().join("audit")).unwrap(),
        upstream: Upstream::at(host, &resolv, port),
        queries: Quota::new(QUERIES_MAX),
        streams: Quota::new(STREAMS_MAX),
    });
    Scene {
        dns,
        notes,
        asked,
        dir,
    }
}

fn query(name: &str, kind: TYPE) -> Vec<u8> {
    let mut query = Packet::new_query(77);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap().into_owned();
    query.questions.push(Question::new(
        name,
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    query.build_bytes_vec().unwrap()
}

/// Code and records of an answer, as text.
async fn look(scene: &Scene, name: &str, kind: TYPE) -> (RCODE, Vec<String>) {
    let bytes = scene
        .dns
        .answer(OWN.into(), &query(name, kind), true)
        .await
        .unwrap();
    let reply = Packet::parse(&bytes).unwrap();
    assert_eq!(reply.id(), 77);
    let records = reply
        .answers
        .iter()
        .map(|record| match &record.rdata {
            RData::A(a) => Ipv4Addr::from_bits(a.address).to_string(),
            RData::PTR(name) => name.0.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    (reply.rcode(), records)
}

#[expect(clippy::unnecessary_wraps, reason = "what scenes take")]
fn allowing(rules: &[&str]) -> Option<Egress> {
    Some(Egress {
        default: Verdict::Deny,
        allow: rules
            .iter()
            .map(|rule| EgressRule::parse(rule).unwrap())
            .collect(),
        deny: Vec::new(),
    })
}

#[tokio::test]
async fn names_of_the_network_and_of_the_world() {
    let scene = scene(&["1.2.3.4"], None, false).await;
    let ok = |records: &[&str]| {
        (
            RCODE::NoError,
            records
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    for name in ["web", "WEB", "www", "web001122334"] {
        assert_eq!(
            look(&scene, name, TYPE::A).await,
            ok(&["10.9.0.3"]),
            "{name}"
        );
    }
    assert_eq!(
        look(&scene, "web", TYPE::AAAA).await,
        ok(&[]),
        "no IPv6 there, but the name is"
    );
    assert_eq!(
        look(&scene, "3.0.9.10.in-addr.arpa", TYPE::PTR).await,
        ok(&["web.shop"])
    );
    assert_eq!(
        look(&scene, "9.0.9.10.in-addr.arpa", TYPE::PTR).await.0,
        RCODE::NameError
    );
    assert_eq!(look(&scene, "pypi.org", TYPE::A).await, ok(&["1.2.3.4"]));
    assert!(
        scene.notes.0.lock().unwrap().is_empty(),
        "without a policy nobody learns"
    );
    let stranger = scene
        .dns
        .answer("10.9.0.77".parse().unwrap(), &query("web", TYPE::A), true)
        .await
        .unwrap();
    assert_eq!(Packet::parse(&stranger).unwrap().rcode(), RCODE::Refused);
}

#[tokio::test]
async fn a_policy_holds_names_and_the_wall_learns() {
    let scene = scene(
        &["1.2.3.4", "169.254.169.254", "10.9.0.3", "10.1.1.1"],
        allowing(&["*.pypi.org"]),
        false,
    )
    .await;
    let (code, records) = look(&scene, "files.pypi.org", TYPE::A).await;
    assert_eq!(
        (code, records),
        (
            RCODE::NoError,
            vec!["1.2.3.4".to_owned(), "10.1.1.1".to_owned()]
        )
    );
    let expected = vec![
        ("1.2.3.4".parse().unwrap(), 300),
        ("10.1.1.1".parse().unwrap(), 300),
    ];
    assert_eq!(
        *scene.notes.0.lock().unwrap(),
        [("files.pypi.org".to_owned(), expected)]
    );
    assert_eq!(look(&scene, "evil.org", TYPE::A).await.0, RCODE::NameError);
    assert_eq!(
        look(&scene, "web", TYPE::A).await.1,
        ["10.9.0.3"],
        "neighbours are not the world"
    );
    assert!(scene.dir.path().join("audit").exists());
}

#[tokio::test]
async fn nothing_of_the_world_on_internal_networks() {
    let scene = scene(&["1.2.3.4"], None, true).await;
    assert_eq!(look(&scene, "pypi.org", TYPE::A).await.0, RCODE::NameError);
    assert_eq!(look(&scene, "web", TYPE::A).await.1, ["10.9.0.3"]);
}

#[tokio::test]
async fn what_does_not_fit_comes_by_tcp() {
    const MANY: &[&str] = &["9.9.9.9"; 60];
    let scene = scene(MANY, None, false).await;
    let by_udp = scene
        .dns
        .answer(OWN.into(), &query("big.org", TYPE::A), true)
        .await
        .unwrap();
    let reply = Packet::parse(&by_udp).unwrap();
    assert!(
        by_udp.len() <= 512 && reply.has_flags(PacketFlag::TRUNCATION) && reply.answers.is_empty()
    );
}

#[tokio::test]
async fn by_real_sockets_and_not_by_too_many() {
    let scene = scene(&[], None, false).await;
    // One more address of the client, which this host has.
    let client = Ipv4Addr::new(127, 9, 0, 2);
    let member = scene.dns.directory.by_address(OWN.into()).unwrap();
    scene.dns.directory.connect(
        &member,
        Endpoint {
            group: 17,
            interface: "eth1".into(),
            mac: [0; 6],
            v4: client,
            v6: None,
            aliases: Vec::new(),
        },
    );
    let server = udp::bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let at = SocketAddr::from((
        Ipv4Addr::new(127, 0, 0, 5),
        server.local_addr().unwrap().port(),
    ));
    tokio::spawn(Arc::clone(&scene.dns).serve_udp(server));
    let socket = UdpSocket::bind((client, 0)).await.unwrap();
    let question = query("web", TYPE::A);
    socket.send_to(&question, at).await.unwrap();
    let mut buffer = [0; 512];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    assert_eq!(from, at, "from the address that was asked");
    assert_eq!(Packet::parse(&buffer[..length]).unwrap().answers.len(), 1);

    let listener = shedbox_linux::tcp::listen("127.0.0.1:0".parse().unwrap(), 64).unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&scene.dns).serve_tcp(listener));
    let frame = [&(question.len() as u16).to_be_bytes()[..], &question].concat();
    let ask = async |from: Ipv4Addr| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(at).await.unwrap();
        stream.write_all(&frame).await?;
        let length = stream.read_u16().await?;
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await?;
        assert_eq!(Packet::parse(&reply).unwrap().answers.len(), 1);
        Ok::<_, std::io::Error>(stream)
    };
    let mut held = Vec::new();
    for _ in 0..STREAMS_MAX {
        held.push(ask(client).await.unwrap());
    }
    assert!(ask(client).await.is_err(), "one too many");
    assert!(
        ask(Ipv4Addr::new(127, 9, 0, 3)).await.is_err(),
        "a stranger"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_query(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scene = scene(&[], allowing(&[]), true).await;
            let reply = scene.dns.answer(OWN.into(), &bytes, true).await;
            if let Some(reply) = reply {
                prop_assert!(Packet::parse(&reply).is_ok());
            }
            Ok(())
        })?;
    }
}
