//! Other people's programs: docker-registry, skopeo, umoci.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn skopeo(arguments: &[&str]) -> String {
    let mut all = vec!["--insecure-policy"];
    all.extend(arguments);
    run("skopeo", &all)
}

/// A docker-registry on a free port, ended when dropped.
pub struct RealRegistry {
    pub host: String,
    child: Child,
    dir: tempfile::TempDir,
}

impl RealRegistry {
    pub fn start() -> Self {
        Self::start_tls(None)
    }

    /// With HTTPS when there is a directory with `certificate.pem` and `key.pem`.
    pub fn start_tls(certificates: Option<&Path>) -> Self {
        let tls = certificates.map_or_else(String::new, |dir| {
            let dir = dir.display();
            format!(", tls: {{certificate: {dir}/certificate.pem, key: {dir}/key.pem}}")
        });
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let config = dir.path().join("config.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'{tls}}}\n",
                dir.path().join("data").display()
            ),
        )
        .unwrap();
        let child = Command::new("docker-registry")
            .args(["serve".as_ref(), config.as_os_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry; install it");
        let mut registry = Self { host, child, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&registry.host).is_err() {
            if let Some(status) = registry.child.try_wait().unwrap() {
                let mut said = String::new();
                let stderr = registry.child.stderr.as_mut().unwrap();
                stderr.read_to_string(&mut said).unwrap();
                panic!("docker-registry ended with {status}: {said}");
            }
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            #[expect(
                clippy::disallowed_methods,
                reason = "nothing tells when another program listens"
            )]
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// Its own directory, for the test's files too.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// Pushes what skopeo reads from `source`.
    pub fn push(&self, source: &str, name: &str, options: &[&str]) {
        let destination = format!("docker://{}/{name}", self.host);
        let mut arguments = vec!["copy", "--quiet", "--dest-tls-verify=false"];
        arguments.extend(options);
        arguments.extend([source, &destination]);
        skopeo(&arguments);
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
