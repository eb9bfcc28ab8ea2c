//! Egress policies: what is refused is refused by every way around the corner, and written down.
//!
//! The "world" of these tests is a sandbox on the same internal network or the host itself: policies are in force towards
//! everything that is not the sandbox's own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use crate::require;
use crate::scene::{INSIDE, Net, PORT, Peer, answer};
use crate::support::Home;
use crate::words::{allow, audit, deny, switch};

/// Answers that say "refused" and not "not there".
const REFUSED: &[&str] = &[
    "EACCES",
    "EPERM",
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ECONNRESET",
];

#[track_caller]
fn refused(answer: &str) {
    assert!(REFUSED.contains(&answer), "{answer}");
}

/// A listener on the host's loopback, and its port: the sandbox reaches it at `203.0.113.1` if it may.
fn host_listener() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    answer(listener, "host");
    port
}

const HOST: &str = "--add-host=host.docker.internal:host-gateway";

#[test]
fn denied_unless_allowed_by_address_and_port() {
    require!(userns, program "python3");
    let home = Home::shared();
    let (open, closed) = (host_listener(), host_listener());
    let rule = allow(&format!("203.0.113.1:{open}"));
    let sandbox = Peer::idle(&home, &["--network=bridge", HOST, "--egress=deny", &rule]);
    assert_eq!(
        sandbox.step(&["tcp", "203.0.113.1", &open.to_string()]),
        "host"
    );
    refused(&sandbox.step(&["tcp", "203.0.113.1", &closed.to_string()]));
    for address in ["203.0.113.1", "198.51.100.1"] {
        refused(&sandbox.tcp(address));
        let answer = sandbox.udp(address);
        assert!(
            REFUSED.contains(&answer.as_str()) || answer == "timeout",
            "{answer}"
        );
    }
    // A deny rule goes before an allow rule.
    switch(&home, &sandbox.name, &[deny("203.0.113.0/24"), rule]);
    refused(&sandbox.step(&["tcp", "203.0.113.1", &open.to_string()]));
}

/// Who may be reached sends the client on to who may not.
#[test]
fn a_redirect_leads_nowhere_else() {
    require!(userns, program "python3");
    let home = Home::shared();
    let closed = host_listener();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: http://203.0.113.1:{closed}/\r\nContent-Length: 0\r\n\r\n"
            );
        }
    });
    let rule = allow(&format!("203.0.113.1:{open}"));
    let sandbox = Peer::idle(&home, &["--network=bridge", HOST, "--egress=deny", &rule]);
    let fetch = format!(
        "import urllib.request, urllib.error, errno\ntry:\n print(urllib.request.urlopen('http://203.0.113.1:{open}/', timeout=5).read())\n\
         except urllib.error.URLError as error:\n print(errno.errorcode.get(getattr(error.reason, 'errno', None), error.reason))"
    );
    refused(&sandbox.output(&["python3", "-c", &fetch]));
}

#[test]
fn own_networks_are_not_the_world() {
    require!(userns, program "python3");
    let home = Home::shared();
    let net = Net::create(&home, &[]);
    let on = format!("--network={}", net.name);
    let server = Peer::server(&home, &[&on]);
    let client = Peer::idle(&home, &[&on, "--egress=deny"]);
    assert!(client.tcp(&server.name).starts_with(&server.name));
    assert!(client.udp(&server.name).starts_with(&server.name));
}

#[test]
fn names_that_are_not_allowed_are_not_answered() {
    require!(userns, program "python3");
    let home = Home::shared();
    let sandbox = Peer::idle(
        &home,
        &[
            "--network=bridge",
            "--egress=deny",
            &allow("*.good.example"),
        ],
    );
    let gateway = sandbox.sh("sed -n 's/^nameserver //p' /etc/resolv.conf");
    for way in [&[][..], &["tcp"]] {
        for name in [
            "bad.example",
            "good.example",
            "xgood.example",
            "a.good.example.bad.example",
        ] {
            let answer = sandbox.step(&[&["ask", gateway.as_str(), name], way].concat());
            assert!(
                ["NXDOMAIN", "REFUSED"].contains(&answer.as_str()),
                "{name}: {answer}"
            );
        }
    }
    // Another server is no way around, by whatever transport or family.
    for server in ["203.0.113.53", "2001:db8::53"] {
        for way in [&[][..], &["tcp"]] {
            let answer = sandbox.step(&[&["ask", server, "bad.example"], way].concat());
            assert!(
                REFUSED.contains(&answer.as_str()) || answer == "timeout",
                "{server}: {answer}"
            );
        }
    }
}

#[test]
fn ipv6_and_icmp_are_held_as_well() {
    require!(userns, program "python3");
    let home = Home::shared();
    let net = Net::create(&home, &["--ipv6"]);
    let on = format!("--network={}", net.name);
    let sandbox = Peer::idle(&home, &[&on, "--egress=deny"]);
    refused(&sandbox.tcp("2001:db8::1"));
    // The gateway itself answers pings, so ping works at all.
    let gateway = net.subnet().1.to_string();
    assert_eq!(ping(&sandbox, &gateway), "answered");
    for address in ["203.0.113.1", "198.51.100.1"] {
        assert_ne!(ping(&sandbox, address), "answered", "{address}");
    }
}

/// Sends an echo request, as `ping` does without privileges. Source: icmp(7).
fn ping(sandbox: &Peer, address: &str) -> String {
    sandbox.output(&[
        "python3",
        "-c",
        "import socket, sys\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)\n\
         s.settimeout(2)\n\
         try:\n    s.connect((sys.argv[1], 0)); s.send(bytes([8, 0, 0, 0, 0, 0, 0, 1])); s.recv(99); print('answered')\n\
         except OSError as error:\n    print(error)",
        address,
    ])
}

#[test]
fn metadata_and_link_local_addresses_are_refused_without_any_policy() {
    require!(userns, program "python3");
    let home = Home::shared();
    let sandbox = Peer::idle(&home, &["--network=bridge"]);
    for address in [
        "169.254.169.254",
        "169.254.1.1",
        "169.254.170.2",
        "100.100.100.200",
    ] {
        refused(&sandbox.step(&["tcp", address, "80"]));
    }
    for address in ["fd00:ec2::254", "fe80::1%eth0"] {
        let answer = sandbox.step(&["tcp", address, "80"]);
        // A link-local neighbour that is not there is looked for in vain, which some kernels do for longer than we wait.
        let nobody = address.starts_with("fe80") && answer == "timeout";
        assert!(
            REFUSED.contains(&answer.as_str()) || answer == "EADDRNOTAVAIL" || nobody,
            "{address}: {answer}"
        );
    }
}

/// A connection inside that is held open and spoken through.
struct Held {
    child: Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Held {
    fn open(sandbox: &Peer, address: &str, port: u16) -> Self {
        let port = port.to_string();
        let mut child = sandbox
            .home
            .command([
                "exec",
                "--interactive",
                &sandbox.name,
                "python3",
                "-c",
                INSIDE,
                "hold",
                address,
                &port,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start shedbox");
        let answers = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut held = Self { child, answers };
        assert_eq!(held.next(), "open");
        held
    }

    fn next(&mut self) -> String {
        self.answers.next().expect("a line").expect("UTF-8")
    }

    fn say(&mut self, word: &str) -> String {
        let stdin = self.child.stdin.as_mut().expect("stdin");
        writeln!(stdin, "{word}").expect("write");
        self.next()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_switch_ends_connections_that_are_open() {
    require!(userns, program "python3");
    let home = Home::shared();
    let port = host_listener();
    let rule = allow(&format!("203.0.113.1:{port}"));
    let sandbox = Peer::idle(&home, &["--network=bridge", HOST, "--egress=deny", &rule]);
    let mut held = Held::open(&sandbox, "203.0.113.1", port);
    assert_eq!(held.say("one"), "one");
    // Allowed by the next policy as well: it goes on.
    switch(
        &home,
        &sandbox.name,
        &[rule.as_str(), "--egress=deny", &allow("198.51.100.1")],
    );
    assert_eq!(held.say("two"), "two");
    switch(&home, &sandbox.name, &["--egress=deny"]);
    let end = held.say("three");
    assert!(
        ["ECONNRESET", "EPIPE", "EOF", "timeout"].contains(&end.as_str()),
        "{end}"
    );
    refused(&sandbox.step(&["tcp", "203.0.113.1", &port.to_string()]));
    switch(&home, &sandbox.name, &["--egress=allow"]);
    assert_eq!(
        sandbox.step(&["tcp", "203.0.113.1", &port.to_string()]),
        "host"
    );
}

#[test]
fn a_policy_outlives_reset_restart_and_daemon() {
    require!(userns, program "python3");
    let kin = crate::support::Kinship::begin();
    let home = Home::new();
    let (open, closed) = (host_listener(), host_listener());
    let rule = allow(&format!("203.0.113.1:{open}"));
    let sandbox = Peer::idle(&home, &["--network=bridge", HOST, "--egress=deny", &rule]);
    let holds = || {
        assert_eq!(
            sandbox.step(&["tcp", "203.0.113.1", &open.to_string()]),
            "host"
        );
        refused(&sandbox.step(&["tcp", "203.0.113.1", &closed.to_string()]));
    };
    holds();
    home.run(["reset", &sandbox.name]);
    holds();
    home.run(["stop", "--time=0", &sandbox.name]);
    home.run(["start", &sandbox.name]);
    holds();
    kin.daemon(&home).expect("a daemon").kill();
    holds();
    let before = crate::gateway::of(&kin);
    home.run(["ps", "--quiet"]);
    before.kill();
    // A gateway that is not there lets nobody through; the next one has the policy.
    crate::support::eventually("the allowed way is open again", || {
        sandbox.step(&["tcp", "203.0.113.1", &open.to_string()]) == "host"
    });
    holds();
}

#[test]
fn every_verdict_is_a_line() {
    require!(userns, program "python3");
    let home = Home::shared();
    let open = host_listener();
    let rule = allow(&format!("203.0.113.1:{open}"));
    let sandbox = Peer::idle(&home, &["--network=bridge", HOST, "--egress=deny", &rule]);
    sandbox.step(&["tcp", "203.0.113.1", &open.to_string()]);
    sandbox.tcp("203.0.113.9");
    sandbox.look("denied.example");
    let found = |what: &dyn Fn(&serde_json::Value) -> bool| {
        crate::support::eventually("the line is there", || {
            audit(&home, &sandbox.name).iter().any(what)
        });
    };
    found(&|entry| {
        entry["address"] == "203.0.113.9" && entry["port"] == PORT && entry["verdict"] == "deny"
    });
    found(&|entry| entry["host"] == "denied.example" && entry["verdict"] == "deny");
    found(&|entry| {
        entry["address"] == "203.0.113.1" && entry["port"] == open && entry["verdict"] == "allow"
    });
    for entry in audit(&home, &sandbox.name) {
        assert_eq!(entry["sandbox"], sandbox.id().as_str());
        assert!(
            entry["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{entry}"
        );
    }
}
