use super::*;

const HEX: &str = "86e0e091d0da6bde2456dbb48306f3956bbeb2eae1b5b9a43045843f69fe4aaa";

#[test]
fn completed_as_docker_does() {
    let digest = format!("sha256:{HEX}");
    let pinned = format!("debian@{digest}");
    let both = format!("debian:12@{digest}");
    let cases = [
        // typed, registry, repository, tag, short form
        (
            "debian",
            "docker.io",
            "library/debian",
            Some("latest"),
            "debian:latest",
        ),
        (
            "debian:12",
            "docker.io",
            "library/debian",
            Some("12"),
            "debian:12",
        ),
        (
            "docker.io/debian",
            "docker.io",
            "library/debian",
            Some("latest"),
            "debian:latest",
        ),
        (
            "index.docker.io/library/debian",
            "docker.io",
            "library/debian",
            Some("latest"),
            "debian:latest",
        ),
        ("a/b", "docker.io", "a/b", Some("latest"), "a/b:latest"),
        ("docker.io/a/b:c", "docker.io", "a/b", Some("c"), "a/b:c"),
        (
            "library/x/y",
            "docker.io",
            "library/x/y",
            Some("latest"),
            "library/x/y:latest",
        ),
        (
            "localhost/x",
            "localhost",
            "x",
            Some("latest"),
            "localhost/x:latest",
        ),
        (
            "localhost:5000/x:t",
            "localhost:5000",
            "x",
            Some("t"),
            "localhost:5000/x:t",
        ),
        (
            "127.0.0.1:5000/a/b/c",
            "127.0.0.1:5000",
            "a/b/c",
            Some("latest"),
            "127.0.0.1:5000/a/b/c:latest",
        ),
        (
            "[::1]:5000/a:b",
            "[::1]:5000",
            "a",
            Some("b"),
            "[::1]:5000/a:b",
        ),
        (
            "[fd00:1:2::3]/a",
            "[fd00:1:2::3]",
            "a",
            Some("latest"),
            "[fd00:1:2::3]/a:latest",
        ),
        ("Host/a", "Host", "a", Some("latest"), "Host/a:latest"),
        (
            "ghcr.io/o/i:v1.2-rc_3",
            "ghcr.io",
            "o/i",
            Some("v1.2-rc_3"),
            "ghcr.io/o/i:v1.2-rc_3",
        ),
        (
            "a__b/c-----d.e_f",
            "docker.io",
            "a__b/c-----d.e_f",
            Some("latest"),
            "a__b/c-----d.e_f:latest",
        ),
        (&pinned, "docker.io", "library/debian", None, &pinned),
        (&both, "docker.io", "library/debian", Some("12"), &both),
    ];
    for (text, registry, repository, tag, familiar) in cases {
        let reference = Reference::parse(text).unwrap();
        assert_eq!(
            (
                reference.registry(),
                reference.repository(),
                reference.tag()
            ),
            (registry, repository, tag),
            "{text}"
        );
        assert_eq!(reference.familiar(), familiar, "{text}");
        assert_eq!(
            Reference::parse(&reference.to_string()).unwrap(),
            reference,
            "{text}"
        );
        assert_eq!(
            Reference::parse(&reference.familiar()).unwrap(),
            reference,
            "{text}"
        );
    }
}

#[test]
fn refused() {
    let long_path = "a/".repeat(124) + "abcdefgh"; // 256 bytes
    let long_tag = format!("a:{}", "t".repeat(129));
    let upper_digest = format!("a@sha256:{}", HEX.to_uppercase());
    let cases = [
        ("", "no repository name"),
        (":tag", "no repository name"),
        ("a:", "a tag starts"),
        ("a:-b", "a tag starts"),
        ("a:b:c", "a tag starts"),
        ("-a", "a repository name is made of"),
        ("a-", "a repository name is made of"),
        ("a..b", "a repository name is made of"),
        ("a___b", "a repository name is made of"),
        ("a._b", "a repository name is made of"),
        ("a//b", "a repository name is made of"),
        ("a/", "a repository name is made of"),
        ("/a", "a repository name is made of"),
        ("http://a/b", "`http://` does not belong"),
        ("a b", "a repository name is made of"),
        ("ä", "a repository name is made of"),
        ("[::1]:5000", "a repository name is made of"),
        ("Debian", "repository name (Debian) must be lowercase"),
        ("x.io/Foo", "repository name (Foo) must be lowercase"),
        ("-x.io/a", "not a host name"),
        ("x..io/a", "not a host name"),
        ("x.io:/a", "port"),
        ("x.io:99999/a", "port"),
        ("x.io:+5/a", "port"),
        ("[::1/a:b]", "closing bracket"),
        ("[zz:]/a", "IPv6"),
        ("a@sha256:12", "64 lower-case hex digits"),
        (&upper_digest, "64 lower-case hex digits"),
        ("a@", "sha256:"),
        (HEX, "cannot specify 64-byte hexadecimal strings"),
        (&long_path, "more than 255"),
        (&long_tag, "more than 128"),
    ];
    for (text, expected) in cases {
        let error = Reference::parse(text).unwrap_err();
        assert!(
            error.message.contains(expected),
            "{text}: {}",
            error.message
        );
    }
}

#[test]
fn another_default_registry() {
    let parse = |text| Reference::parse_with_default(text, "quay.io").unwrap();
    assert_eq!(parse("debian").to_string(), "quay.io/debian:latest");
    assert_eq!(parse("debian").familiar_with("quay.io"), "debian:latest");
    assert_eq!(
        parse("docker.io/debian").familiar_with("quay.io"),
        "docker.io/library/debian:latest"
    );
    // The legacy name of Docker's registry is the same registry.
    let legacy = Reference::parse_with_default("debian", "index.docker.io").unwrap();
    assert_eq!(legacy.to_string(), "docker.io/library/debian:latest");
}

#[test]
fn derived() {
    let reference = Reference::parse("debian:12").unwrap();
    let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
    assert_eq!(
        reference.repo_digest(&digest),
        format!("debian@sha256:{HEX}")
    );
    assert_eq!(
        reference.with_digest(digest).to_string(),
        format!("docker.io/library/debian@sha256:{HEX}")
    );
    assert_eq!(reference.with_tag("13").unwrap().familiar(), "debian:13");
    assert!(reference.with_tag("a b").is_err());
    let json = serde_json::to_string(&reference).unwrap();
    assert_eq!(json, "\"docker.io/library/debian:12\"");
    assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
}

#[test]
fn image_ids() {
    let with_prefix = format!("sha256:{HEX}");
    assert_eq!(id_prefix(&with_prefix), Some(HEX));
    assert_eq!(id_prefix(HEX), Some(HEX));
    assert_eq!(id_prefix("86e0"), Some("86e0"));
    for text in [
        "",
        "sha256:",
        "86E0",
        "xyz",
        "debian:12",
        &format!("{HEX}0"),
    ] {
        assert_eq!(id_prefix(text), None, "{text}");
    }
    assert!(is_full_id(HEX) && is_full_id(&with_prefix) && !is_full_id("86e0"));
}
