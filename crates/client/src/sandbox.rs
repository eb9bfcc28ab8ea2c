//! A handle on one sandbox.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shedbox_linux::errno::Errno;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::api::{
    Change, PressureReport, Reclaimed, ResetReport, SandboxInfo, SandboxStats, Status, Updated,
    WaitResult,
};
use shedbox_spec::control::{Attach, Denial, Reply, Request, Stats};
use shedbox_spec::exec::{End, ExecResult};
use shedbox_spec::features::Features;
use shedbox_spec::limits::Limits;
use shedbox_spec::{Kind, SandboxId, SandboxSpec};

use crate::client::json;
use crate::exec::{Exec, Follow, Running, lost, parse, send};
use crate::http::{Payload, Target};
use crate::logs::{LogOptions, Logs};
use crate::{Client, Error, Result, resolve};

/// One sandbox.
///
/// A handle made by [`Sandbox::create`] owns its sandbox: dropping it removes the sandbox, and so does the end of this
/// process, however it comes. [`Sandbox::detach`] gives that up. A handle made by [`Sandbox::open`] owns nothing.
#[derive(Debug)]
pub struct Sandbox {
    client: Arc<Client>,
    id: SandboxId,
    /// As the caller knows it: a name, or what was asked for.
    label: String,
    socket: PathBuf,
    owned: bool,
    created: Option<Box<SandboxInfo>>,
}

impl Sandbox {
    /// A new sandbox, started and ready for commands; owned by the handle. The image is pulled when it is missing.
    pub fn create(spec: SandboxSpec) -> Result<Self> {
        Client::shared().create(spec)
    }

    /// The sandbox of an id, an unambiguous prefix of one, or a name.
    pub fn open(reference: &str) -> Result<Self> {
        Client::shared().sandbox(reference)
    }

    /// All sandboxes that run.
    pub fn list() -> Result<Vec<SandboxInfo>> {
        Client::shared().sandboxes(false, &[])
    }

    pub(crate) fn from_info(client: Arc<Client>, info: SandboxInfo, owned: bool) -> Self {
        let socket = client
            .paths()
            .sandbox_sockets()
            .join(format!("{}.sock", info.id));
        Self {
            client,
            id: info.id.clone(),
            label: info.name.clone(),
            socket,
            owned,
            created: Some(Box::new(info)),
        }
    }

    pub(crate) fn find(client: Arc<Client>, reference: &str) -> Result<Self> {
        let id = if let Some(id) = resolve::resolve(client.paths(), reference)? {
            id
        } else {
            let target = Target::new(["sandboxes", reference]);
            let info: SandboxInfo = client.pool.json("GET", &target, Payload::Empty)?;
            info.id
        };
        let socket = client.paths().sandbox_sockets().join(format!("{id}.sock"));
        Ok(Self {
            client,
            id,
            label: reference.to_owned(),
            socket,
            owned: false,
            created: None,
        })
    }

    /// Its identity.
    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    /// What it was when this handle created it.
    pub fn created(&self) -> Option<&SandboxInfo> {
        self.created.as_deref()
    }

    /// The client it was made with.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What it was called when the handle was made, or asked for.
    pub fn name_or_id(&self) -> &str {
        &self.label
    }

    pub(crate) fn target(&self, action: &str) -> Target {
        Target::new(["sandboxes", self.id.as_str(), action])
    }

    fn whole(&self) -> Target {
        Target::new(["sandboxes", self.id.as_str()])
    }

    /// Everything the daemon knows of it.
    pub fn info(&self) -> Result<SandboxInfo> {
        self.client.pool.json("GET", &self.whole(), Payload::Empty)
    }

    /// A command to run in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Exec<'_> {
        Exec::new(self, program.as_ref())
    }

    /// Follows its main process, or starts one that was held back.
    pub fn follow(&self, follow: Follow) -> Result<Running> {
        follow.launch(self)
    }

    /// Starts a main process that was held back, and leaves it to itself.
    pub fn start_main(&self) -> Result<()> {
        let alone = Attach {
            detach: true,
            ..Attach::default()
        };
        match self.ask(&Request::StartMain(alone), &[])? {
            Reply::Exited(ExecResult {
                end: End::NotStarted(why),
                ..
            }) => Err(Error::NotStarted(*why)),
            Reply::Started { .. } | Reply::Exited(_) => Ok(()),
            other => Err(Error::protocol("the sandbox", format!("{other:?}"))),
        }
    }

    /// Sheds everything it has written and every process: a new generation with the same name and spec.
    pub fn reset(&self) -> Result<ResetReport> {
        self.client
            .pool
            .json("POST", &self.target("reset"), Payload::Empty)
    }

    /// Starts it again after a stop.
    pub fn start(&self) -> Result<SandboxInfo> {
        self.start_with(false)
    }

    /// The same; `hold_main` leaves the main process to a [`Follow`] with `start`.
    pub fn start_with(&self, hold_main: bool) -> Result<SandboxInfo> {
        self.client.pool.json(
            "POST",
            &self.target("start").query("hold_main", hold_main),
            Payload::Empty,
        )
    }

    /// Ends its processes: the stop signal for the main process, SIGKILL after `timeout` (the spec's when `None`).
    /// What it has written stays.
    pub fn stop(&self, timeout: Option<Duration>) -> Result<()> {
        let mut target = self.target("stop");
        if let Some(timeout) = timeout {
            target = target.query("timeout_ms", timeout.as_millis());
        }
        self.client.pool.done("POST", &target, Payload::Empty)
    }

    /// Sends a signal, by number, to its main process.
    pub fn kill(&self, signal: i32) -> Result<()> {
        self.client.pool.done(
            "POST",
            &self.target("kill").query("signal", signal),
            Payload::Empty,
        )
    }

    /// Waits until it does not run.
    pub fn wait(&self) -> Result<WaitResult> {
        self.wait_for("not-running")
    }

    /// Waits until it has been removed.
    pub fn wait_removed(&self) -> Result<WaitResult> {
        self.wait_for("removed")
    }

    fn wait_for(&self, condition: &str) -> Result<WaitResult> {
        self.client.pool.json(
            "POST",
            &self.target("wait").query("condition", condition),
            Payload::Empty,
        )
    }

    /// Removes it, whether it runs or not.
    pub fn remove(mut self) -> Result<()> {
        self.owned = false;
        self.remove_with(true)
    }

    /// Removes it; one that runs only with `force`.
    pub fn remove_with(&self, force: bool) -> Result<()> {
        self.client.pool.done(
            "DELETE",
            &self.whole().query("force", force),
            Payload::Empty,
        )
    }

    /// Gives up ownership: it outlives this handle and this process.
    pub fn detach(mut self) -> Result<()> {
        if self.owned {
            self.client
                .pool
                .done("POST", &self.target("disown"), Payload::Empty)?;
            self.owned = false;
        }
        Ok(())
    }

    /// What is really in force in it: a process is started inside that looks at itself. It must be running.
    pub fn features(&self) -> Result<Features> {
        self.client
            .pool
            .json("GET", &self.target("features"), Payload::Empty)
    }

    /// What differs from its image.
    pub fn diff(&self) -> Result<Vec<Change>> {
        self.client
            .pool
            .json("GET", &self.target("diff"), Payload::Empty)
    }

    /// The output of its main process.
    pub fn logs(&self, options: &LogOptions) -> Result<Logs> {
        let target = options.apply(self.target("logs"));
        self.client
            .pool
            .send("GET", &target, Payload::Empty)
            .map(Logs::new)
    }

    /// Stops all of its processes where they are. Needs a cgroup.
    pub fn pause(&self) -> Result<()> {
        self.client
            .pool
            .done("POST", &self.target("pause"), Payload::Empty)
    }

    /// Lets them go on.
    pub fn unpause(&self) -> Result<()> {
        self.client
            .pool
            .done("POST", &self.target("unpause"), Payload::Empty)
    }

    /// Changes the limits that `change` names, at once and for later lives; `mode`, `disk` and `oom_score_adj` cannot
    /// be changed.
    pub fn update(&self, change: &Limits) -> Result<Updated> {
        self.client
            .pool
            .json("POST", &self.target("update"), json(change)?)
    }

    /// Has it give back so many bytes of memory, or what there is to find.
    pub fn reclaim(&self, bytes: u64) -> Result<Reclaimed> {
        self.client.pool.json(
            "POST",
            &self.target("reclaim").query("bytes", bytes),
            Payload::Empty,
        )
    }

    /// What it uses and has used.
    pub fn stats(&self) -> Result<SandboxStats> {
        self.client
            .pool
            .json("GET", &self.target("stats"), Payload::Empty)
    }

    /// How long its processes had to wait for CPUs, memory and disks. Needs a cgroup.
    pub fn pressure(&self) -> Result<PressureReport> {
        self.client
            .pool
            .json("GET", &self.target("pressure"), Payload::Empty)
    }

    /// Its processes and what each of them uses now.
    pub fn processes(&self) -> Result<Stats> {
        match self.ask(&Request::Stats, &[])? {
            Reply::Stats(stats) => Ok(stats),
            other => Err(Error::protocol("the sandbox", format!("{other:?}"))),
        }
    }

    /// What the default filter would have denied since the generation began; `None` when it is not in the log mode.
    pub fn denials(&self) -> Result<Option<Vec<Denial>>> {
        match self.ask(&Request::Denials, &[])? {
            Reply::Denials { seen } => Ok(seen),
            other => Err(Error::protocol("the sandbox", format!("{other:?}"))),
        }
    }

    /// One question to its init, one answer.
    pub(crate) fn ask(&self, request: &Request, fds: &[OwnedFd]) -> Result<Reply> {
        ask_on(&self.connect()?, &self.label, request, fds)
    }

    /// A connection to its init.
    pub(crate) fn connect(&self) -> Result<SeqPacket> {
        match self.try_connect()? {
            Some(socket) => Ok(socket),
            None => self.connect_or_explain(),
        }
    }

    /// `None` when nothing listens: it does not run.
    fn try_connect(&self) -> Result<Option<SeqPacket>> {
        match SeqPacket::connect(&self.socket) {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
            Err(error) => Err(Error::system(format!("reach sandbox {}", self.label))(
                error,
            )),
        }
    }

    fn connect_or_explain(&self) -> Result<SeqPacket> {
        let info = self.info()?;
        if matches!(info.status, Status::Running | Status::Paused)
            // It may have been started since.
            && let Some(socket) = self.try_connect()?
        {
            return Ok(socket);
        }
        Err(not_running(&info).into())
    }

    /// A connection for files, also of a stopped sandbox: the init that serves those leaves when the second connection,
    /// which is to be held as long as files are accessed, has ended.
    pub(crate) fn files_socket(&self) -> Result<(PathBuf, Option<SeqPacket>)> {
        if let Some(control) = self.try_connect()? {
            // For a moment after a stop the socket still listens, and nobody answers.
            match ask_on(&control, &self.label, &Request::Status, &[]) {
                Ok(_) => return Ok((self.socket.clone(), None)),
                Err(Error::NotTaken { .. } | Error::Killed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let access: shedbox_spec::api::FilesAccess =
            self.client
                .pool
                .json("POST", &self.target("files"), Payload::Empty)?;
        let path = PathBuf::from(access.socket);
        let held = SeqPacket::connect(&path)
            .map_err(Error::system(format!("reach the files of {}", self.label)))?;
        Ok((path, Some(held)))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.owned {
            // One that has been removed already is as good; one that cannot be reached is removed by the daemon when
            // this process ends.
            let _ = self.remove_with(true);
        }
    }
}

pub(crate) fn ask_on(
    control: &SeqPacket,
    sandbox: &str,
    request: &Request,
    fds: &[OwnedFd],
) -> Result<Reply> {
    send(control, request, fds).map_err(|error| lost(sandbox, error))?;
    hear_on(control, sandbox)
}

pub(crate) fn hear_on(control: &SeqPacket, sandbox: &str) -> Result<Reply> {
    let frame = control.recv().map_err(|error| lost(sandbox, error))?;
    let frame = frame.ok_or_else(|| Error::Killed {
        sandbox: sandbox.to_owned(),
    })?;
    match parse(&frame.bytes)? {
        Reply::Failed(error) => Err(Error::Refused(error)),
        reply => Ok(reply),
    }
}

fn not_running(info: &SandboxInfo) -> shedbox_spec::Error {
    let name = &info.name;
    match info.status {
        Status::Removing => {
            shedbox_spec::Error::conflict(format!("sandbox {name} is being removed"))
        }
        Status::Running | Status::Paused => shedbox_spec::Error::new(
            Kind::Unavailable,
            format!("sandbox {name} is said to run, but nobody listens at its socket"),
        )
        .with_hint(format!("try `shedbox reset {name}`")),
        Status::Created | Status::Exited => {
            shedbox_spec::Error::conflict(format!("sandbox {name} is not running"))
                .with_hint(format!("start it with `shedbox start {name}`"))
        }
    }
}
