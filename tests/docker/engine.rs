//! Who answers: our daemon, or a real dockerd.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::archives;
use crate::normal;
use crate::support::{Home, Lane, Need, Registry, eventually, patience, scratch};
use crate::table::{Case, Outcome};

/// Removes whatever a case has left, so that each begins with the two images and nothing else.
const CLEAN: &str = r#"
docker ps -aq --no-trunc >c & docker volume ls -q >v & docker network ls -q --filter type=custom >n &
docker images --digests --format '{{.Repository}}{{if eq .Tag "<none>"}}@{{.Digest}}{{else}}:{{.Tag}}{{end}}' >i & wait
[ ! -s c ] || docker rm -fv $(cat c)
[ ! -s v ] || docker volume rm -f $(cat v) $(docker volume ls -q)
[ ! -s n ] || docker network rm $(cat n)
others=$(grep -vx -e tiny:latest -e app:1.0 -e '<none>@.*' i)
[ -z "$others" ] || docker rmi -f $others
! grep -q '<none>@' i || docker image prune -f
for image in tiny:latest app:1.0; do grep -qx "$image" i || docker load -qi "$ARCHIVES/${image%:*}-image.tar"; done
"#;

/// Whether the `docker` in PATH speaks as the table does.
pub(crate) fn is_new_enough() -> bool {
    let output = Command::new("docker")
        .args(["--version"])
        .output()
        .expect("run docker");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.strip_prefix("Docker version ")
        .and_then(|rest| rest.split('.').next()?.parse::<u32>().ok())
        .is_some_and(|major| major >= 28)
}

/// An engine with its socket and the images of the table.
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    socket: PathBuf,
    /// Scripts run in here, and the archives of the images lie here.
    dir: TempDir,
    registry: String,
    who: Who,
}

enum Who {
    Ours { home: Home, _registry: Registry },
    Dockerd { namespaces: Child, inside: String },
}

impl Engine {
    /// Our daemon, in a home of its own.
    pub(crate) fn ours() -> Self {
        let home = Home::new();
        home.configure("idle_exit_s = 3600\n");
        home.run(["ps", "--quiet"]);
        let registry = Registry::start();
        Self {
            name: "shedbox",
            socket: home.paths().api_socket(),
            dir: scratch(),
            registry: registry.address().to_owned(),
            who: Who::Ours {
                home,
                _registry: registry,
            },
        }
        .prepare()
    }

    /// A real dockerd, when this is root and there is one: in namespaces of its own, in which it and all of its
    /// processes end with the test, and whose network is nobody else's.
    pub(crate) fn dockerd() -> Option<Self> {
        let wanted = std::env::var_os("SHEDBOX_TEST_DOCKERD").is_none_or(|value| value != "0");
        if !wanted || Lane::current() != Lane::Root || Need::Program("dockerd").missing().is_some()
        {
            return None;
        }
        let dir = scratch();
        let at = dir.path().join("dockerd");
        std::fs::create_dir_all(at.join("registry")).unwrap();
        let registry = "127.0.0.1:5000";
        std::fs::write(
            at.join("registry.yml"),
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
                 http: {{addr: \"{registry}\"}}\n",
                at.join("registry").display()
            ),
        )
        .unwrap();
        std::fs::write(at.join("daemon.json"), "{}").unwrap();
        let script = "cd \"$0\" && ip link set lo up && { docker-registry serve registry.yml >/dev/null 2>&1 & } && \
             exec dockerd --config-file daemon.json --data-root \"$0\"/data --exec-root \"$0\"/exec --pidfile \"$0\"/pid \
             -H unix://\"$0\"/s >log 2>&1";
        let mut namespaces = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount"])
            .args([
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
            ])
            .args([
                "readlink /proc/self/ns/net; exec >/dev/null; exec sh -c \"$1\" \"$0\"",
                at.to_str().unwrap(),
                script,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start unshare");
        let mut line = String::new();
        BufReader::new(namespaces.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("net:"), "{line}");
        // The process that `--fork` made: the namespaces' first.
        let pid = namespaces.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let inside = children.split_whitespace().next().unwrap().to_owned();
        let engine = Self {
            name: "dockerd",
            socket: at.join("s"),
            dir,
            registry: registry.to_owned(),
            who: Who::Dockerd { namespaces, inside },
        };
        eventually("dockerd listens", || engine.socket.exists());
        Some(engine.prepare())
    }

    fn prepare(self) -> Self {
        for archive in archives::make(self.dir.path()) {
            let load = format!("docker load -i '{}'", archive.display());
            let output = self.bash(&load, self.dir.path());
            assert!(output.status.success(), "{}: {output:?}", self.name);
        }
        self
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What a client needs to find it, and the home that it belongs to.
    pub(crate) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let mut variables = match &self.who {
            Who::Ours { home, .. } => home.variables(),
            Who::Dockerd { .. } => Vec::new(),
        };
        let host = format!("unix://{}", self.socket.display());
        variables.push(("DOCKER_HOST", host.into()));
        variables.push(("HOME", self.dir.path().to_owned()));
        variables
    }

    /// Data directory of our daemon.
    pub(crate) fn root(&self) -> PathBuf {
        match &self.who {
            Who::Ours { home, .. } => home.root(),
            Who::Dockerd { .. } => panic!("dockerd is not ours"),
        }
    }

    /// Pid of our daemon.
    pub(crate) fn daemon_pid(&self) -> i32 {
        match &self.who {
            Who::Ours { home, .. } => home.client().version().expect("a daemon answers").pid,
            Who::Dockerd { .. } => panic!("dockerd is not ours"),
        }
    }

    /// The reference of an image of `scripts/test-images`, pulled into our daemon.
    pub(crate) fn image(&self, name: &str) -> String {
        match &self.who {
            Who::Ours { home, .. } => home.image(name),
            Who::Dockerd { .. } => panic!("dockerd is not ours"),
        }
    }

    /// Ends our daemon and starts the next one.
    pub(crate) fn restart(&self) {
        match &self.who {
            Who::Ours { home, .. } => {
                home.run(["daemon", "stop"]);
                home.run(["ps", "--quiet"]);
            }
            Who::Dockerd { .. } => panic!("dockerd is not ours"),
        }
    }

    /// Runs a script below `tests/docker`, shows what it says, and fails when it does.
    pub(crate) fn script(&self, path: &str, words: &[&str], variables: &[(&str, &OsStr)]) {
        let output = Command::new("bash")
            .arg(format!(
                "{}/tests/docker/{path}",
                env!("CARGO_MANIFEST_DIR")
            ))
            .args(words)
            .envs(self.variables())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{path} {words:?}, {}: {}\n{text}\n{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        eprintln!("{path} {words:?}, {}: {text}", self.name);
    }

    fn bash(&self, script: &str, dir: &Path) -> std::process::Output {
        let limit = patience(Duration::from_mins(1)).as_secs().to_string();
        let mut words = vec!["timeout", "-k", "5", &limit, "bash", "-c", script];
        if let Who::Dockerd { inside, .. } = &self.who {
            words.splice(0..0, ["nsenter", "--net", "--target", inside, "--"]);
        }
        Command::new(words[0])
            .args(&words[1..])
            .current_dir(dir)
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", self.dir.path().join("config"))
            .env("DOCKER_CLI_HINTS", "false")
            .env("HOME", self.dir.path())
            .env("ARCHIVES", self.dir.path())
            .env("REGISTRY", &self.registry)
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .expect("run bash")
    }

    /// Runs a case and cleans up behind it.
    pub(crate) fn run(&self, case: &Case) -> Outcome {
        let dir = self.dir.path().join("case");
        std::fs::create_dir(&dir).unwrap();
        let output = self.bash(&case.script, &dir);
        let words = [
            (self.socket.display().to_string(), "<socket>"),
            (dir.display().to_string(), "<dir>"),
            (self.dir.path().display().to_string(), "<archives>"),
            (self.registry.clone(), "<registry>"),
        ];
        let outcome = Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: normal::lines(case, &words, &output.stdout),
            stderr: normal::lines(case, &words, &output.stderr),
        };
        let cleaned = self.bash(CLEAN, &dir);
        assert!(
            cleaned.status.success(),
            "{}, cleaning up after [{}]: {}",
            self.name,
            case.name,
            String::from_utf8_lossy(&cleaned.stderr)
        );
        crate::support::home::remove_tree(&dir);
        outcome
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        match &mut self.who {
            Who::Ours { home, .. } => home.stop_servants(),
            Who::Dockerd { namespaces, inside } => {
                // dockerd unmounts what it has mounted; the rest of it goes with the namespaces.
                let pid: i32 = inside.parse().unwrap();
                let _ = shedbox_linux::process::signal(pid, 15);
                let _ = namespaces.wait();
            }
        }
    }
}
