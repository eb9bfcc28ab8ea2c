//! The connection to shedbox as a whole: where it is, and the daemon's own API.

use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use shedbox_linux::{errno::Errno, pidfd};
use shedbox_spec::SandboxSpec;
use shedbox_spec::api::{
    AuthSources, CreateRequest, HostPressure, Pruned, PullPolicy, SandboxInfo, Version,
};
use shedbox_spec::paths::Paths;

use crate::http::{Payload, Pool, Target};
use crate::{Error, Result, Sandbox, daemon};

/// Where shedbox is and how to reach its daemon. Nothing is connected to until it is needed; the daemon is started
/// when there is none. May be used from many threads at once.
#[derive(Debug)]
pub struct Client {
    paths: Paths,
    pub(crate) pool: Arc<Pool>,
}

impl Client {
    /// A client of the directories that the environment names, see [`Paths`].
    pub fn new() -> Arc<Self> {
        let uid = shedbox_linux::process::own_uid();
        Self::with_paths(Paths::resolve(uid, |name| std::env::var(name).ok()))
    }

    /// A client of these directories. A daemon that it starts takes its own from the environment: they should agree.
    pub fn with_paths(paths: Paths) -> Arc<Self> {
        let dialled = paths.clone();
        Arc::new(Self {
            paths,
            pool: Pool::new(move || daemon::connect(&dialled)),
        })
    }

    /// The client that functions without a client parameter use.
    pub fn shared() -> &'static Arc<Self> {
        static SHARED: OnceLock<Arc<Client>> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// Where things are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// A daemon answers; none is started.
    pub fn daemon_is_running(&self) -> Result<bool> {
        daemon::try_connect(&self.paths).map(|stream| stream.is_some())
    }

    /// Ends the daemon and waits until it has gone; false when there is none. Requests under way get two seconds.
    /// Sandboxes go on, and whatever needs a daemon next starts one.
    pub fn stop_daemon(&self) -> Result<bool> {
        if !self.daemon_is_running()? {
            return Ok(false);
        }
        let failed = |pid| Error::system(format!("end the daemon, pid {pid}"));
        loop {
            let pid = self.version()?.pid;
            let daemon = match pidfd::open(pid) {
                Err(error) if error.errno == Errno::ESRCH => continue,
                other => other.map_err(failed(pid))?,
            };
            // It is the daemon that the descriptor names, not a process that has got its pid since.
            if self.version()?.pid == pid {
                pidfd::terminate(daemon.as_fd()).map_err(failed(pid))?;
                pidfd::wait(daemon.as_fd(), None).map_err(failed(pid))?;
                return Ok(true);
            }
        }
    }

    /// Who answers.
    pub fn version(&self) -> Result<Version> {
        self.pool
            .json("GET", &Target::new(["version"]), Payload::Empty)
    }

    /// A new sandbox, started and ready for commands. It is removed when the handle is dropped or this process ends,
    /// unless it is [detached](Sandbox::detach).
    pub fn create(self: &Arc<Self>, spec: SandboxSpec) -> Result<Sandbox> {
        self.create_with(&CreateRequest {
            spec,
            start: true,
            hold_main: false,
            owned: true,
            pull: PullPolicy::Missing,
            auth: auth_sources(),
        })
    }

    /// A new sandbox with all there is to choose.
    pub fn create_with(self: &Arc<Self>, request: &CreateRequest) -> Result<Sandbox> {
        let info: SandboxInfo =
            self.pool
                .json("POST", &Target::new(["sandboxes"]), json(request)?)?;
        Ok(Sandbox::from_info(Arc::clone(self), info, request.owned))
    }

    /// The sandbox of an id, an unambiguous prefix of one, or a name.
    pub fn sandbox(self: &Arc<Self>, reference: &str) -> Result<Sandbox> {
        Sandbox::find(Arc::clone(self), reference)
    }

    /// Sandboxes that run, or `all`; with every one of these labels (`name` or `name=value`).
    pub fn sandboxes(&self, all: bool, labels: &[String]) -> Result<Vec<SandboxInfo>> {
        let mut target = Target::new(["sandboxes"]).query("all", all);
        for label in labels {
            target = target.query("label", label);
        }
        self.pool.json("GET", &target, Payload::Empty)
    }

    /// How long processes had to wait for CPUs, memory and disks, on the host and in all sandboxes together.
    pub fn pressure(&self) -> Result<HostPressure> {
        self.pool
            .json("GET", &Target::new(["pressure"]), Payload::Empty)
    }

    /// Removes sandboxes that do not run.
    pub fn prune_sandboxes(&self) -> Result<Pruned> {
        self.pool
            .json("POST", &Target::new(["sandboxes", "prune"]), Payload::Empty)
    }
}

/// A JSON body.
pub(crate) fn json(value: &impl Serialize) -> Result<Payload<'static>> {
    serde_json::to_vec(value)
        .map(Payload::Json)
        .map_err(|error| Error::protocol("this program", error.to_string()))
}

/// Where this process's credential files for registries are.
pub fn auth_sources() -> AuthSources {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    AuthSources {
        docker_config: var("DOCKER_CONFIG"),
        registry_auth_file: var("REGISTRY_AUTH_FILE"),
        home: var("HOME"),
        runtime_dir: var("XDG_RUNTIME_DIR"),
        path: var("PATH"),
        credentials: None,
    }
}
