//! Remove: nothing survives it.
//!
//! 1. mark as going, so that nothing begins    2. end all generations    3. sockets and name
//! 4. directory into the trash, by one rename    5. forget, tell who waits
//!
//! A crash after 2 leaves a sandbox that does not run; one after 4 leaves nothing. In between its record says
//! `removing` only in memory, so the next daemon shows it as exited, unless it was to be removed anyway.

use std::sync::Arc;

use jiff::Timestamp;
use shedbox_spec::api::{Pruned, Status};
use shedbox_spec::control::DieReason;
use shedbox_spec::error::chain;
use shedbox_spec::exec::{End, Killer};

use crate::Engine;
use crate::error::Result;
use crate::events::Happening;
use crate::life::cut_short;
use crate::sandbox::{Sandbox, remove_socket};
use crate::snapshot::Bases;

impl Engine {
    /// Removes a sandbox; one that runs only with `force`.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        self.remove_sandbox(&sandbox, force)
    }

    pub(crate) fn remove_sandbox(&self, sandbox: &Arc<Sandbox>, force: bool) -> Result<()> {
        let before = {
            let mut state = sandbox.state();
            state.life.may_remove(&sandbox.name(), force)?;
            std::mem::replace(&mut state.life.status, Status::Removing)
        };
        let outcome = self.take_away(sandbox);
        if outcome.is_err() {
            // Still there; whoever asked may ask again.
            let mut state = sandbox.state();
            state.life.status = if state.live.is_some() {
                before
            } else {
                Status::Exited
            };
        }
        outcome
    }

    fn take_away(&self, sandbox: &Arc<Sandbox>) -> Result<()> {
        let mut turn = if let Some(turn) = sandbox.try_turn() {
            turn
        } else {
            // An operation is under way, a stop perhaps: with its init it ends.
            let live = sandbox.state().live.clone();
            if let Some(init) = live {
                init.destroy();
            }
            sandbox.turn()
        };
        let (live, spare) = {
            let mut state = sandbox.state();
            (state.live.take(), state.spare.take())
        };
        if let Some(spare) = &spare {
            spare.destroy();
        }
        if let Some(init) = &live {
            self.watcher.forget(init);
            init.die(why_removed(sandbox))?;
            init.destroy();
        }
        turn.end_files();
        turn.end_ready();
        self.detach(sandbox, u64::MAX);
        remove_socket(&self.name_link(&sandbox.name()))?;
        remove_socket(&sandbox.socket)?;
        remove_socket(&sandbox.socket.with_extension("next"))?;
        self.discard_if_there(&sandbox.layout.dir)?;
        // From here on the name is free, so its link must be gone by now.
        self.registry().remove(&sandbox.record.id, &sandbox.name());
        self.release_wire(&sandbox.wire().clone());
        *sandbox.bases() = Bases::default();
        self.sweep_snapshots();
        // No process of the sandbox is left; what the kernel still takes down is namespaces. Wait for it only where a
        // mount of the caller's would be busy until then.
        if sandbox.record.lends_host_paths() {
            for init in live.iter().chain(&spare) {
                init.destroy_and_wait()?;
            }
        }
        let ended = {
            let mut state = sandbox.state();
            if live.is_some() {
                let result = sandbox
                    .has_main()
                    .then(|| cut_short(End::Removed { by: Killer::Client }));
                state.life.end(result, Timestamp::now());
            }
            state.ended(true, sandbox.has_main())
        };
        let result = ended.result().clone();
        ended.notify();
        if live.is_some() {
            let stopped = true;
            self.tell(sandbox, Happening::Ended { result, stopped });
        }
        self.tell(sandbox, Happening::Removed);
        Ok(())
    }

    /// Removes a sandbox on its own account: lifetime over, owner gone, main process of an `auto_remove` ended.
    pub(crate) fn remove_unasked(&self, sandbox: &Arc<Sandbox>) {
        if sandbox.state().life.status == Status::Removing {
            return;
        }
        if let Err(error) = self.remove_sandbox(sandbox, true) {
            tracing::warn!(sandbox = %sandbox.record.id, error = chain(&error), "cannot remove");
        }
    }

    /// Removes all sandboxes that do not run.
    pub fn prune(&self) -> Result<Pruned> {
        let _activity = self.background.activity();
        let mut pruned = Pruned::default();
        self.drop_prepared();
        let sandboxes = self.registry().all();
        for sandbox in sandboxes {
            let stopped = matches!(
                sandbox.state().life.status,
                Status::Created | Status::Exited
            );
            if !stopped {
                continue;
            }
            let bytes = disk_usage(&sandbox.layout.dir);
            let used = Self::used_snapshots(&sandbox);
            match self.remove_sandbox(&sandbox, false) {
                Ok(()) => {
                    pruned.removed.push(sandbox.record.id.to_string());
                    let gone = used.iter().filter(|(id, _)| !self.is_snapshot_used(id));
                    pruned.bytes += bytes + gone.map(|(_, bytes)| bytes).sum::<u64>();
                }
                // Started or removed by somebody else since.
                Err(error) => {
                    tracing::debug!(sandbox = %sandbox.record.id, error = chain(&error), "not pruned");
                }
            }
        }
        Ok(pruned)
    }
}

/// What commands in flight are told.
fn why_removed(sandbox: &Sandbox) -> DieReason {
    let record = &sandbox.record;
    let disowned = sandbox.disowned.load(std::sync::atomic::Ordering::Acquire);
    if record
        .owner
        .is_some_and(|owner| !disowned && owner.open().is_none())
    {
        DieReason::Owner
    } else if record
        .expires_at
        .is_some_and(|at| at.as_millisecond() <= jiff::Timestamp::now().as_millisecond() + 1)
    {
        DieReason::Lifetime
    } else {
        DieReason::Remove
    }
}

/// Bytes on disk below a directory, as far as it can be read. Follows no links.
fn disk_usage(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                metadata.blocks() * 512 + disk_usage(&entry.path())
            }
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
