//! Recycling: a removed sandbox has a successor that stands ready.
//!
//! Whoever uses a container for each task removes one and creates the next with an equal spec. For specs that ask for it
//! (`recycle`) the engine prepares the next sandbox while the present one runs: identity, addresses, directories and a
//! whole generation, everything but a name and the permission to serve. A create with an equal spec takes it over, and
//! its start is what the second half of a reset is.
//!
//! Nothing of a sandbox that was ever used gets into one that is prepared: files, processes, memory file systems,
//! namespaces, addresses, log and id are new. So there is nothing to be cleaned that could be forgotten.
//!
//! What a create does not take: see [`Pool`] for how many there are and how long. They are not in the registry, so no
//! listing shows them; on disk they are `.new-*`, which recovery takes away; their inits leave with this process.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shedbox_spec::api::Status;
use shedbox_spec::error::chain;
use shedbox_spec::generation::GenerationSpec;
use shedbox_spec::limits::Limits;
use shedbox_spec::mount::Mount;
use shedbox_spec::network::Network;
use shedbox_spec::sandbox::Source;
use shedbox_spec::{SandboxId, SandboxSpec};
use shedbox_store::{ImageRecord, PinGuard};

use crate::Engine;
use crate::background::Job;
use crate::create::New;
use crate::error::{Doing, Result, on_path};
use crate::generation::{Order, Place};
use crate::init::Init;
use crate::life::Life;
use crate::network::wire::Wire;
use crate::record::Layout;
use crate::sandbox::{Sandbox, Turn};

/// As many are prepared for one spec as sandboxes with it run, up to this many.
const OF_A_KIND: usize = 4;
/// So many are there in all.
const IN_ALL: usize = 16;
/// How long one is kept when no sandbox with its spec runs any more, and one that was created and is not started.
const KEPT: Duration = Duration::from_secs(30);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// Below this share of the host's memory, nothing is prepared and what is there goes: one in so many parts.
const MEMORY_LEFT: u64 = 16;

/// What two sandboxes have to have in common: all that was asked for but the name, labels and what clients keep with it,
/// and the image that its name led to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    spec: SandboxSpec,
    image: ImageRecord,
}

impl Kind {
    /// `None` when such a sandbox is never prepared: what is mounted from the host may be another directory by the time
    /// it starts, and is busy until then; an address that was asked for is its predecessor's; a lifetime has begun; and
    /// a neighbour may have gone.
    fn of(spec: &SandboxSpec, image: Option<&ImageRecord>) -> Option<Self> {
        let lends = |mount: &Mount| matches!(mount, Mount::Bind { .. });
        let alone = match &spec.network {
            Network::Default | Network::None | Network::Host => true,
            Network::Container(_) => false,
            Network::Bridge(list) => list
                .iter()
                .all(|attachment| attachment.ip.is_none() && attachment.ip6.is_none()),
        };
        let fits = spec.recycle
            && matches!(spec.source, Source::Image(_))
            && spec.ttl_ms.is_none()
            && alone
            && !spec.mounts.iter().any(lends);
        // Asked by every create, and nearly all are not: nothing is copied before this.
        let image = image.filter(|_| fits)?;
        Some(Self {
            spec: SandboxSpec {
                name: None,
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
                ..spec.clone()
            },
            image: image.clone(),
        })
    }
}

/// An init that waits for its sandbox to be started, and what it was built from.
#[derive(Debug)]
pub(crate) struct Ready {
    init: Arc<Init>,
    spec: GenerationSpec,
    limits: Limits,
    /// Directory of the sandbox when it was built.
    dir: PathBuf,
    /// Its upper directory: nobody may have put anything else there.
    upper: Identity,
}

/// A sandbox that nobody has asked for yet.
pub(crate) struct Prepared {
    kind: Kind,
    pub(crate) id: SandboxId,
    pub(crate) wire: Wire,
    pub(crate) dir: PathBuf,
    pub(crate) turn: Turn,
    socket: PathBuf,
    /// Its layers stay in the store.
    _pin: PinGuard,
    /// When a sandbox of its kind ran last.
    needed: Instant,
}

/// Sandboxes that are prepared, at most [`IN_ALL`], oldest first.
#[derive(Default)]
pub(crate) struct Pool {
    list: Mutex<Vec<Prepared>>,
    /// Held while one is built or all are dropped, before any other lock.
    building: Mutex<()>,
}

impl Pool {
    fn list(&self) -> MutexGuard<'_, Vec<Prepared>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for this spec and image.
    pub(crate) fn take(&self, spec: &SandboxSpec, image: Option<&ImageRecord>) -> Option<Prepared> {
        let kind = Kind::of(spec, image)?;
        let mut list = self.list();
        let index = list.iter().position(|prepared| prepared.kind == kind)?;
        Some(list.remove(index))
    }

    /// Takes back one that was not used after all.
    pub(crate) fn put_back(&self, prepared: Prepared) {
        self.list().push(prepared);
    }

    fn count(&self, kind: &Kind) -> usize {
        let list = self.list();
        list.iter()
            .filter(|prepared| prepared.kind == *kind)
            .count()
    }
}

impl Engine {
    /// Prepares the successor of a sandbox that runs, when it is to have one; whether it is. Called when the daemon is
    /// quiet, in place of building its spare.
    pub(crate) fn prepare_successor(&self, sandbox: &Arc<Sandbox>) -> bool {
        let record = &sandbox.record;
        let Some(kind) = Kind::of(&record.spec, record.image.as_ref()) else {
            return false;
        };
        let running = self.running(&kind).min(OF_A_KIND);
        if self.pool.count(&kind) >= running || !self.config.spares {
            return true;
        }
        if is_memory_short() {
            self.drop_prepared();
            return true;
        }
        let _building = self.pool.building.lock();
        match self.prepare(kind) {
            Ok(prepared) => {
                let count = self.pool.count(&prepared.kind) + 1;
                let (is_first, surplus) = {
                    let mut list = self.pool.list();
                    let surplus = (list.len() >= IN_ALL).then(|| list.remove(0));
                    list.push(prepared);
                    (list.len() == 1, surplus)
                };
                if let Some(surplus) = surplus {
                    self.discard(surplus);
                }
                if is_first {
                    self.sweep_later();
                }
                if count < running {
                    self.background.want_spare(sandbox);
                }
            }
            // Not fatal: the next create builds on the spot and reports what is wrong to somebody.
            Err(error) => {
                tracing::warn!(sandbox = %record.id, error = chain(&error), "no successor");
            }
        }
        true
    }

    fn running(&self, kind: &Kind) -> usize {
        let sandboxes = self.registry().all();
        sandboxes
            .iter()
            .filter(|sandbox| {
                let record = &sandbox.record;
                record.spec.recycle
                    && sandbox.state().life.status == Status::Running
                    && Kind::of(&record.spec, record.image.as_ref()).as_ref() == Some(kind)
            })
            .count()
    }

    /// What a create does up to the name, and the generation of its start.
    fn prepare(&self, kind: Kind) -> Result<Prepared> {
        let New {
            mut record,
            exposed_ports,
            pin,
        } = self.anonymous_record(kind.spec.clone())?;
        // Absent for what has no image, which has no kind.
        let Some((pin, image)) = pin.zip(record.image.clone()) else {
            return Err(shedbox_spec::Error::internal("an image that is none").into());
        };
        // The name of the image may lead elsewhere by now.
        let kind = Kind { image, ..kind };
        "a sandbox that is prepared".clone_into(&mut record.name);
        let wire = self.settle_wire(&record.spec, &record.name, &exposed_ports)?;
        let dir = match self.blanks.home() {
            Ok(dir) => dir,
            Err(error) => {
                self.release_wire(&wire);
                return Err(error);
            }
        };
        let socket = self.sandbox_socket(&record.id);
        let id = record.id.clone();
        let sandbox = Sandbox::new(record, Layout { dir: dir.clone() }, socket, Life::new());
        *sandbox.wire() = wire.clone();
        let mut turn = Turn::default();
        let built = self.build_ready(&sandbox, &mut turn);
        let mut prepared = Prepared {
            kind,
            id,
            wire,
            dir,
            turn,
            socket: sandbox.socket,
            _pin: pin,
            needed: Instant::now(),
        };
        match built {
            Ok(ready) => {
                prepared.turn.ready = Some(ready);
                Ok(prepared)
            }
            Err(error) => {
                self.discard(prepared);
                Err(error)
            }
        }
    }

    fn build_ready(&self, sandbox: &Sandbox, turn: &mut Turn) -> Result<Ready> {
        let order = Order {
            generation: 1,
            place: Place::Ahead,
            join: None,
        };
        // Under another name: who connects before the start is to be refused, not kept waiting.
        turn.listener(&sandbox.socket, true)?;
        let live = sandbox.layout.live();
        let spec = self.first_generation(sandbox, &live)?;
        Ok(Ready {
            init: self.build(sandbox, turn, &order)?,
            spec,
            limits: sandbox.limits(),
            dir: sandbox.layout.dir.clone(),
            upper: Identity::of(&live.join("upper"))?,
        })
    }

    /// The generation that stands ready for a sandbox that was never started, connected to its networks; `None` when
    /// there is none, or anything about the sandbox is not what it was built for. Preconditions: the turn.
    pub(crate) fn take_ready(
        &self,
        sandbox: &Sandbox,
        turn: &mut Turn,
    ) -> Result<Option<Arc<Init>>> {
        let Some(ready) = &turn.ready else {
            return Ok(None);
        };
        if !self.is_still_right(sandbox, ready)? {
            tracing::debug!(sandbox = %sandbox.record.id, "what was prepared does not fit any more");
            turn.end_ready();
            return Ok(None);
        }
        let init = Arc::clone(&ready.init);
        let mut warnings = Vec::new();
        if let Err(error) = self.attach(sandbox, init.generation, init.pid, &mut warnings) {
            turn.end_ready();
            return Err(error);
        }
        sandbox.state().warnings.extend(warnings);
        turn.ready = None;
        Ok(Some(init))
    }

    fn is_still_right(&self, sandbox: &Sandbox, ready: &Ready) -> Result<bool> {
        Ok(sandbox.state().life.generation == 0
            && !ready.init.has_ended()
            && sandbox.limits() == ready.limits
            && Identity::of(&sandbox.layout.live().join("upper"))? == ready.upper
            && self.first_generation(sandbox, &ready.dir.join("live"))? == ready.spec)
    }

    /// The message to the first init of a sandbox whose directory is `live`.
    fn first_generation(&self, sandbox: &Sandbox, live: &Path) -> Result<GenerationSpec> {
        let base = sandbox.bases().live.clone();
        self.generation_spec(sandbox, live, &base, 1, sandbox.has_main())
    }

    /// Ends all that are prepared; how many there were. Nothing holds their layers and addresses when this returns.
    pub fn drop_prepared(&self) -> usize {
        let _building = self.pool.building.lock();
        let list = std::mem::take(&mut *self.pool.list());
        list.into_iter()
            .map(|prepared| self.discard(prepared))
            .count()
    }

    fn discard(&self, mut prepared: Prepared) {
        prepared.turn.end_ready();
        self.release_wire(&prepared.wire);
        let cleared = prepared
            .turn
            .close_listener(&prepared.socket)
            .and_then(|()| self.discard_if_there(&prepared.dir));
        if let Err(error) = cleared {
            tracing::warn!(error = chain(&error), "left for recovery");
        }
    }

    fn sweep_later(&self) {
        self.background
            .push_at(Instant::now() + SWEEP, Job::SweepPrepared);
    }

    /// Ends those that nobody has had a use for in a while, and all when memory is short.
    pub(crate) fn sweep_prepared(&self) {
        if is_memory_short() {
            self.drop_prepared();
            return;
        }
        let kinds: Vec<Kind> = self
            .pool
            .list()
            .iter()
            .map(|prepared| prepared.kind.clone())
            .collect();
        let needed: Vec<Kind> = kinds
            .into_iter()
            .filter(|kind| self.running(kind) > 0)
            .collect();
        let now = Instant::now();
        let (over, more) = {
            let mut list = self.pool.list();
            for prepared in list.iter_mut() {
                if needed.contains(&prepared.kind) {
                    prepared.needed = now;
                }
            }
            let over: Vec<Prepared> = list
                .extract_if(.., |prepared| {
                    now.duration_since(prepared.needed) >= KEPT
                        || prepared.turn.ready.as_ref().is_none_or(Ready::has_ended)
                })
                .collect();
            (over, !list.is_empty())
        };
        for prepared in over {
            self.discard(prepared);
        }
        if more {
            self.sweep_later();
        }
    }

    /// Gives the init of a sandbox that was created so long ago and not started its end.
    pub(crate) fn end_ready_later(&self, sandbox: &Arc<Sandbox>) {
        self.background.push_at(
            Instant::now() + KEPT,
            Job::EndReady(Arc::downgrade(sandbox)),
        );
    }
}

impl Ready {
    fn has_ended(&self) -> bool {
        self.init.has_ended()
    }
}

impl Turn {
    /// Ends the init that waits for the start, before anything else touches the directories that it stands on.
    pub(crate) fn end_ready(&mut self) {
        let Some(ready) = self.ready.take() else {
            return;
        };
        if let Err(error) = ready.init.destroy_and_wait() {
            tracing::warn!(
                error = chain(&error),
                "ending an init that was never started"
            );
        }
    }
}

/// Which directory it is, and when it was changed last: device, inode, time of change.
#[derive(Debug, PartialEq, Eq)]
struct Identity(u64, u64, (i64, i64));

impl Identity {
    fn of(path: &Path) -> Result<Self> {
        let of = std::fs::symlink_metadata(path).doing(|| on_path("look at", path))?;
        Ok(Self(of.dev(), of.ino(), (of.ctime(), of.ctime_nsec())))
    }
}

fn is_memory_short() -> bool {
    std::fs::read_to_string("/proc/meminfo").is_ok_and(|text| is_short(&text))
}

/// Whether /proc/meminfo says so. Source: proc_meminfo(5).
fn is_short(meminfo: &str) -> bool {
    let of = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    of("MemTotal:")
        .zip(of("MemAvailable:"))
        .is_some_and(|(total, available)| available < total / MEMORY_LEFT)
}

#[cfg(test)]
#[path = "recycle_tests.rs"]
mod tests;
