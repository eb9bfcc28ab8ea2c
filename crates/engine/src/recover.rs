//! What a dead daemon left: sandboxes that live are found again, everything half-done is finished or taken away.
//!
//! Facts are gathered for each directory, a pure function decides, and the decision is carried out. What no directory
//! accounts for (sockets, names, inits) goes last.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::{pidfd, sender, userns};
use shedbox_spec::SandboxId;
use shedbox_spec::api::Status;
use shedbox_spec::control::{InitStatus, PROTOCOL_VERSION, Reply, Request};
use shedbox_spec::error::chain;
use shedbox_store::upper;

use crate::Engine;
use crate::background::Job;
use crate::error::{Doing, EngineError, Result, on_path};
use crate::generation::GENERATION_MARK;
use crate::init::Init;
use crate::life::Life;
use crate::network::wire::Wire;
use crate::record::{Layout, Record, SavedState};
use crate::sandbox::{Sandbox, remove_socket};
use crate::snapshot::Bases;

/// What was found of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    saved: SavedState,
    /// Generation of the init that answers on the socket.
    init: Option<u64>,
    /// Generation that `live/` was made for, as far as it says so.
    mark: Option<u64>,
    /// The main process left a result.
    has_result: bool,
    owner_gone: bool,
    expired: bool,
    auto_remove: bool,
}

/// What becomes of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes, whatever runs in it.
    Remove,
    /// Its init lives. With `swap_back` a reset was interrupted before it ended that init, and is undone.
    Adopt { swap_back: bool },
    /// It does not run; with `ended` it did when the record was written.
    Rest { ended: bool },
    /// A reset was interrupted after it had ended the old init: a generation is started over the new directory.
    FinishReset,
}

/// See the crash table in [`crate::reset`].
fn decide(facts: &Facts) -> Verdict {
    if facts.owner_gone || facts.expired || facts.saved.status == Status::Removing {
        return Verdict::Remove;
    }
    let younger_than = |generation: u64| facts.mark.is_some_and(|mark| mark > generation);
    match (facts.init, facts.saved.status) {
        (Some(generation), _) => Verdict::Adopt {
            swap_back: younger_than(generation),
        },
        (None, Status::Created) => Verdict::Rest { ended: false },
        (None, Status::Running) if younger_than(facts.saved.generation) && !facts.has_result => {
            Verdict::FinishReset
        }
        (None, _) if facts.auto_remove => Verdict::Remove,
        (None, status) => Verdict::Rest {
            ended: status == Status::Running,
        },
    }
}

/// An init that answers.
struct Found {
    connection: SeqPacket,
    pid: i32,
    pidfd: OwnedFd,
    status: InitStatus,
}

impl Engine {
    /// Called once, before any thread of the engine runs.
    pub(crate) fn recover(&self) -> Result<()> {
        let dir = self.paths.sandboxes();
        let mut left_alone = HashSet::new();
        let entries = std::fs::read_dir(&dir).doing(|| on_path("read directory", &dir))?;
        for entry in entries {
            let entry = entry.doing(|| on_path("read directory", &dir))?;
            let path = entry.path();
            match entry.file_name().into_string().map(SandboxId::try_from) {
                Ok(Ok(id)) => {
                    if let Err(error) = self.recover_one(&id, &path) {
                        tracing::error!(sandbox = %id, error = chain(&error), "cannot recover; left as it is");
                        left_alone.insert(id.to_string());
                    }
                }
                // `.new-*`, or nothing of ours.
                _ => self.discard_if_there(&path)?,
            }
        }
        self.clear_runtime_directory(&left_alone)?;
        // What those that were left alone use is not known.
        self.recover_snapshots(left_alone.is_empty())?;
        let used = self
            .registry()
            .all()
            .iter()
            .filter_map(|sandbox| {
                let live = sandbox.state().live.clone()?;
                Some(live.cgroup.as_ref()?.path().to_owned())
            })
            .collect();
        self.cgroups.recover(&used);
        Ok(())
    }

    fn recover_one(&self, id: &SandboxId, dir: &Path) -> Result<()> {
        let layout = Layout {
            dir: dir.to_owned(),
        };
        let socket = self.sandbox_socket(id);
        let Some((record, saved)) = layout.read_both()? else {
            // Records are complete before a directory gets its name: this one lost them to a power loss.
            tracing::warn!(sandbox = %id, "no record; removed");
            end_whoever_serves(&socket);
            return self.discard_if_there(dir);
        };
        let Some(bases) = Bases::read(&self.snapshots, &layout, &record)? else {
            tracing::warn!(sandbox = %id, "the snapshot that it stands on is not whole; removed");
            end_whoever_serves(&socket);
            return self.discard_if_there(dir);
        };
        let found = find_init(&socket, id.as_str());
        let facts = Facts {
            init: found.as_ref().map(|found| found.status.generation),
            mark: read_mark(&layout),
            has_result: layout.read_exit().is_some(),
            owner_gone: record.owner.is_some_and(|owner| owner.open().is_none()),
            expired: record.expires_at.is_some_and(|at| at <= Timestamp::now()),
            auto_remove: record.spec.auto_remove,
            saved,
        };
        let verdict = decide(&facts);
        tracing::info!(sandbox = %id, ?verdict, "recovered");
        if verdict == Verdict::Remove {
            if let Some(found) = found {
                end(&found);
            }
            return self.discard_if_there(dir);
        }
        self.rejoin(record, layout, bases, facts, verdict, found)
    }

    fn rejoin(
        &self,
        record: Record,
        layout: Layout,
        bases: Bases,
        facts: Facts,
        verdict: Verdict,
        found: Option<Found>,
    ) -> Result<()> {
        let socket = self.sandbox_socket(&record.id);
        let mut life = Life::from_saved(facts.saved);
        if verdict == (Verdict::Rest { ended: true }) {
            life.end(layout.read_exit(), Timestamp::now());
        }
        let wire = Wire::read(&layout.dir)?;
        self.hold_wire(&wire, &record.name);
        let sandbox = Sandbox::new(record, layout, socket, life);
        *sandbox.wire() = wire;
        *sandbox.bases() = bases;
        let sandbox = Arc::new(sandbox);
        self.registry()
            .reserve(&sandbox.name(), &sandbox.record.id)?;
        self.registry()
            .insert(&sandbox.record.id, Arc::clone(&sandbox));
        self.link_name(&sandbox)?;
        match (verdict, found) {
            (Verdict::Adopt { swap_back }, Some(found)) => {
                if swap_back {
                    upper::swap(&sandbox.layout.live(), &sandbox.layout.spare())?;
                    self.look_at_bases_again(&sandbox)?;
                }
                self.adopt(&sandbox, found)?;
            }
            (Verdict::FinishReset, _) => {
                let mut turn = sandbox.turn();
                self.start_turn(&sandbox, &mut turn, false)?;
            }
            _ => remove_socket(&sandbox.socket)?,
        }
        self.watch_lifetime(&sandbox);
        self.background.push(Job::Tidy(Arc::clone(&sandbox), None));
        Ok(())
    }

    /// `live/` has come back, and stands on something else.
    fn look_at_bases_again(&self, sandbox: &Sandbox) -> Result<()> {
        let bases = Bases::read(&self.snapshots, &sandbox.layout, &sandbox.record)?;
        // It is lost only with the machine, and then no init has answered.
        if let Some(bases) = bases {
            *sandbox.bases() = bases;
        }
        Ok(())
    }

    fn adopt(&self, sandbox: &Arc<Sandbox>, found: Found) -> Result<()> {
        let Found {
            connection,
            pid,
            pidfd,
            status,
        } = found;
        let token = self.watcher.token();
        let cgroup = self.cgroups.adopt(pid, &pidfd);
        let mut init = Init::adopt(status.generation, token, (pid, pidfd), connection);
        init.cgroup = cgroup;
        init.set_paused(status.paused);
        init.landlock = status.landlock;
        let init = Arc::new(init);
        {
            let mut state = sandbox.state();
            if state.life.status != Status::Running || state.life.generation != status.generation {
                // The record is written after the answer, and this one came too late.
                state.life.begin(status.generation, Timestamp::now());
            }
            state.life.result = status.main_result;
            state.live = Some(Arc::clone(&init));
        }
        self.watcher.watch(sandbox, &init)?;
        self.background.want_spare(sandbox);
        Ok(())
    }

    fn link_name(&self, sandbox: &Sandbox) -> Result<()> {
        let link = self.name_link(&sandbox.name());
        remove_socket(&link)?;
        std::os::unix::fs::symlink(format!("../{}.sock", sandbox.record.id), &link)
            .doing(|| on_path("make link", &link))
    }

    /// Sockets, names and inits that belong to no sandbox (any more).
    fn clear_runtime_directory(&self, left_alone: &HashSet<String>) -> Result<()> {
        for path in entries(&self.paths.sandbox_sockets())? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let known = name
                .strip_suffix(".sock")
                .is_some_and(|id| self.registry().contains(id) || left_alone.contains(id));
            if !known && path != self.paths.names() {
                end_whoever_serves(&path);
                remove_socket(&path)?;
            }
        }
        let names: HashSet<String> = self
            .registry()
            .all()
            .iter()
            .map(|sandbox| sandbox.name().to_string())
            .collect();
        for path in entries(&self.paths.names())? {
            if !path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| names.contains(name))
            {
                remove_socket(&path)?;
            }
        }
        Ok(())
    }
}

/// The user namespace that living sandboxes of this root are in, found through the first of them that answers: for a
/// daemon that finds no keeper and has not entered a namespace yet. `None` when nothing lives.
///
/// It is the one above the sandbox's own, which only a process further out may look at: init itself could not tell.
/// The daemon may, because its user owns both. Source: ioctl_ns(2), NS_GET_PARENT.
pub fn parent_namespace(sandbox_sockets: &Path) -> Option<OwnedFd> {
    entries(sandbox_sockets).ok()?.iter().find_map(|path| {
        let found = question(SeqPacket::connect(path).ok()?).ok()??;
        let namespace = PathBuf::from(format!("/proc/{}/ns/user", found.pid));
        let parent = std::fs::File::open(&namespace)
            .doing(|| on_path("open", &namespace))
            .and_then(|own| userns::parent(own).doing(|| "look at the namespace above".to_owned()));
        parent
            .inspect_err(|error| {
                tracing::warn!(
                    pid = found.pid,
                    error = chain(error),
                    "the namespace of a sandbox is closed"
                );
            })
            .ok()
    })
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    std::fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .doing(|| on_path("read directory", dir))
}

fn read_mark(layout: &Layout) -> Option<u64> {
    std::fs::read_to_string(layout.live().join(GENERATION_MARK))
        .ok()?
        .parse()
        .ok()
}

/// The init behind a socket, when it belongs to that sandbox and speaks our language.
fn find_init(socket: &Path, sandbox: &str) -> Option<Found> {
    let connection = SeqPacket::connect(socket).ok()?;
    match question(connection) {
        Ok(Some(found))
            if found.status.version == PROTOCOL_VERSION && found.status.sandbox == sandbox =>
        {
            Some(found)
        }
        Ok(Some(found)) => {
            tracing::warn!(
                pid = found.pid,
                "an init of another release or sandbox; ended"
            );
            end(&found);
            None
        }
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(socket = %socket.display(), error = chain(&error), "a sandbox does not answer");
            None
        }
    }
}

/// Asks for the status, and learns from the answer which process has given it.
fn question(connection: SeqPacket) -> Result<Option<Found>> {
    let doing = || "ask a sandbox what it is".to_owned();
    sender::note_senders(&connection, true).doing(doing)?;
    let text = serde_json::to_vec(&Request::Status)
        .map_err(std::io::Error::from)
        .doing(doing)?;
    connection.send(&text, &[]).doing(doing)?;
    if !pidfd::readable(&connection, Some(std::time::Duration::from_secs(5))).doing(doing)? {
        return Err(EngineError::Protocol {
            party: "init".to_owned(),
            complaint: "does not answer".to_owned(),
        });
    }
    let Some(pid) = sender::of_next_message(&connection).doing(doing)? else {
        return Ok(None);
    };
    let pidfd = pidfd::open(pid).doing(doing)?;
    sender::note_senders(&connection, false).doing(doing)?;
    let Some(frame) = connection.recv().doing(doing)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&frame.bytes)
        .map_err(std::io::Error::from)
        .doing(doing)?
    {
        Reply::Status(status) => Ok(Some(Found {
            connection,
            pid,
            pidfd,
            status,
        })),
        Reply::Failed(error) => Err(error.into()),
        _ => Ok(None),
    }
}

fn end(found: &Found) {
    let ended = pidfd::kill(found.pidfd.as_fd()).and_then(|()| {
        pidfd::wait(
            found.pidfd.as_fd(),
            Some(std::time::Duration::from_secs(10)),
        )
    });
    if !matches!(ended, Ok(true)) {
        tracing::warn!(pid = found.pid, ?ended, "cannot end an init");
    }
}

/// Ends the init behind a socket that no sandbox accounts for.
fn end_whoever_serves(socket: &Path) {
    let Ok(connection) = SeqPacket::connect(socket) else {
        return;
    };
    match question(connection) {
        Ok(Some(found)) => end(&found),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(socket = %socket.display(), error = chain(&error), "an init that does not answer");
        }
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
