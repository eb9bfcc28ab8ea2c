use super::*;

fn one(
    host_ip: Option<&str>,
    host: Option<(u16, u16)>,
    container: u16,
    protocol: Protocol,
) -> PortSpec {
    PortSpec {
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        host,
        container,
        protocol,
    }
}

#[test]
fn ports_as_docker_takes_them() {
    use Protocol::{Tcp, Udp};
    let table = [
        ("80", vec![one(None, None, 80, Tcp)]),
        ("8080:80", vec![one(None, Some((8080, 8080)), 80, Tcp)]),
        ("8080:53/udp", vec![one(None, Some((8080, 8080)), 53, Udp)]),
        (
            "127.0.0.1:8080:80",
            vec![one(Some("127.0.0.1"), Some((8080, 8080)), 80, Tcp)],
        ),
        ("127.0.0.1::80", vec![one(Some("127.0.0.1"), None, 80, Tcp)]),
        ("127.0.0.1:80", vec![one(Some("127.0.0.1"), None, 80, Tcp)]),
        ("0:80", vec![one(None, None, 80, Tcp)]),
        (
            "[::1]:8080:80",
            vec![one(Some("::1"), Some((8080, 8080)), 80, Tcp)],
        ),
        ("[::1]::80", vec![one(Some("::1"), None, 80, Tcp)]),
        ("8000-8002:80", vec![one(None, Some((8000, 8002)), 80, Tcp)]),
        (
            "8000-8001:90-91",
            vec![
                one(None, Some((8000, 8000)), 90, Tcp),
                one(None, Some((8001, 8001)), 91, Tcp),
            ],
        ),
        (
            "90-91/udp",
            vec![one(None, None, 90, Udp), one(None, None, 91, Udp)],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_port() {
    for bad in [
        "",
        ":",
        "x",
        "80/sctp",
        "80/",
        "0",
        "65536",
        "8080:0",
        "-1:80",
        "+8:80",
        "90-80",
        "1-2:1-3",
        "1.2.3:80:80",
        "[::1:80:80",
        "[::1]x:80",
        "host:80:80",
        "1:2:3:4",
        "1-65535",
    ] {
        let error = parse(bad).unwrap_err();
        assert_eq!(error.kind, crate::Kind::Invalid, "{bad}");
        assert!(error.hint.is_some(), "{bad}");
    }
}

#[test]
fn exposed_ports() {
    assert_eq!(parse_exposed("80"), Ok(vec![(80, Protocol::Tcp)]));
    assert_eq!(
        parse_exposed("5-6/udp"),
        Ok(vec![(5, Protocol::Udp), (6, Protocol::Udp)])
    );
    assert!(parse_exposed("x").is_err());
}
