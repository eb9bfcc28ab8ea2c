use super::*;

#[test]
fn modes() {
    let table = [
        ("none", Network::None),
        ("host", Network::Host),
        ("default", Network::on_default()),
        ("bridge", Network::bridge()),
        ("container:web", Network::Container("web".into())),
        ("shop", Network::Bridge(vec![Attachment::to("shop")])),
        (
            "name=shop,alias=db,alias=sql,ip=10.1.2.3,ip6=fd00::3",
            Network::Bridge(vec![Attachment {
                network: "shop".into(),
                ip: Some(Ipv4Addr::new(10, 1, 2, 3)),
                ip6: Some("fd00::3".parse().unwrap()),
                aliases: vec!["db".into(), "sql".into()],
            }]),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(Network::parse(text), Ok(expected), "{text}");
    }
    for bad in [
        "",
        "-x",
        "container:",
        "a b",
        "name=a,ip=x",
        "name=a,mac=1",
        "alias=x",
        "name=a,",
        "../x",
    ] {
        assert!(Network::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn several_networks_and_no_mode_among_them() {
    let both = Network::parse_all(&["a", "b"]).unwrap();
    assert_eq!(
        both,
        Network::Bridge(vec![Attachment::to("a"), Attachment::to("b")])
    );
    assert_eq!(both.to_string(), "a");
    assert_eq!(Network::parse_all::<&str>(&[]), Ok(Network::Default));
    assert!(Network::parse_all(&["a", "none"]).is_err());
    assert!(Network::parse_all(&["host", "a"]).is_err());
    assert!(Network::parse_all(&["a", "name=a,ip=10.0.0.1"]).is_err());
}

#[test]
fn what_travels() {
    let text = |network: &Network| serde_json::to_string(network).unwrap();
    assert_eq!(text(&Network::None), "\"none\"");
    assert_eq!(text(&Network::Host), "\"host\"");
    assert_eq!(
        text(&Network::bridge()),
        r#"{"bridge":[{"network":"bridge"}]}"#
    );
    for network in [
        Network::None,
        Network::bridge(),
        Network::Container("a".into()),
    ] {
        assert_eq!(
            serde_json::from_str::<Network>(&text(&network)).unwrap(),
            network
        );
    }
}

#[test]
fn modes_have_ids() {
    for mode in ["host", "none"] {
        let id = mode_id(mode).unwrap();
        assert_eq!(id.len(), 64);
        for text in [mode, id, &id[..12]] {
            assert_eq!(mode_named(text), Some(mode), "{text}");
        }
        assert_eq!(mode_named(&id[..11]), None);
    }
    assert_eq!((mode_id(BRIDGE), mode_named("")), (None, None));
}
