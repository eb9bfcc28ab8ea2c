//! A real registry on loopback: Debian's docker-registry, which is the CNCF distribution program.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};

use tempfile::TempDir;

use super::images;

/// A registry; stopped when it goes away.
pub(crate) struct Registry {
    address: String,
    process: Option<Child>,
    storage: Option<TempDir>,
}

impl Registry {
    /// An empty registry of the test's own, on a random port of 127.0.0.1.
    pub(crate) fn start() -> Self {
        let storage = super::scratch();
        let (process, address) = serve(storage.path(), storage.path(), false);
        Self {
            address,
            process: Some(process),
            storage: Some(storage),
        }
    }

    /// The read-only registry with every image of `scripts/test-images`, as `<name>:latest`. The run's own when
    /// `SHEDBOX_TEST_REGISTRY` names it, otherwise one for this process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(|| {
            if let Ok(address) = std::env::var("SHEDBOX_TEST_REGISTRY") {
                return Self {
                    address,
                    process: None,
                    storage: None,
                };
            }
            let config = super::scratch();
            let storage = images::directory().join("registry");
            assert!(
                storage.is_dir(),
                "{} is missing; run `scripts/test-images`",
                storage.display()
            );
            let (process, address) = serve(config.path(), &storage, true);
            Self {
                address,
                process: Some(process),
                // Read at the start; nothing of a static would remove it later.
                storage: None,
            }
        })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The reference of `repository:tag` in this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes an image of `scripts/test-images` under `name` with skopeo; `options` are skopeo's, such as `--format
    /// v2s2` or `--dest-compress-format zstd`.
    pub(crate) fn push(&self, image: &str, name: &str, options: &[&str]) -> String {
        self.push_layout(&images::layout(image), name, options)
    }

    /// Pushes any OCI layout, tag `latest`.
    pub(crate) fn push_layout(&self, layout: &Path, name: &str, options: &[&str]) -> String {
        let reference = self.reference(name);
        let output = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg("--dest-tls-verify=false")
            .args(options)
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("docker://{reference}"))
            .output()
            .expect("run skopeo");
        assert!(
            output.status.success(),
            "skopeo copy to {reference}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        reference
    }

    /// The directory with the blobs, for tests that damage them.
    pub(crate) fn storage(&self) -> &Path {
        self.storage
            .as_ref()
            .expect("only a registry of the test's own may be changed")
            .path()
    }

    /// Stops it before its time: connections are refused from now on.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill the registry");
            process.wait().expect("wait for the registry");
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the program and returns when it listens.
fn serve(config_dir: &Path, storage: &Path, read_only: bool) -> (Child, String) {
    let config = config_dir.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: {}}}\n  \
         maintenance:\n    readonly: {{enabled: {read_only}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
        storage.display(),
        !read_only,
    );
    std::fs::write(&config, text).expect("write the registry's configuration");
    let (sender, receiver) = mpsc::channel();
    // The registry dies with the thread that started it, and this thread lives as long as the process: whatever ends
    // a test program, no registry stays behind.
    std::thread::spawn(move || {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "docker-registry", "serve"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        sender.send(child).expect("the test waits");
        loop {
            std::thread::park();
        }
    });
    let mut child = receiver
        .recv()
        .expect("the thread answers")
        .expect("start docker-registry; run `scripts/setup test` when it is missing");
    let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut lines = log.lines();
    let mut seen = String::new();
    let address = loop {
        let Some(Ok(line)) = lines.next() else {
            panic!("docker-registry did not start:\n{seen}");
        };
        if let Some((_, rest)) = line.split_once("listening on ") {
            let address: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.' || *c == ':')
                .collect();
            break address;
        }
        seen.push_str(&line);
        seen.push('\n');
    };
    // Whatever else it says must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address)
}
