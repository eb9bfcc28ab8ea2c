//! What goes to the servers of the world, and what of their replies comes back.

use super::*;

/// The reply to a query of the sandbox that is made by hand.
async fn answer(scene: &Scene, query: &Packet<'_>) -> (RCODE, usize) {
    let bytes = query.build_bytes_vec().unwrap();
    let reply = scene.dns.answer(OWN.into(), &bytes, true).await.unwrap();
    let reply = Packet::parse(&reply).unwrap();
    (reply.rcode(), reply.answers.len())
}

#[tokio::test]
async fn only_plain_questions_leave_the_host() {
    let scene = scene(&["1.2.3.4"], None, false).await;
    let bytes = query("pypi.org", TYPE::A);
    let plain = Packet::parse(&bytes).unwrap();
    for opcode in [
        simple_dns::OPCODE::Update,
        simple_dns::OPCODE::Notify,
        simple_dns::OPCODE::InverseQuery,
        simple_dns::OPCODE::ServerStatusRequest,
    ] {
        let mut other = plain.clone();
        *other.opcode_mut() = opcode;
        assert_eq!(answer(&scene, &other).await.0, RCODE::NotImplemented);
    }
    for kind in [QTYPE::AXFR, QTYPE::IXFR, QTYPE::MAILA, QTYPE::MAILB] {
        let mut other = plain.clone();
        other.questions[0].qtype = kind;
        assert_eq!(answer(&scene, &other).await.0, RCODE::NotImplemented);
    }
    assert!(scene.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn queries_of_the_world_are_our_own() {
    let scene = scene(&["1.2.3.4"], None, false).await;
    let bytes = query("PyPI.org", TYPE::A);
    let mut rich = Packet::parse(&bytes).unwrap();
    rich.additional_records
        .push(record("smuggled.org", a("6.6.6.6")));
    *rich.opt_mut() = Some(simple_dns::rdata::OPT {
        opt_codes: vec![simple_dns::rdata::OPTCode {
            code: 65001,
            data: b"smuggled"[..].into(),
        }],
        udp_packet_size: 4096,
        version: 0,
    });
    for _ in 0..16 {
        assert_eq!(answer(&scene, &rich).await, (RCODE::NoError, 1));
    }
    let mut ids = std::collections::HashSet::new();
    for bytes in scene.asked.lock().unwrap().iter() {
        let query = Packet::parse(bytes).unwrap();
        ids.insert(query.id());
        assert_eq!(asked_name(&query), "PyPI.org");
        assert!(query.has_flags(PacketFlag::RECURSION_DESIRED));
        assert!(query.additional_records.is_empty() && query.opt().unwrap().opt_codes.is_empty());
        assert!(!bytes.windows(8).any(|part| part == b"smuggled"));
    }
    // The client's own is 77 each time; two of 16 random ones are the same once in 500 runs, five never.
    assert!(ids.len() > 11, "{ids:?}");
}

#[tokio::test]
async fn only_what_the_name_leads_to_is_learned() {
    use simple_dns::rdata::{CNAME, HTTPS, MX, SVCB};
    let name = |text: &'static str| Name::new(text).unwrap();
    let world = move |query: &Packet<'_>| {
        let mut reply = reply_to(query);
        reply.answers = vec![
            record("good.org", RData::CNAME(CNAME(name("Edge.net")))),
            record("edge.NET", RData::CNAME(CNAME(name("node.edge.net")))),
            record("node.edge.net", a("1.1.1.1")),
            record("other.net", a("2.2.2.2")),
            record(
                "good.org",
                RData::HTTPS(HTTPS(SVCB::new(1, name("hint.net")))),
            ),
            record(
                "good.org",
                RData::MX(MX {
                    preference: 1,
                    exchange: name("mail.net"),
                }),
            ),
        ];
        reply.additional_records = vec![record("mail.net", a("3.3.3.3"))];
        reply.build_bytes_vec().unwrap()
    };
    let scene = scene_of(vec![Box::new(world)], allowing(&["good.org"]), false).await;
    let bytes = scene
        .dns
        .answer(OWN.into(), &query("good.org", TYPE::A), true)
        .await
        .unwrap();
    let reply = Packet::parse(&bytes).unwrap();
    let expected = vec![("1.1.1.1".parse().unwrap(), 300)];
    assert_eq!(
        *scene.notes.0.lock().unwrap(),
        [("good.org".to_owned(), expected)]
    );
    let kinds: Vec<_> = reply
        .answers
        .iter()
        .map(|record| record.rdata.type_code())
        .collect();
    assert_eq!(kinds, [TYPE::CNAME, TYPE::CNAME, TYPE::A, TYPE::MX]);
    assert!(reply.additional_records.is_empty());
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_cannot() {
    let failing = |query: &Packet<'_>| {
        let mut reply = reply_to(query);
        *reply.rcode_mut() = RCODE::ServerFailure;
        reply.build_bytes_vec().unwrap()
    };
    let working = |query: &Packet<'_>| {
        let mut reply = reply_to(query);
        reply.answers.push(record("a.org", a("1.2.3.4")));
        reply.build_bytes_vec().unwrap()
    };
    let scene = scene_of(vec![Box::new(failing), Box::new(working)], None, false).await;
    assert_eq!(look(&scene, "a.org", TYPE::A).await.1, ["1.2.3.4"]);
    let scene = scene_of(vec![Box::new(failing), Box::new(failing)], None, false).await;
    assert_eq!(look(&scene, "a.org", TYPE::A).await.0, RCODE::ServerFailure);
}

#[tokio::test]
async fn a_forged_reply_does_not_end_the_wait() {
    // Right server, port and id, another question; the true reply comes after it.
    let dir = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolv = dir.path().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 127.0.0.1\n").unwrap();
    let host = HostNet::start().unwrap();
    let upstream = Upstream::at(host, &resolv, socket.local_addr().unwrap().port());
    let asked = query("a.org", TYPE::A);
    let server = async {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Packet::parse(&buffer[..length]).unwrap();
        let mut forged = reply_to(&query);
        forged.questions[0].qname = Name::new("evil.org").unwrap();
        for reply in [forged, reply_to(&query)] {
            let bytes = reply.build_bytes_vec().unwrap();
            socket.send_to(&bytes, from).await.unwrap();
        }
        // Asked once more it does not answer.
    };
    let (reply, ()) = tokio::join!(upstream.ask(&[], asked, true), server);
    let reply = reply.unwrap();
    assert_eq!(asked_name(&Packet::parse(&reply).unwrap()), "a.org");
}
