//! What the engine's own threads do when something happens.

use std::sync::Arc;

use shedbox_spec::api::Status;
use shedbox_spec::error::chain;
use shedbox_spec::exec::ExecResult;

use crate::Engine;
use crate::background::{Job, Worker};
use crate::error::Result;
use crate::init::Init;
use crate::sandbox::Sandbox;
use crate::watcher::Observer;

impl Observer for Engine {
    fn main_exited(&self, sandbox: &Arc<Sandbox>, init: &Arc<Init>, result: ExecResult) {
        let mut state = sandbox.state();
        if state
            .live
            .as_ref()
            .is_some_and(|live| Arc::ptr_eq(live, init))
        {
            state.life.result = Some(result);
        }
    }

    fn init_ended(&self, sandbox: &Arc<Sandbox>, init: &Arc<Init>) {
        self.has_ended(sandbox, init, None);
    }

    fn owner_ended(&self, sandbox: &Arc<Sandbox>) {
        self.background.push(Job::Remove(Arc::downgrade(sandbox)));
    }
}

impl Worker for Engine {
    fn run(&self, job: Job) {
        match job {
            Job::Tidy(sandbox, old) => {
                if let Err(error) = self.tidy(&sandbox, old.as_deref()) {
                    tracing::warn!(sandbox = %sandbox.record.id, error = chain(&error), "not tidied up");
                }
            }
            Job::Remove(sandbox) => {
                if let Some(sandbox) = sandbox.upgrade() {
                    self.remove_unasked(&sandbox);
                }
            }
            Job::SweepCgroups => self.cgroups.sweep(),
            Job::EndFiles(sandbox) => {
                if let Some(sandbox) = sandbox.upgrade() {
                    self.end_idle_files(&sandbox);
                }
            }
            Job::SweepPrepared => self.sweep_prepared(),
            Job::EndReady(sandbox) => {
                // One that somebody is at is being started, or removed.
                if let Some(sandbox) = sandbox.upgrade()
                    && let Some(mut turn) = sandbox.try_turn()
                {
                    turn.end_ready();
                }
            }
        }
    }

    fn build_spare(&self, sandbox: &Arc<Sandbox>) {
        self.build_spare_now(sandbox);
    }

    fn refill(&self) -> bool {
        let more = self
            .blanks
            .refill()
            .and_then(|more| Ok(self.cgroups.refill(&self.keeper)? || more));
        match more {
            Ok(more) => more,
            // Whoever needs one makes it and is told what is wrong.
            Err(error) => {
                tracing::warn!(error = chain(&error), "nothing in stock");
                false
            }
        }
    }
}

impl Engine {
    /// After a reset or an end: no old init, no directory without a use, and a record that is up to date.
    fn tidy(&self, sandbox: &Arc<Sandbox>, old: Option<&Init>) -> Result<()> {
        if let Some(old) = old {
            old.destroy();
        }
        let mut turn = sandbox.turn();
        let (status, has_spare) = {
            let state = sandbox.state();
            (state.life.status, state.spare.is_some())
        };
        if status == Status::Removing {
            return Ok(());
        }
        // What the old generation stood on may have had its last user in it.
        self.sweep_snapshots();
        if status != Status::Running {
            sandbox.drop_spare();
            turn.close_listener(&sandbox.socket)?;
        }
        if status != Status::Running || !has_spare {
            self.discard_if_there(&sandbox.layout.spare())?;
        }
        // The next operation need not wait for a file to be written.
        drop(turn);
        sandbox.save();
        if status == Status::Running && !has_spare {
            self.background.want_spare(sandbox);
        }
        Ok(())
    }
}
