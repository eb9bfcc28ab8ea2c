//! Reset on a full disk: the old generation goes before the next one is made, because its directory is the room that
//! the next one needs.
//!
//! 1. end the old generation    2. its directory becomes `spare/`    3. delete that, here and now
//! 4. start over a new directory in `live/`
//!
//! Between 1 and 4 the sandbox does not run. A crash there, or a disk that stays full because somebody else has filled
//! it, leaves a sandbox that has ended and whose upper directory is empty; recovery throws `spare/` away. A restore that is
//! cut off there has become a reset.

use std::sync::Arc;

use shedbox_spec::api::ResetReport;
use shedbox_spec::control::DieReason;
use shedbox_store::upper;

use crate::Engine;
use crate::error::{Doing, EngineError, Result, on_path};
use crate::sandbox::{Sandbox, Turn};
use crate::snapshot::write_link;

/// Whether a reset that failed with `error` can be had by giving up the old generation first.
pub(crate) fn would_help(sandbox: &Sandbox, error: &EngineError) -> bool {
    error.is_no_space() && has_entries(&sandbox.layout.live().join("upper"))
}

impl Engine {
    /// See the module. Preconditions: the turn; no spare.
    pub(crate) fn reset_in_place(
        &self,
        sandbox: &Arc<Sandbox>,
        turn: &mut Turn,
    ) -> Result<ResetReport> {
        tracing::warn!(sandbox = %sandbox.record.id, "the disk is full: the old generation goes before the next one is made");
        let old = sandbox.state().live.clone();
        if let Some(init) = &old {
            self.watcher.forget(init);
            init.die(DieReason::Reset)?;
            init.destroy_and_wait()?;
        }
        let outcome = self
            .shed(sandbox)
            .and_then(|()| self.start_turn(sandbox, turn, false));
        if let (Err(_), Some(init)) = (&outcome, &old) {
            // Nothing to be done when a new generation had begun: its end has been noted already.
            self.has_ended(sandbox, init, None);
        }
        outcome?;
        self.tell(sandbox, crate::events::Happening::Reset);
        Ok(ResetReport {
            generation: sandbox.state().life.generation,
            from_spare: false,
        })
    }

    /// Steps 2 and 3.
    fn shed(&self, sandbox: &Sandbox) -> Result<()> {
        let (live, spare) = (sandbox.layout.live(), sandbox.layout.spare());
        self.discard_if_there(&spare)?;
        std::fs::rename(&live, &spare).doing(|| on_path("move away", &live))?;
        self.store.trash().delete(&spare)?;
        upper::make(&live, &[])?;
        // A directory without a link lies on the image, so memory says no more than the disk does until there is one.
        sandbox.bases().live = None;
        let base = sandbox.bases().ahead.clone();
        write_link(&live, &base)?;
        sandbox.stand_on_what_was_aimed_at();
        Ok(())
    }
}

fn has_entries(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}
