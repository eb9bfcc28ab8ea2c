//! Reset: the next generation takes over. A restore is a reset to another base.
//!
//! 1. a spare that stands ready on that base, or a generation built on the spot, in `spare/`
//! 2. exchange `live/` and `spare/`: one renameat2; a mounted overlay keeps the directories it opened
//! 3. end the old generation: when init answers, none of its processes is left
//! 4. activate the new one, which has had a copy of the listening socket all along; start the main process
//! 5. answer; then, in the background: kill the old init to be sure, its directory into the trash, record, next spare
//!
//! On a full disk there is no room for 1: see [`crate::make_room`].
//!
//! What a crash of the daemon leaves (the new init was not activated before 4, so it leaves with us):
//!
//! - before 2: `spare/` besides a living sandbox. Recovery throws it away.
//! - between 2 and 3: the old init lives, but its directory is called `spare/`; the mark in `live/` names a younger
//!   generation than init does. Recovery exchanges the two again, and the reset has not happened.
//! - between 3 and 4: no init lives, and the mark in `live/` is younger than the record. Recovery starts a generation
//!   over the new directory, and the reset has happened.
//! - after 4: the new init lives and `spare/` is the old directory. Recovery throws it away; the number of the
//!   generation, which the record does not have yet, comes from init.

use std::sync::Arc;

use jiff::Timestamp;
use shedbox_spec::api::ResetReport;
use shedbox_spec::control::DieReason;
use shedbox_store::upper;

use crate::Engine;
use crate::background::Job;
use crate::capabilities;
use crate::error::{EngineError, Result};
use crate::events::Happening;
use crate::generation::{Order, Place};
use crate::init::Init;
use crate::make_room;
use crate::sandbox::{Sandbox, Turn};
use crate::snapshot::Base;

impl Engine {
    /// Sheds everything a sandbox has done: it is as it was made, or forked. One that does not run is started.
    pub fn reset(&self, name: &str) -> Result<ResetReport> {
        self.go_back(name, |sandbox| Ok(sandbox.bases().home.clone()))
    }

    /// The same to one of its snapshots: its files are those of the snapshot.
    pub fn restore(&self, name: &str, tag: &str) -> Result<ResetReport> {
        self.go_back(name, |sandbox| {
            Ok(Some(sandbox.bases().tagged(tag, &sandbox.name())?))
        })
    }

    fn go_back(
        &self,
        name: &str,
        to: impl FnOnce(&Sandbox) -> Result<Base>,
    ) -> Result<ResetReport> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let mut turn = sandbox.turn();
        sandbox.state().life.may_reset(&sandbox.name())?;
        let base = to(&sandbox)?;
        sandbox.aim(base);
        turn.end_files();
        turn.end_ready();

        let (next, from_spare) = match sandbox.take_spare() {
            Some(spare) => (spare, true),
            None => match self.build_next(&sandbox, &mut turn) {
                Ok(next) => (next, false),
                Err(error) if make_room::would_help(&sandbox, &error) => {
                    return self.reset_in_place(&sandbox, &mut turn);
                }
                Err(error) => return Err(error),
            },
        };
        if let Err(error) = upper::swap(&sandbox.layout.live(), &sandbox.layout.spare()) {
            next.destroy();
            return Err(error.into());
        }
        sandbox.stand_on_what_was_aimed_at();
        let old = self.replace(&sandbox, &next)?;
        turn.publish(&sandbox.socket)?;
        let outcome = match self.attach_successor(&sandbox, &next) {
            Ok(()) => self.take_over(&sandbox, &next, false),
            Err(error) => {
                next.destroy_and_wait()?;
                self.has_ended(&sandbox, &next, None);
                Err(error)
            }
        };
        drop(turn);
        self.background.push(Job::Tidy(Arc::clone(&sandbox), old));
        outcome?;
        self.tell(&sandbox, Happening::Reset);
        Ok(ResetReport {
            generation: next.generation,
            from_spare,
        })
    }

    /// A generation beside the living one, in `spare/`. Preconditions: the turn; no spare.
    pub(crate) fn build_next(&self, sandbox: &Arc<Sandbox>, turn: &mut Turn) -> Result<Arc<Init>> {
        let (live, generation) = {
            let state = sandbox.state();
            (state.live.clone(), state.life.generation + 1)
        };
        self.prepare_spare(sandbox, generation)?;
        let keeps_namespaces = !capabilities::outlive_a_reset(&sandbox.record.spec.security)?;
        let order = Order {
            generation,
            place: Place::Spare,
            join: live.as_deref().filter(|_| keeps_namespaces),
        };
        match self.build(sandbox, turn, &order) {
            // Its namespaces cannot be joined: they belong to a keeper of which nothing is left. New ones do as well,
            // because nothing inside can have changed the network.
            Err(EngineError::Generation { failure, .. })
                if order.join.is_some() && failure.stage == "namespaces" =>
            {
                tracing::warn!(sandbox = %sandbox.record.id, ?failure, "a generation gets namespaces of its own");
                self.prepare_spare(sandbox, generation)?;
                self.build(
                    sandbox,
                    turn,
                    &Order {
                        join: None,
                        ..order
                    },
                )
            }
            other => other,
        }
    }

    /// Step 3, and the state of the new life. Gives the old init.
    fn replace(&self, sandbox: &Arc<Sandbox>, next: &Arc<Init>) -> Result<Option<Arc<Init>>> {
        let old = sandbox.state().live.clone();
        if let Some(old) = &old {
            self.watcher.forget(old);
            old.die(DieReason::Reset)?;
        }
        if sandbox.has_main() {
            sandbox.layout.clear_exit()?;
        }
        let mut state = sandbox.state();
        state.life.begin(next.generation, Timestamp::now());
        state.live = Some(Arc::clone(next));
        Ok(old)
    }
}
