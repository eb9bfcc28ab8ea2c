//! A root of its own with a daemon, removed with everything that runs in it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shedbox_linux::pidfd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::control::{Reply, Request};
use shedbox_spec::exec::{End, ExecRequest};

/// See the module.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    config: String,
    daemon: Option<Child>,
}

/// What a command wrote, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) end: End,
    pub(crate) stdout: String,
}

impl Home {
    /// Starts a daemon.
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    /// The same with a configuration file.
    pub(crate) fn with_config(config: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("shedbox-daemon-")
            .tempdir()
            .unwrap();
        let mut home = Self {
            dir,
            config: config.to_owned(),
            daemon: None,
        };
        home.start();
        home
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// A command that starts another daemon on this root.
    pub(crate) fn command(&self) -> Command {
        let config = self.dir.path().join("config.toml");
        std::fs::write(&config, &self.config).unwrap();
        let mut command = Command::new(program());
        command
            .env("SHEDBOX_ROOT", self.root())
            .env("SHEDBOX_RUNTIME_DIR", self.runtime())
            .env("SHEDBOX_CONFIG", config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let mut child = self.command().spawn().unwrap();
        let mut said = [0; 6];
        let read = child.stdout.take().unwrap().read(&mut said).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&said[..read]),
            "ready\n",
            "{}",
            self.log()
        );
        self.daemon = Some(child);
    }

    /// Ends the daemon with SIGKILL.
    pub(crate) fn kill_daemon(&mut self) {
        let mut child = self.daemon.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the daemon has left by itself.
    pub(crate) fn daemon_leaves(&mut self) -> bool {
        let mut child = self.daemon.take().unwrap();
        let left = until(|| child.try_wait().unwrap().is_some());
        if !left {
            self.daemon = Some(child);
        }
        left
    }

    pub(crate) fn daemon_pid(&self) -> i32 {
        self.daemon.as_ref().unwrap().id() as i32
    }

    /// Pid of the keeper, while it lives.
    pub(crate) fn keeper(&self) -> Option<i32> {
        shedbox_engine::greet(&self.runtime().join("keeper.sock"))
            .ok()?
            .map(|greeting| greeting.pid)
    }

    /// Ends the keeper with SIGKILL and waits until it has gone.
    pub(crate) fn kill_keeper(&self) {
        kill(self.keeper().unwrap());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.root().join("daemon.log")).unwrap_or_default()
    }

    /// One request; the status and the JSON value of the answer, null when there is none.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, bytes) = self.raw(method, path, body);
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// One request with the bytes of the answer.
    pub(crate) fn raw(&self, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let mut stream = UnixStream::connect(self.runtime().join("docker.sock")).unwrap();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        let head = format!(
            "{method} /shedbox/v1/{path} HTTP/1.1\r\nhost: d\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head[9..12].parse().unwrap();
        let body = answer[end + 4..].to_vec();
        (
            status,
            if head.contains("transfer-encoding: chunked") {
                unchunk(&body)
            } else {
                body
            },
        )
    }

    /// Creates and starts a sandbox; `spec` is merged over the `host` image.
    pub(crate) fn create(&self, spec: &Value) -> Value {
        let (status, info) = self.try_create(spec);
        assert_eq!(status, 201, "{info} {}", self.log());
        info
    }

    pub(crate) fn try_create(&self, spec: &Value) -> (u16, Value) {
        let mut full = json!({"source": "host"});
        full.as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        self.api("POST", "sandboxes", &json!({"spec": full, "start": true}))
    }

    pub(crate) fn inspect(&self, name: &str) -> Value {
        self.api("GET", &format!("sandboxes/{name}"), &Value::Null)
            .1
    }

    pub(crate) fn post(&self, path: &str) -> (u16, Value) {
        self.api("POST", path, &Value::Null)
    }

    pub(crate) fn reset(&self, name: &str) -> Value {
        let (status, report) = self.post(&format!("sandboxes/{name}/reset"));
        assert_eq!(status, 200, "{report} {}", self.log());
        report
    }

    pub(crate) fn remove(&self, name: &str) -> u16 {
        self.api("DELETE", &format!("sandboxes/{name}?force=1"), &Value::Null)
            .0
    }

    /// Runs a shell command in a sandbox, by name.
    pub(crate) fn sh(&self, name: &str, script: &str) -> Output {
        exec(
            &self.runtime().join("sandboxes/names").join(name),
            &["sh", "-c", script],
        )
    }

    /// Waits for a spare.
    pub(crate) fn spare(&self, name: &str) -> bool {
        until(|| self.inspect(name)["spare"] == true)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{}", self.log());
        }
        if self.daemon.is_none() {
            self.start();
        }
        for sandbox in self
            .api("GET", "sandboxes?all=1", &Value::Null)
            .1
            .as_array()
            .into_iter()
            .flatten()
        {
            self.remove(sandbox["id"].as_str().unwrap());
        }
        // What is left of overlays can be removed by root of their namespace alone.
        let emptied = until(|| {
            std::fs::read_dir(self.root().join("trash"))
                .unwrap()
                .count()
                == 0
        });
        assert!(
            emptied || std::thread::panicking(),
            "the trash is not emptied"
        );
        let keeper = self.keeper();
        let mut child = self.daemon.take().unwrap();
        shedbox_linux::process::signal(child.id() as i32, 15).unwrap();
        child.wait().unwrap();
        if let Some(pid) = keeper {
            kill(pid);
        }
    }
}

/// Runs a command through the socket of a sandbox.
pub(crate) fn exec(socket: &Path, argv: &[&str]) -> Output {
    let connection = SeqPacket::connect(socket).unwrap();
    let (mut read, write) = std::io::pipe().unwrap();
    let request = Request::Exec(ExecRequest {
        argv: argv
            .iter()
            .map(|argument| argument.as_bytes().to_vec())
            .collect(),
        stdout: true,
        ..ExecRequest::default()
    });
    connection
        .send(&serde_json::to_vec(&request).unwrap(), &[write.as_fd()])
        .unwrap();
    drop(write);
    let mut stdout = String::new();
    read.read_to_string(&mut stdout).unwrap();
    let frame = connection.recv().unwrap().expect("init answers");
    match serde_json::from_slice(&frame.bytes).unwrap() {
        Reply::Exited(result) => Output {
            end: result.end,
            stdout,
        },
        other => panic!("{other:?}"),
    }
}

/// A command that ended well and wrote `stdout`.
pub(crate) fn wrote(stdout: &str) -> Output {
    Output {
        end: End::Exited { code: 0 },
        stdout: stdout.to_owned(),
    }
}

/// Sends SIGKILL and waits until the process has gone.
pub(crate) fn kill(pid: i32) {
    let pidfd = pidfd::open(pid).unwrap();
    pidfd::kill(pidfd.as_fd()).unwrap();
    assert!(pidfd::wait(pidfd.as_fd(), Some(Duration::from_secs(10))).unwrap());
}

/// Whether a process lives.
pub(crate) fn lives(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Looks until it is so, for ten seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "what is looked at tells nobody when it changes"
)]
pub(crate) fn until(mut so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    so()
}

/// The example of this crate: the daemon, and the keeper.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/daemon");
    assert!(
        program.is_file(),
        "{} is missing: cargo build -p shedbox-daemon --examples",
        program.display()
    );
    program
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
    whole
}
