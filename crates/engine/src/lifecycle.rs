//! Start, stop, kill, wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::control::{Reply, Request};
use shedbox_spec::error::Cause;
use shedbox_spec::exec::{End, ExecResult, NotStarted};
use shedbox_spec::sandbox::DEFAULT_STOP_TIMEOUT_MS;
use shedbox_spec::{Error, Kind, signal};

use crate::Engine;
use crate::background::Job;
use crate::error::Result;
use crate::events::Happening;
use crate::generation::{Order, Place};
use crate::init::{self, Init, MainStart};
use crate::inspect::info;
use crate::life::cut_short;
use crate::sandbox::{Notify, Sandbox, Turn};

/// SIGINT.
const SIGINT: i32 = 2;

impl Engine {
    /// Starts a sandbox that does not run, over the upper directory it has; one that runs stays as it is.
    pub fn start(&self, name: &str, hold_main: bool) -> Result<SandboxInfo> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let mut turn = sandbox.turn();
        if sandbox.state().life.may_start(&sandbox.name())? {
            self.start_turn(&sandbox, &mut turn, hold_main)?;
        }
        drop(turn);
        Ok(info(self, &sandbox))
    }

    /// A new generation over the kept upper directory. Preconditions: the turn; nothing runs.
    pub(crate) fn start_turn(
        &self,
        sandbox: &Arc<Sandbox>,
        turn: &mut Turn,
        hold_main: bool,
    ) -> Result<()> {
        turn.end_files();
        let generation = sandbox.state().life.generation + 1;
        let init = match self.take_ready(sandbox, turn)? {
            Some(ready) => ready,
            None => self.build_live(sandbox, turn, generation)?,
        };
        {
            let mut state = sandbox.state();
            state.life.begin(generation, Timestamp::now());
            state.live = Some(Arc::clone(&init));
        }
        turn.publish(&sandbox.socket)?;
        let outcome = self.take_over(sandbox, &init, hold_main);
        sandbox.save();
        outcome?;
        self.tell(sandbox, Happening::Started);
        self.background.want_spare(sandbox);
        Ok(())
    }

    fn build_live(&self, sandbox: &Sandbox, turn: &mut Turn, generation: u64) -> Result<Arc<Init>> {
        // A crash after this line leaves an upper directory without scratch ones; the next start makes them again.
        self.renew_work(sandbox)?;
        sandbox.layout.clear_exit()?;
        let order = Order {
            generation,
            place: Place::Live,
            join: None,
        };
        self.build(sandbox, turn, &order)
    }

    /// A generation that is ready begins to serve: activate, start the main process, listen to it. On failure the
    /// generation has been ended and the sandbox does not run.
    ///
    /// Preconditions: the turn; `state.live` is this init; nobody listens to it yet.
    pub(crate) fn take_over(
        &self,
        sandbox: &Arc<Sandbox>,
        init: &Arc<Init>,
        hold_main: bool,
    ) -> Result<()> {
        sandbox.state().warnings.clone_from(&init.warnings);
        let started = init.activate().and_then(|()| {
            if sandbox.has_main() && !hold_main {
                init.start_main()
            } else {
                Ok(MainStart::Started)
            }
        });
        let failed = match started {
            Ok(MainStart::Started) => match self.watcher.watch(sandbox, init) {
                Ok(()) => return Ok(()),
                Err(error) => (None, error),
            },
            Ok(MainStart::Over(result)) => {
                let End::NotStarted(why) = &result.end else {
                    // It was quick. That is no failure; what follows is what follows every end of a main process.
                    sandbox.state().life.result = Some(result);
                    return self.watcher.watch(sandbox, init);
                };
                let error = not_started(sandbox, why);
                (Some(result), error.into())
            }
            Err(error) => (None, error),
        };
        self.watcher.forget(init);
        init.destroy_and_wait()?;
        self.has_ended(sandbox, init, failed.0);
        Err(failed.1)
    }

    /// Asks the main process to end, kills what does not, and ends the generation. Stopping what does not run is no
    /// error.
    pub fn stop(&self, name: &str, timeout: Option<Duration>) -> Result<()> {
        self.stop_with(name, None, timeout)
    }

    /// The same with another signal to begin with.
    pub fn stop_with(
        &self,
        name: &str,
        signal: Option<i32>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.end_main(name, signal, timeout, true)
    }

    /// What comes after a SIGKILL: waits until nothing of it runs.
    pub fn finish_kill(&self, name: &str) -> Result<()> {
        self.end_main(name, Some(signal::KILL), Some(Duration::ZERO), false)
    }

    /// `told`: it is a stop, which is an event of its own.
    fn end_main(
        &self,
        name: &str,
        signal: Option<i32>,
        timeout: Option<Duration>,
        told: bool,
    ) -> Result<()> {
        let sandbox = self.find(name)?;
        let mut turn = sandbox.turn();
        let status = sandbox.state().life.status;
        match status {
            Status::Running | Status::Paused => {}
            Status::Created | Status::Exited => return Ok(()),
            Status::Removing => return Ok(sandbox.state().life.must_run(&sandbox.name())?),
        }
        sandbox.drop_spare();
        let spec = &sandbox.record.spec;
        let default =
            Duration::from_millis(spec.stop_timeout_ms.unwrap_or(DEFAULT_STOP_TIMEOUT_MS));
        let live = {
            let mut state = sandbox.state();
            state.stop_asked = true;
            state.live.clone()
        };
        if let Some(init) = live {
            self.watcher.forget(&init);
            let signal = signal.unwrap_or(sandbox.record.resolved.stop_signal);
            if told && sandbox.has_main() {
                self.tell(&sandbox, Happening::Killed { signal });
            }
            // What is stopped where it is could not react to a signal.
            Self::thaw(&sandbox, &init)?;
            let result = init.stop(signal, timeout.unwrap_or(default));
            init.destroy_and_wait()?;
            self.has_ended(&sandbox, &init, result?);
            if told {
                self.tell(&sandbox, Happening::Stopped);
            }
        }
        turn.end_files();
        Ok(())
    }

    /// Sends a signal to the main process. In an idle sandbox SIGKILL, SIGTERM and SIGINT end the generation.
    pub fn kill(&self, name: &str, signal: i32) -> Result<()> {
        let sandbox = self.find(name)?;
        let live = {
            let mut state = sandbox.state();
            state.life.must_run(&sandbox.name())?;
            state.stop_asked |=
                signal == signal::KILL || signal == sandbox.record.resolved.stop_signal;
            state.live.clone()
        };
        self.tell(&sandbox, Happening::Killed { signal });
        if !sandbox.has_main() {
            if ![signal::KILL, signal::TERM, SIGINT].contains(&signal) {
                return Err(Error::conflict(format!(
                    "sandbox `{}` has no main process to signal",
                    sandbox.name()
                ))
                .with_hint("signal a command with the client that runs it")
                .into());
            }
            return self.finish_kill(name);
        }
        match init::ask(&sandbox.socket, &Request::Kill { signal }) {
            Ok(Reply::Done) => Ok(()),
            Ok(_) => Err(Error::internal("init answers a signal with something else").into()),
            // An init that cannot be reached any more, or does not react, ends with its whole generation.
            Err(error) if signal == signal::KILL => {
                tracing::warn!(sandbox = %sandbox.record.id, error = shedbox_spec::error::chain(&error), "killing init itself");
                if let Some(init) = live {
                    init.destroy_and_wait()?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Calls `notify` once: when the sandbox does not run (at once when it does not), or when it has been removed.
    /// The caller keeps the only strong reference; dropping it takes the wish back.
    pub fn when_ended(&self, name: &str, until_removed: bool, notify: &Arc<Notify>) -> Result<()> {
        let sandbox = self.find(name)?;
        let result = {
            let mut state = sandbox.state();
            if until_removed || state.life.status == Status::Running {
                state.add_waiter(until_removed, Arc::downgrade(notify));
                return Ok(());
            }
            state.life.wait_result(sandbox.has_main())
        };
        notify(result);
        Ok(())
    }

    /// The generation of `init` is over: state, waiters, record, and what was to follow. Does nothing when another
    /// generation lives by now. No turn needed.
    pub(crate) fn has_ended(
        &self,
        sandbox: &Arc<Sandbox>,
        init: &Arc<Init>,
        result: Option<ExecResult>,
    ) {
        let result = result.or_else(|| {
            if sandbox.has_main() {
                sandbox.layout.read_exit()
            } else {
                None
            }
        });
        let (ended, stopped) = {
            let mut state = sandbox.state();
            if !state
                .live
                .as_ref()
                .is_some_and(|live| Arc::ptr_eq(live, init))
            {
                return;
            }
            state.live = None;
            let result = result.or_else(|| sandbox.has_main().then(|| cut_short(End::Stopped)));
            state.life.end(result, Timestamp::now());
            let stopped = std::mem::take(&mut state.stop_asked);
            (state.ended(false, sandbox.has_main()), stopped)
        };
        self.detach(sandbox, init.generation);
        let result = ended.result().clone();
        ended.notify();
        self.tell(sandbox, Happening::Ended { result, stopped });
        sandbox.save();
        let next = if sandbox.record.spec.auto_remove {
            Job::Remove(Arc::downgrade(sandbox))
        } else {
            Job::Tidy(Arc::clone(sandbox), None)
        };
        self.background.push(next);
    }
}

fn not_started(sandbox: &Sandbox, why: &NotStarted) -> Error {
    let kind = if why.code == 127 {
        Kind::NotFound
    } else {
        Kind::Invalid
    };
    Error::new(
        kind,
        format!(
            "cannot start the main process of `{}`: {}",
            sandbox.name(),
            why.message
        ),
    )
    .with_cause(Cause::NotStarted(why.clone()))
    .with_hint("the command is looked up inside the image, in its PATH")
}
