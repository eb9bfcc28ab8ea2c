//! What callers do with the cgroup of a sandbox: pause, update, and reading what it uses.

use std::path::Path;
use std::sync::Arc;

use shedbox_linux::errno::Errno;
use shedbox_spec::api::{HostPressure, PressureReport, Reclaimed, SandboxStats, Updated};
use shedbox_spec::control::{Reply, Request};
use shedbox_spec::limits::Limits;
use shedbox_spec::{Error, Kind};

use super::lease::Lease;
use super::stats;
use crate::Engine;
use crate::error::{Doing, EngineError, Result, on_path};
use crate::events::Happening;
use crate::init::{self, Init};
use crate::sandbox::Sandbox;

/// The host's pressure files.
const HOST_PRESSURE: &str = "/proc/pressure";

impl Engine {
    /// Stops all commands of a sandbox where they are. Init goes on, so that files can be read and it can be reset.
    pub fn pause(&self, name: &str) -> Result<()> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let _turn = sandbox.turn();
        let init = running(&sandbox)?;
        if init.is_paused() {
            return Err(Error::conflict(format!("sandbox `{name}` is already paused")).into());
        }
        self.halt(&sandbox, &init)?;
        self.tell(&sandbox, Happening::Paused);
        Ok(())
    }

    /// Lets the commands of a paused sandbox go on.
    pub fn unpause(&self, name: &str) -> Result<()> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let _turn = sandbox.turn();
        let init = running(&sandbox)?;
        if !init.is_paused() {
            return Err(Error::conflict(format!("sandbox `{name}` is not paused")).into());
        }
        Self::thaw(&sandbox, &init)?;
        self.tell(&sandbox, Happening::Unpaused);
        Ok(())
    }

    /// The same without a question, for whoever reads what it has written. Preconditions: the turn; it is not paused.
    pub(crate) fn halt(&self, sandbox: &Sandbox, init: &Init) -> Result<()> {
        let lease = self.lease(sandbox, init, "pausing")?;
        // In this order nothing is started between the last look at the groups and the end.
        tell(sandbox, true)?;
        init.set_paused(true);
        if let Err(error) = lease.group().freeze(true) {
            Self::thaw(sandbox, init)?;
            return Err(error);
        }
        Ok(())
    }

    /// Undoes it without a question, for whoever is about to ask processes to end. Preconditions: the turn.
    pub(crate) fn thaw(sandbox: &Sandbox, init: &Init) -> Result<()> {
        if !init.is_paused() {
            return Ok(());
        }
        if let Some(lease) = &init.cgroup {
            lease.group().freeze(false)?;
        }
        tell(sandbox, false)?;
        init.set_paused(false);
        Ok(())
    }

    /// What a sandbox uses.
    pub fn stats(&self, name: &str) -> Result<SandboxStats> {
        let sandbox = self.find(name)?;
        let init = running(&sandbox)?;
        if let Some(lease) = &init.cgroup {
            return Ok(stats::of_group(lease.group()));
        }
        match init::ask(&sandbox.socket, &Request::Stats)? {
            Reply::Stats(found) => Ok(stats::of_processes(&found)),
            _ => Err(Error::internal(
                "init answers a question for its use of resources with something else",
            )
            .into()),
        }
    }

    /// How long the processes of a sandbox have waited for CPUs, memory and disks.
    pub fn pressure(&self, name: &str) -> Result<PressureReport> {
        let sandbox = self.find(name)?;
        let init = running(&sandbox)?;
        let lease = self.lease(&sandbox, &init, "pressure")?;
        let found = stats::pressures(|file| lease.group().read(file));
        if found == PressureReport::default() {
            return Err(no_pressure());
        }
        Ok(found)
    }

    /// The same for the host, and for all sandboxes of this daemon together.
    pub fn host_pressure(&self) -> Result<HostPressure> {
        let host = stats::of_host(Path::new(HOST_PRESSURE));
        if host == PressureReport::default() {
            return Err(no_pressure());
        }
        let sandboxes = self.cgroups.place().ok().map(|place| {
            stats::pressures(|file| std::fs::read_to_string(place.base.join(file)).ok())
        });
        Ok(HostPressure { host, sandboxes })
    }

    /// Has a sandbox give memory back, page cache before anything else. Less than was asked for is no error.
    pub fn reclaim(&self, name: &str, bytes: u64) -> Result<Reclaimed> {
        let sandbox = self.find(name)?;
        let init = running(&sandbox)?;
        let lease = self.lease(&sandbox, &init, "reclaiming memory")?;
        let current = || stats::of_group(lease.group()).memory;
        let before = current();
        let path = lease.path().join("memory.reclaim");
        let complete = match std::fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, bytes.to_string().as_bytes()))
        {
            Ok(()) => true,
            // As much as there was to find.
            Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => false,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(
                    Kind::Unsupported,
                    "memory.reclaim is not there: the kernel is older than 5.19, or has no memory controller here",
                )
                .with_hint("see `shedbox doctor`; `shedbox update --memory-high` has the same effect")
                .into());
            }
            Err(error) => return Err(error).doing(|| on_path("write", &path)),
        };
        Ok(Reclaimed {
            bytes: before.saturating_sub(current()),
            complete,
        })
    }

    /// Changes limits of a sandbox, which hold at once and in later lives; those not named stay.
    pub fn update(&self, name: &str, change: &Limits) -> Result<Updated> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let _turn = sandbox.turn();
        let limits = sandbox.limits().updated(change);
        self.cgroups.check(&limits)?;
        let (live, spare) = {
            let state = sandbox.state();
            (state.live.clone(), state.spare.clone())
        };
        let mut warnings = Vec::new();
        if let Some(live) = &live {
            let asked = change.needing_cgroup();
            if live.cgroup.is_none() && !asked.is_empty() {
                if !super::Cgroups::may_do_without(&limits) {
                    return Err(self.without_group(&sandbox, &asked.join(" and ")).into());
                }
                warnings.push("the limits hold from the next reset or start on".to_owned());
            }
        }
        // First where it can fail for what the sandbox uses by now.
        for lease in [&live, &spare]
            .into_iter()
            .flatten()
            .filter_map(|init| init.cgroup.as_ref())
        {
            lease.group().set(&self.cgroups.settings(&limits)?)?;
        }
        let mut record = sandbox.record_now();
        record.spec.limits = limits.clone();
        sandbox.layout.replace_record(&record)?;
        sandbox.set_limits(limits);
        self.tell(&sandbox, Happening::Updated);
        Ok(Updated { warnings })
    }

    /// The group of a living generation, or why there is none.
    fn lease<'a>(&self, sandbox: &Sandbox, init: &'a Init, what: &str) -> Result<&'a Lease> {
        init.cgroup
            .as_ref()
            .ok_or_else(|| self.without_group(sandbox, what).into())
    }

    fn without_group(&self, sandbox: &Sandbox, what: &str) -> Error {
        let name = sandbox.name();
        match self.cgroups.place() {
            Err(absence) => {
                let error = Error::new(
                    Kind::Unsupported,
                    format!(
                        "{what} needs a control group, and there is none to use: {}",
                        absence.reason
                    ),
                );
                match &absence.fix {
                    Some(fix) => error.with_hint(fix.clone()),
                    None => error.with_hint("see `shedbox doctor`"),
                }
            }
            // The daemon that started this generation had none.
            Ok(_) => Error::conflict(format!(
                "{what} needs a control group, which `{name}` was started without"
            ))
            .with_hint(format!("`shedbox reset {name}` gives it one")),
        }
    }
}

/// The living init of a sandbox that runs.
fn running(sandbox: &Sandbox) -> Result<Arc<Init>> {
    let state = sandbox.state();
    state.life.must_run(&sandbox.name())?;
    state.live.clone().ok_or_else(|| {
        Error::conflict(format!("sandbox `{}` is not running", sandbox.name())).into()
    })
}

/// Tells init that nothing is, or may be, started.
fn tell(sandbox: &Sandbox, paused: bool) -> Result<()> {
    match init::ask(&sandbox.socket, &Request::Pause { paused })? {
        Reply::Done => Ok(()),
        _ => Err(Error::internal("init answers a pause with something else").into()),
    }
}

fn no_pressure() -> EngineError {
    Error::new(
        Kind::Unsupported,
        "this kernel shows no pressure: it was built without PSI, or booted with it switched off",
    )
    .with_hint("boot with `psi=1`")
    .into()
}
