use super::*;

fn basic(username: &str, password: &str) -> Source {
    Source::Here(Credential::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    })
}

fn entry(login: &str) -> String {
    format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(login))
}

fn sources(text: &str, registry: &str, repository: &str) -> Vec<Source> {
    AuthFile::parse(text)
        .unwrap()
        .sources(registry, repository)
        .unwrap()
}

#[test]
fn the_longest_prefix_wins() {
    let text = format!(
        r#"{{"auths":{{"r.example":{},"r.example/team":{},"r.example/team/app":{}}}}}"#,
        entry("host:1"),
        entry("team:2"),
        entry("app:3")
    );
    for (repository, user, password) in [
        ("team/app", "app", "3"),
        ("team/app/sub", "app", "3"),
        ("team/other", "team", "2"),
        ("teams/app", "host", "1"),
        ("x", "host", "1"),
    ] {
        assert_eq!(
            sources(&text, "r.example", repository),
            [basic(user, password)],
            "{repository}"
        );
    }
    assert_eq!(sources(&text, "r.example:5000", "team/app"), []);
}

#[test]
fn docker_hub_has_many_names() {
    for key in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "registry-1.docker.io",
        "https://registry-1.docker.io/v2/",
        "index.docker.io/v1/",
    ] {
        let text = format!(r#"{{"auths":{{"{key}":{}}}}}"#, entry("me:pw:with:colons"));
        assert_eq!(
            sources(&text, "docker.io", "library/busybox"),
            [basic("me", "pw:with:colons")],
            "{key}"
        );
    }
}

#[test]
fn urls_as_keys_name_the_host_only() {
    let text = format!(
        r#"{{"auths":{{"http://r.example:5000/v2/":{}}}}}"#,
        entry("u:p")
    );
    assert_eq!(sources(&text, "r.example:5000", "a/b"), [basic("u", "p")]);
}

#[test]
fn helpers_come_first() {
    let text = format!(
        r#"{{"auths":{{"r.example":{},"q.example":{{}}}},"credsStore":"desktop",
            "credHelpers":{{"gcr.io":"gcloud","off.example":"","r.example/a":"special"}}}}"#,
        entry("u:p")
    );
    let helper = |name: &str, server: &str| Source::Helper {
        name: name.to_owned(),
        server: server.to_owned(),
    };
    assert_eq!(
        sources(&text, "gcr.io", "x/y"),
        [helper("gcloud", "gcr.io")]
    );
    assert_eq!(
        sources(&text, "r.example", "b"),
        [helper("desktop", "r.example"), basic("u", "p")]
    );
    assert_eq!(
        sources(&text, "r.example", "a/b"),
        [helper("special", "r.example"), basic("u", "p")]
    );
    assert_eq!(sources(&text, "off.example", "b"), []);
    assert_eq!(
        sources(&text, "docker.io", "library/x"),
        [helper("desktop", "https://index.docker.io/v1/")]
    );
}

#[test]
fn tokens() {
    let text = r#"{"auths":{"a":{"auth":"","identitytoken":"it"},"b":{"registrytoken":"rt"},
        "c":{"username":"u","password":"p"},"d":null}}"#;
    assert_eq!(
        sources(text, "a", "x"),
        [Source::Here(Credential::IdentityToken("it".to_owned()))]
    );
    assert_eq!(
        sources(text, "b", "x"),
        [Source::Here(Credential::RegistryToken("rt".to_owned()))]
    );
    assert_eq!(sources(text, "c", "x"), [basic("u", "p")]);
    assert_eq!(sources(text, "d", "x"), []);
}

#[test]
fn bad_files_are_described_without_their_secrets() {
    for (text, said) in [
        ("", "ends early"),
        ("{\"auths\":", "ends early"),
        ("secret", "not JSON"),
        (r#"{"auths":"secret"}"#, "wrong type"),
    ] {
        let error = AuthFile::parse(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for (auth, said) in [
        ("*secret*".to_owned(), "base64"),
        (STANDARD.encode("nocolon"), "user:password"),
        (STANDARD.encode([0xff, b':', b'a']), "UTF-8"),
    ] {
        let text = format!(r#"{{"auths":{{"a":{{"auth":"{auth}"}}}}}}"#);
        let error = AuthFile::parse(&text)
            .unwrap()
            .sources("a", "x")
            .unwrap_err();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let shown = format!(
        "{:?} {:?}",
        AuthFile::parse(r#"{"auths":{"a":{"username":"u","password":"secret"}}}"#).unwrap(),
        Credential::RegistryToken("secret".to_owned())
    );
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn headers() {
    for alphabet in [URL_SAFE, URL_SAFE_NO_PAD, STANDARD] {
        let header = alphabet
            .encode(r#"{"username":"u~?","password":"p>>?","serveraddress":"r","email":""}"#);
        let Ok(Some(Credential::Basic { username, password })) = Credential::from_header(&header)
        else {
            panic!("{header}");
        };
        assert_eq!((username.as_str(), password.as_str()), ("u~?", "p>>?"));
    }
    assert_eq!(
        Credential::from_header(&URL_SAFE.encode(r#"{"identitytoken":"t"}"#)),
        Ok(Some(Credential::IdentityToken("t".to_owned())))
    );
    for empty in [
        "",
        "e30=",
        "e30",
        &URL_SAFE.encode(r#"{"username":"","password":""}"#),
    ] {
        assert_eq!(Credential::from_header(empty), Ok(None), "{empty}");
    }
    for bad in [
        "!",
        &URL_SAFE.encode("secret"),
        &URL_SAFE.encode(r#"{"password":["secret"]}"#),
    ] {
        assert!(!Credential::from_header(bad).unwrap_err().contains("secret"));
    }
}
