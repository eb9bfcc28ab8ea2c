//! Names of the world under a policy, end to end: a DNS server, an HTTPS and an HTTP server that are real, all names at one
//! address. They listen at ports below 1024 of this machine, so root alone can have them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::require;
use crate::scene::{self, Peer};
use crate::support::Home;
use crate::words::{allow, audit, deny, switch};

/// Where its DNS server listens.
const RESOLVER: &str = "127.9.0.53";

/// The servers; they end with the test.
struct World {
    address: String,
    process: Child,
    _dir: tempfile::TempDir,
}

impl World {
    fn begin() -> Self {
        let address = scene::world()
            .expect("an address that is not loopback")
            .ip()
            .to_string();
        let dir = tempfile::tempdir().unwrap();
        let mut process = Command::new("python3")
            .args(["-c", include_str!("world.py"), &address, RESOLVER])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Self {
            address,
            process,
            _dir: dir,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a client in the sandbox gets: it connects to `at`, and says that it wants `name`.
fn get(sandbox: &Peer, scheme: &str, at: &str, name: &str) -> String {
    let program = "import socket, ssl, sys\n\
        scheme, at, name = sys.argv[1:]\n\
        try:\n\
        \x20   stream = socket.create_connection((at, 443 if scheme == 'https' else 80), 5)\n\
        \x20   if scheme == 'https':\n\
        \x20       context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE\n\
        \x20       stream = context.wrap_socket(stream, server_hostname=name)\n\
        \x20   stream.sendall(f'GET / HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n'.encode())\n\
        \x20   text = b''.join(iter(lambda: stream.recv(4096), b'')).decode()\n\
        \x20   print(text.split('\\r\\n\\r\\n')[1].strip() if text else 'nothing')\n\
        except OSError as error:\n\
        \x20   print('refused:', error)\n";
    sandbox.output(&["python3", "-c", program, scheme, at, name])
}

#[test]
fn names_hold_towards_servers_that_share_an_address() {
    require!(userns, root, tun, program "python3", program "openssl");
    let world = World::begin();
    let home = Home::shared();
    let sandbox = Peer::idle(
        &home,
        &[
            "--network=bridge",
            "--dns",
            RESOLVER,
            "--egress=deny",
            &allow("good.world.test"),
        ],
    );
    for scheme in ["https", "http"] {
        let to = |at: &str, name: &str| get(&sandbox, scheme, at, name);
        let refused = |at: &str, name: &str| {
            let answer = to(at, name);
            assert!(
                answer.starts_with("refused") || answer == "nothing",
                "{scheme} {at} {name}: {answer}"
            );
        };
        assert_eq!(to("good.world.test", "good.world.test"), "good.world.test");
        // The name is known now, and so is its address; another name at it stays closed.
        refused("bad.world.test", "bad.world.test");
        refused("good.world.test", "bad.world.test");
        refused(&world.address, "bad.world.test");
        // The allowed name at its own address, without asking anybody for it again.
        assert_eq!(to(&world.address, "good.world.test"), "good.world.test");
    }
    // The other way round: everything but one name.
    switch(
        &home,
        &sandbox.name,
        &["--egress=allow".to_owned(), deny("bad.world.test")],
    );
    for scheme in ["https", "http"] {
        let answer = get(&sandbox, scheme, "good.world.test", "bad.world.test");
        assert!(
            answer.starts_with("refused") || answer == "nothing",
            "{scheme}: {answer}"
        );
        assert_eq!(
            get(&sandbox, scheme, "good.world.test", "good.world.test"),
            "good.world.test"
        );
    }
    let said = audit(&home, &sandbox.name);
    let about = |name: &str, verdict: &str| {
        said.iter()
            .any(|line| line["host"] == name && line["verdict"] == verdict)
    };
    assert!(about("good.world.test", "allow"), "{said:?}");
    assert!(about("bad.world.test", "deny"), "{said:?}");
}
