//! Sandboxes on networks: servers, clients, and what they see of each other.

use std::net::{IpAddr, SocketAddr};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Home, eventually};

/// The program of servers and clients.
pub(crate) const INSIDE: &str = include_str!("inside.py");
/// Where servers of the tests listen.
pub(crate) const PORT: u16 = 8000;

/// A name that nobody else has and that is one label of the DNS.
pub(crate) fn label(what: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{:x}-{number}", std::process::id())
}

/// A network of the test's own, removed at its end.
pub(crate) struct Net<'a> {
    home: &'a Home,
    pub(crate) name: String,
}

impl<'a> Net<'a> {
    pub(crate) fn create(home: &'a Home, options: &[&str]) -> Self {
        let name = label("net");
        let words = [&["network", "create"], options, &[name.as_str()]].concat();
        home.run(words);
        Self { home, name }
    }

    /// A field of `network inspect`, by JSON pointer into its only element.
    pub(crate) fn field(&self, pointer: &str) -> serde_json::Value {
        let text = self.home.run(["network", "inspect", &self.name]);
        let value: serde_json::Value = serde_json::from_str(&text).expect("inspect prints JSON");
        value[0]
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {text}"))
            .clone()
    }

    /// The IPv4 subnet and the gateway's address in it.
    pub(crate) fn subnet(&self) -> (String, IpAddr) {
        let config = self.field("/IPAM/Config/0");
        let text = |name: &str| config[name].as_str().expect("text").to_owned();
        (text("Subnet"), text("Gateway").parse().expect("an address"))
    }
}

impl Drop for Net<'_> {
    fn drop(&mut self) {
        let output = self
            .home
            .shedbox(["network", "rm", "--force", &self.name])
            .output();
        if !std::thread::panicking() {
            assert!(output.is_ok_and(|output| output.status.success()));
        }
    }
}

/// A sandbox that runs, removed at the end.
pub(crate) struct Peer<'a> {
    pub(crate) home: &'a Home,
    pub(crate) name: String,
}

impl<'a> Peer<'a> {
    /// One of the host's programs in which nothing runs yet.
    pub(crate) fn idle(home: &'a Home, options: &[&str]) -> Self {
        Self::run(home, options, "host", &["sleep", "1000000"])
    }

    /// One from an image.
    pub(crate) fn run(home: &'a Home, options: &[&str], image: &str, command: &[&str]) -> Self {
        let name = label("box");
        let words = [
            &["run", "--detach", "--name", &name],
            options,
            &[image],
            command,
        ]
        .concat();
        home.run(words);
        Self { home, name }
    }

    /// One that answers at [`PORT`] with its name and the address of who asks.
    pub(crate) fn server(home: &'a Home, options: &[&str]) -> Self {
        let server = Self::idle(home, options);
        server.serve();
        server
    }

    /// Starts the server inside; it goes with the generation.
    pub(crate) fn serve(&self) {
        let port = PORT.to_string();
        self.home.run([
            "exec", "--detach", &self.name, "python3", "-c", INSIDE, "serve", &self.name, &port,
        ]);
        eventually("the server inside listens", || {
            self.step(&["tcp", "127.0.0.1", &port])
                .starts_with(&self.name)
        });
    }

    /// A step of `inside.py`: what it prints.
    pub(crate) fn step(&self, words: &[&str]) -> String {
        self.output(&[&["python3", "-c", INSIDE], words].concat())
    }

    /// Connects to an address at [`PORT`]: the answer, or the name of the error.
    pub(crate) fn tcp(&self, address: impl ToString) -> String {
        self.step(&["tcp", &address.to_string(), &PORT.to_string()])
    }

    /// The same by UDP.
    pub(crate) fn udp(&self, address: impl ToString) -> String {
        self.step(&["udp", &address.to_string(), &PORT.to_string()])
    }

    /// Addresses of a name.
    pub(crate) fn look(&self, name: &str) -> String {
        self.step(&["look", name])
    }

    /// Nobody tells it an address of this name: not we, and not whom the host asks, whether that one can be reached or
    /// not.
    pub(crate) fn knows_not(&self, name: &str) {
        let answer = self.look(name);
        assert!(
            ["NXDOMAIN", "EAI_AGAIN"].contains(&answer.as_str()),
            "{name}: {answer}"
        );
    }

    /// A shell script that must succeed, and its output.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.output(&["sh", "-c", script])
    }

    /// A command that must succeed, and its output.
    pub(crate) fn output(&self, argv: &[&str]) -> String {
        self.home
            .run([&["exec", self.name.as_str()], argv].concat())
    }

    /// A command that need not succeed.
    pub(crate) fn attempt(&self, argv: &[&str]) -> Output {
        self.home
            .command([&["exec", self.name.as_str()], argv].concat())
            .stdin(Stdio::null())
            .output()
            .expect("run shedbox")
    }

    /// Its IPv4 address on a network.
    pub(crate) fn address(&self, network: &str) -> IpAddr {
        self.field(&format!("/NetworkSettings/Networks/{network}/IPAddress"))
            .as_str()
            .expect("text")
            .parse()
            .expect("an address")
    }

    /// A field of `inspect` as Docker has it.
    pub(crate) fn field(&self, pointer: &str) -> serde_json::Value {
        let text = self
            .home
            .run(["inspect", "--format", "json", self.name.as_str()]);
        let value: serde_json::Value = serde_json::from_str(&text).expect("inspect prints JSON");
        let value = value.get(0).unwrap_or(&value);
        value
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {text}"))
            .clone()
    }

    /// Where the host has a port of it, by `shedbox port`.
    pub(crate) fn published(&self, port: &str) -> Vec<SocketAddr> {
        self.home
            .run(["port", &self.name, port])
            .lines()
            .map(|line| line.parse().expect("an address and a port"))
            .collect()
    }

    /// The one IPv4 port of the host, at the loopback address.
    pub(crate) fn host_port(&self, port: &str) -> SocketAddr {
        let found = self.published(port);
        let v4 = found
            .iter()
            .find(|address| address.is_ipv4())
            .unwrap_or_else(|| panic!("no IPv4 address in {found:?}"));
        SocketAddr::new([127, 0, 0, 1].into(), v4.port())
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.field("/id").as_str().expect("text").to_owned()
    }
}

impl Drop for Peer<'_> {
    fn drop(&mut self) {
        self.home.remove_at_end(&self.name);
    }
}

/// What a server at this address says to the host.
pub(crate) fn from_host(address: SocketAddr) -> std::io::Result<String> {
    use std::io::Read;
    let limit = crate::support::patience(std::time::Duration::from_secs(10));
    let mut stream = std::net::TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// What a server at this address says to a datagram of the host's.
pub(crate) fn datagram_from_host(address: SocketAddr) -> std::io::Result<String> {
    let any = if address.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    let socket = std::net::UdpSocket::bind(any)?;
    let limit = crate::support::patience(std::time::Duration::from_secs(10));
    socket.set_read_timeout(Some(limit))?;
    socket.connect(address)?;
    socket.send(b"x")?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// An address of this host that is not loopback, and a listener there that answers with `world`; `None` on a machine
/// without any. The listener ends with the test.
pub(crate) fn world() -> Option<SocketAddr> {
    // Nothing is sent: connecting a datagram socket only looks up the route.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("203.0.113.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    let listener = std::net::TcpListener::bind((address, 0)).ok()?;
    let at = listener.local_addr().ok()?;
    answer(listener, "world");
    Some(at)
}

/// Answers everybody who connects with a word, and then with what comes.
pub(crate) fn answer(listener: std::net::TcpListener, word: &'static str) {
    use std::io::Write;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.write_all(format!("{word}\n").as_bytes());
                if let Ok(mut back) = stream.try_clone() {
                    let _ = std::io::copy(&mut back, &mut stream);
                }
            });
        }
    });
}
