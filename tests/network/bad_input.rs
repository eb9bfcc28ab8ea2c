//! Bad input: each is an error that says what, with a hint and the status of the caller's fault.

use crate::require;
use crate::scene::{Net, Peer, label};
use crate::support::Home;

/// Runs `shedbox`: its status, and the lines `error: …` and `hint: …` of standard error.
fn told(home: &Home, arguments: &[&str]) -> (Option<i32>, String, Option<String>) {
    let output = home.shedbox(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = |start: &str| {
        stderr
            .lines()
            .find_map(|line| line.strip_prefix(start))
            .map(str::to_owned)
    };
    // What was found, in commands that look for several things: nothing.
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        matches!(stdout.trim(), "" | "[]"),
        "{arguments:?}: {stdout}"
    );
    let error = line("error: ").unwrap_or_else(|| panic!("no error line: {stderr}"));
    (output.status.code(), error, line("hint: "))
}

#[test]
fn options_that_cannot_be_meant() {
    require!(userns);
    let home = Home::shared();
    let port = "write `[ADDRESS:][HOST:]CONTAINER[/tcp|udp]`, for example `127.0.0.1:8080:80`";
    let rule = "write a name, `*.name`, an address, a subnet or `*`, and perhaps `:PORT` or `:PORT-PORT` behind it";
    for (options, message, hint) in [
        (
            &["-p", "x"][..],
            "invalid published port `x`: the port inside is no number from 1 to 65535",
            port,
        ),
        (
            &["-p", "0:0"],
            "invalid published port `0:0`: the port inside is no number from 1 to 65535",
            port,
        ),
        (
            &["-p", "1-2:1-3"],
            "invalid published port `1-2:1-3`: the two ranges are not of the same length",
            port,
        ),
        (
            &["-p", "host:80:80"],
            "invalid published port `host:80:80`: the address of the host is none",
            port,
        ),
        (
            &["-p", "80/sctp"],
            "unknown protocol `sctp`",
            "use tcp or udp",
        ),
        (
            &["--expose", "x"],
            "invalid exposed port `x`",
            "write `PORT[-PORT][/tcp|udp]`",
        ),
        (
            &["--network", "no such"],
            "invalid network name `no such`",
            "a letter or digit, then letters, digits, `_`, `.` and `-`, at most 63",
        ),
        (
            &["--network", "name=a,colour=red"],
            "unknown field `colour` of network `name=a,colour=red`",
            "the fields are name, alias, ip and ip6",
        ),
        (
            &["--network", "container:"],
            "`container:` names no sandbox",
            "write `container:NAME`",
        ),
        (
            &["--network-alias", "a b"],
            "invalid network alias `a b`",
            "letters, digits, `-`, `_` and dots between them",
        ),
        (
            &["--egress", "maybe"],
            "unknown egress verdict `maybe`",
            "use `allow` or `deny`",
        ),
        (
            &["--egress-allow", "10.0.0.0/33"],
            "invalid egress rule `10.0.0.0/33`: the subnet is none",
            rule,
        ),
        (
            &["--egress-allow", "a:0"],
            "invalid egress rule `a:0`: the port is no number from 1 to 65535",
            rule,
        ),
        (
            &["--egress-deny", "a b"],
            "invalid egress rule `a b`: that is no name",
            rule,
        ),
        (
            &["--egress-deny", "a:1-1000"],
            "invalid egress rule `a:1-1000`: a rule for a name spans at most 256 ports",
            rule,
        ),
    ] {
        let mode: &[&str] = if options[0] == "--network" {
            &[]
        } else {
            &["--network=bridge"]
        };
        for verb in ["run", "create"] {
            let line = [&[verb], mode, options, &["host", "true"]].concat();
            assert_eq!(
                told(&home, &line),
                (Some(125), message.to_owned(), Some(hint.to_owned())),
                "{line:?}"
            );
        }
    }
    for (options, message) in [
        (&["--ip", "1.2.3"][..], "`1.2.3` is not an IPv4 address"),
        (&["--ip6", "x"], "`x` is not an IPv6 address"),
        (
            &["--network=bridge", "--network=none"],
            "network mode `none` goes with no other network",
        ),
        (
            &["--network=bridge", "--network=bridge"],
            "network `bridge` is named twice",
        ),
    ] {
        let mode: &[&str] = if options[0].starts_with("--network") {
            &[]
        } else {
            &["--network=bridge"]
        };
        let line = [&["run"], mode, options, &["host", "true"]].concat();
        let (status, error, _) = told(&home, &line);
        assert_eq!((status, error.as_str()), (Some(125), message), "{line:?}");
    }
}

#[test]
fn options_that_do_not_go_together() {
    require!(userns);
    let home = Home::shared();
    for (mode, option) in [
        ("none", "--publish=80"),
        ("host", "--publish=80"),
        ("none", "--ip=10.0.0.9"),
        ("host", "--network-alias=web"),
        ("none", "--egress=deny"),
        ("host", "--egress=deny"),
        ("bridge", "--ip=10.0.0.9"),
    ] {
        let mode = format!("--network={mode}");
        let (status, error, hint) = told(&home, &["run", "--rm", &mode, option, "host", "true"]);
        assert_eq!(status, Some(125), "{mode} {option}: {error}");
        assert!(hint.is_some(), "{mode} {option}: {error}");
    }
}

#[test]
fn networks_that_cannot_be_made() {
    require!(userns);
    let home = Home::shared();
    let subnet = "write an address and a prefix length, for example `10.20.0.0/24`";
    let name = label("net");
    for (options, message, hint) in [
        (&["--subnet", "x"][..], "invalid subnet `x`", Some(subnet)),
        (
            &["--subnet", "10.0.0.0/33"],
            "invalid subnet `10.0.0.0/33`",
            Some(subnet),
        ),
    ] {
        let line = [&["network", "create"], options, &[name.as_str()]].concat();
        assert_eq!(
            told(&home, &line),
            (Some(1), message.to_owned(), hint.map(str::to_owned)),
            "{line:?}"
        );
    }
    for (options, word) in [
        // Too small for a gateway and a sandbox, the host's loopback, the way to the host, multicast.
        (&["--subnet", "10.231.1.0/32"][..], "10.231.1.0/32"),
        (&["--subnet", "127.0.0.0/8"], "127.0.0.0/8"),
        (&["--subnet", "203.0.113.0/24"], "203.0.113.0/24"),
        (&["--subnet", "224.0.0.0/8"], "224.0.0.0/8"),
        (
            &["--subnet", "10.231.2.0/24", "--gateway", "10.231.3.1"],
            "10.231.3.1",
        ),
    ] {
        let line = [&["network", "create"], options, &[name.as_str()]].concat();
        let (status, error, _) = told(&home, &line);
        assert_eq!(status, Some(1), "{line:?}: {error}");
        assert!(error.contains(word), "{line:?}: {error}");
    }
    for mode in ["none", "host", "bridge", "default", "container"] {
        let (status, error, _) = told(&home, &["network", "create", mode]);
        let word = format!("a network cannot be called `{mode}`: that is a network mode");
        assert_eq!((status, error), (Some(1), word));
    }
    let long = "n".repeat(64);
    let (status, error, hint) = told(&home, &["network", "create", &long]);
    assert_eq!(
        (status, error),
        (Some(1), format!("invalid network name `{long}`"))
    );
    assert!(hint.is_some());
}

#[test]
fn what_is_not_there() {
    require!(userns);
    let home = Home::shared();
    let nobody = label("nobody");
    let net = Net::create(&home, &[]);
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    let on = format!("--network={nobody}");
    let (status, error, hint) = told(&home, &["run", "--rm", &on, "host", "true"]);
    assert_eq!(
        (status, error),
        (Some(125), format!("no network `{nobody}`"))
    );
    assert!(hint.is_some_and(|hint| hint.contains("shedbox network create")));
    for line in [
        &["network", "rm", &nobody][..],
        &["network", "inspect", &nobody],
        &["network", "connect", &nobody, &sandbox.name],
        &["network", "disconnect", &nobody, &sandbox.name],
        &["network", "connect", &net.name, &nobody],
        &["network", "disconnect", &net.name, &nobody],
        &["port", &nobody],
    ] {
        let (status, error, _) = told(&home, line);
        assert_eq!(status, Some(1), "{line:?}: {error}");
        assert!(error.contains(&nobody), "{line:?}: {error}");
    }
    let (status, error, _) = told(&home, &["port", &sandbox.name, "81"]);
    assert_eq!(status, Some(1), "{error}");
    assert!(error.contains("81/tcp"), "{error}");
}

#[test]
fn ports_that_the_host_cannot_give() {
    require!(userns);
    let home = Home::shared();
    let theirs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = theirs.local_addr().unwrap().port();
    let run = |publish: &str| {
        told(
            &home,
            &[
                "run",
                "--rm",
                "--network=bridge",
                "-p",
                publish,
                "host",
                "true",
            ],
        )
    };
    assert_eq!(
        run(&format!("127.0.0.1:{taken}:80")),
        (
            Some(125),
            format!("port 127.0.0.1:{taken}/tcp is in use"),
            Some(
                "another program listens there (`ss -lntup`); choose another port, or leave the host's port out to get one that is free"
                    .to_owned()
            )
        )
    );
    let (status, error, hint) = run("198.51.100.1:8080:80");
    assert_eq!(
        (status, error.as_str()),
        (Some(125), "this host has no address 198.51.100.1")
    );
    assert!(hint.is_some());
    let first: u32 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024);
    if first > 7 && crate::support::Lane::current() != crate::support::Lane::Root {
        assert_eq!(
            run("127.0.0.1:7:80"),
            (
                Some(125),
                "port 127.0.0.1:7/tcp may be listened at by root only".to_owned(),
                Some(
                    "choose a port from 1024 up, or allow it: `sysctl net.ipv4.ip_unprivileged_port_start=7`"
                        .to_owned()
                )
            )
        );
    }
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        let (status, error, hint) = run("[::1]::80");
        assert_eq!(status, Some(125));
        assert!(
            ["IPv6 is off on this host", "this host has no address ::1"].contains(&error.as_str()),
            "{error}"
        );
        assert!(hint.is_some());
    }
}
