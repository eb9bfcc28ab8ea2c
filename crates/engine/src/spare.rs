//! Generations built ahead of need: a ready init in `spare/` for every sandbox that runs.

use std::sync::Arc;

use shedbox_spec::api::Status;
use shedbox_spec::error::chain;

use crate::Engine;
use crate::init::Init;
use crate::sandbox::Sandbox;

impl Engine {
    /// Builds the spare of a sandbox that runs and has none. Called when the daemon is quiet.
    pub(crate) fn build_spare_now(&self, sandbox: &Arc<Sandbox>) {
        // Somebody is at it: whoever ends that operation wishes again.
        let Some(mut turn) = sandbox.try_turn() else {
            return;
        };
        {
            let state = sandbox.state();
            if !self.config.spares || state.life.status != Status::Running || state.spare.is_some()
            {
                return;
            }
        }
        if self.prepare_successor(sandbox) {
            return;
        }
        match self.build_next(sandbox, &mut turn) {
            Ok(spare) => sandbox.state().spare = Some(spare),
            // Not fatal: the next reset builds on the spot and reports what is wrong to somebody.
            Err(error) => {
                tracing::warn!(sandbox = %sandbox.record.id, error = chain(&error), "no spare");
            }
        }
    }
}

impl Sandbox {
    /// The spare, when it is there, alive, and the next in line. Preconditions: the turn.
    pub(crate) fn take_spare(&self) -> Option<Arc<Init>> {
        let (spare, next) = {
            let mut state = self.state();
            (state.spare.take()?, state.life.generation + 1)
        };
        if spare.generation == next && !spare.has_ended() {
            return Some(spare);
        }
        spare.destroy();
        None
    }

    /// Ends the spare; its directory goes with the next tidying. Preconditions: the turn.
    pub(crate) fn drop_spare(&self) {
        let spare = self.state().spare.take();
        if let Some(spare) = spare {
            spare.destroy();
        }
    }
}
