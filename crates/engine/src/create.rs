//! Create: a sandbox becomes visible by one rename, when everything it needs stands.
//!
//! 1. check the spec, find the image    2. take a name    3. a blank directory `.new-*`, records
//! 4. link of the name    5. listening socket and first generation, when it is to start
//! 6. rename to `<id>`    7. activate, start the main process
//!
//! A daemon that dies before 6 leaves a `.new-*` directory, a socket and a link, which recovery takes away; the init of
//! 4 leaves by itself, because it was not activated. After 6 the sandbox is there, and its record tells the truth.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shedbox_image::config::ImageDefaults;
use shedbox_spec::api::{CreateRequest, IdMapKind, SandboxInfo};
use shedbox_spec::sandbox::Source;
use shedbox_spec::{SandboxId, SandboxSpec};
use shedbox_store::{ImageRecord, PinGuard, upper};

use crate::Engine;
use crate::background::Job;
use crate::error::{Doing, Result, on_path};
use crate::events::Happening;
use crate::generation::{Order, Place, Rising};
use crate::inspect::info;
use crate::life::Life;
use crate::merge::merge;
use crate::network::wire::Wire;
use crate::owner::Owner;
use crate::record::{Layout, RECORD_VERSION, Record};
use crate::recycle::Prepared;
use crate::sandbox::{Sandbox, Turn, remove_socket};
use crate::snapshot::{Base, Bases};
use crate::validate;

impl Engine {
    /// Creates a sandbox; with `start` its first generation as well. Its image is here (see [`Engine::needed_pull`]).
    /// `caller` is the pid of who asked: an owned sandbox is removed when that process ends.
    pub fn create(&self, mut request: CreateRequest, caller: Option<i32>) -> Result<SandboxInfo> {
        let _activity = self.background.activity();
        self.name_network(&mut request.spec)?;
        validate::spec(&request.spec)?;
        validate::host(&request.spec)?;
        validate::power_over_mounts(&request.spec, self.id_map == IdMapKind::Root)?;
        validate::settle_sources(&mut request.spec)?;
        self.cgroups.check(&request.spec.limits)?;
        if let Some(limit) = &mut request.spec.limits.disk {
            crate::disk_limit::settle(limit)?;
        }
        self.require_room()?;
        let owner = owner(request.owned, caller)?;
        let (new, prepared) = self.new_record(request.spec, owner)?;
        let start = Start {
            start: request.start,
            hold_main: request.hold_main,
        };
        self.bring_up(new, prepared, None, start)
    }

    /// Steps 3 to 7 of a record whose name is taken. `base` is what it starts from, when that is a snapshot.
    pub(crate) fn bring_up(
        &self,
        new: New,
        prepared: Option<Prepared>,
        base: Base,
        how: Start,
    ) -> Result<SandboxInfo> {
        let wire = match self.wire_for(&new, prepared.as_ref()) {
            Ok(wire) => wire,
            Err(error) => {
                self.registry().release(&new.record.name, &new.record.id);
                return Err(error);
            }
        };
        let New { record, pin, .. } = new;
        let sandbox = match self.establish(record, wire.clone(), base, how.start, prepared) {
            Ok(sandbox) => Arc::new(sandbox),
            Err(failed) => {
                let (record, error) = *failed;
                self.release_wire(&wire);
                self.registry().release(&record.name, &record.id);
                return Err(error);
            }
        };
        // The turn is taken before anybody else can see it.
        let turn = sandbox.turn();
        self.registry()
            .insert(&sandbox.record.id, Arc::clone(&sandbox));
        drop(pin);
        self.tell(&sandbox, Happening::Created);
        self.background.want_refill();
        if turn.ready.is_some() {
            self.end_ready_later(&sandbox);
        }
        self.watch_lifetime(&sandbox);
        let outcome = if how.start {
            self.go_live(&sandbox, how.hold_main)
        } else {
            Ok(())
        };
        drop(turn);
        if let Err(error) = outcome {
            // Nobody has been told of it: it leaves nothing behind.
            if let Err(error) = self.remove_sandbox(&sandbox, true) {
                tracing::warn!(sandbox = %sandbox.record.id, error = shedbox_spec::error::chain(&error), "cannot remove");
            }
            return Err(error);
        }
        Ok(info(self, &sandbox))
    }

    /// Steps 1 and 2. With what was prepared for such a spec, if anything was.
    fn new_record(
        &self,
        spec: SandboxSpec,
        owner: Option<Owner>,
    ) -> Result<(New, Option<Prepared>)> {
        let found = self.look_up(&spec)?;
        let prepared = self.pool.take(&spec, found.image.as_ref());
        let made = prepared
            .as_ref()
            .map_or_else(|| self.new_id(), |prepared| Ok(prepared.id.clone()))
            .and_then(|id| found.into_new(spec, id))
            .and_then(|mut new| {
                let record = &mut new.record;
                record.name = self.reserve_name(record.spec.name.as_deref(), &record.id)?;
                record.owner = owner;
                Ok(new)
            });
        match (made, prepared) {
            (Ok(new), prepared) => Ok((new, prepared)),
            (Err(error), prepared) => {
                if let Some(prepared) = prepared {
                    self.pool.put_back(prepared);
                }
                Err(error)
            }
        }
    }

    /// Step 1.
    fn look_up(&self, spec: &SandboxSpec) -> Result<Found> {
        match &spec.source {
            Source::Image(reference) => {
                let image = self.resolve_image(reference)?;
                self.found(Some((*image).clone()))
            }
            Source::Rootfs(_) | Source::Host => self.found(None),
        }
    }

    /// The same with an image that is known, or none.
    pub(crate) fn found(&self, image: Option<ImageRecord>) -> Result<Found> {
        let Some(image) = image else {
            return Ok(Found::default());
        };
        let pin = self.store.pin(image.digests());
        Ok(Found {
            defaults: ImageDefaults::from(&*self.store.image_config(&image)?),
            image: Some(image),
            pin: Some(pin),
        })
    }

    /// A record that nobody has asked for yet: without a name.
    pub(crate) fn anonymous_record(&self, spec: SandboxSpec) -> Result<New> {
        self.look_up(&spec)?.into_new(spec, self.new_id()?)
    }

    /// Networks and ports of a new sandbox; those that were taken when it was prepared.
    fn wire_for(&self, new: &New, prepared: Option<&Prepared>) -> Result<Wire> {
        let record = &new.record;
        if let Some(prepared) = prepared {
            self.hold_wire(&prepared.wire, &record.name);
            return Ok(prepared.wire.clone());
        }
        self.settle_wire(&record.spec, &record.name, &new.exposed_ports)
            .or_else(|error| {
                // The address may be one that is kept ahead of need.
                if self.drop_prepared() == 0 {
                    return Err(error);
                }
                self.settle_wire(&record.spec, &record.name, &new.exposed_ports)
            })
    }

    /// Steps 3 to 6. On failure nothing is left but the reserved name.
    fn establish(
        &self,
        record: Record,
        wire: Wire,
        base: Base,
        start: bool,
        prepared: Option<Prepared>,
    ) -> Result<Sandbox, Box<(Record, crate::EngineError)>> {
        let dir = self.paths.sandboxes().join(record.id.as_str());
        let (new, turn) = match prepared {
            Some(prepared) => (prepared.dir, prepared.turn),
            None => match self.blanks.home() {
                Ok(new) => (new, Turn::default()),
                Err(error) => return Err(Box::new((record, error))),
            },
        };
        let socket = self.sandbox_socket(&record.id);
        let link = self.name_link(&record.name);
        let mut sandbox = Sandbox::new(record, Layout { dir: new.clone() }, socket, Life::new());
        *sandbox.wire() = wire;
        *sandbox.bases() = Bases::at(base);
        *sandbox.turn() = turn;
        let outcome = self
            .raise(&sandbox, &link, start)
            .and_then(|()| std::fs::rename(&new, &dir).doing(|| on_path("make directory", &dir)));
        if let Err(error) = outcome {
            self.clear_away(&sandbox, &link, &new);
            return Err(Box::new((sandbox.record, error)));
        }
        sandbox.layout = Layout { dir };
        Ok(sandbox)
    }

    /// Steps 3 to 5.
    fn raise(&self, sandbox: &Sandbox, link: &Path, start: bool) -> Result<()> {
        let (record, layout) = (&sandbox.record, &sandbox.layout);
        let cow = record.cow_mounts();
        if !cow.is_empty() {
            upper::make(&layout.live(), &cow)?;
        }
        let mut turn = sandbox.turn();
        let ready = if start {
            self.take_ready(sandbox, &mut turn)?
        } else {
            None
        };
        let rising = if start && ready.is_none() {
            let order = Order {
                generation: 1,
                place: Place::Live,
                join: None,
            };
            Some(self.begin(sandbox, &mut turn, &order)?)
        } else {
            None
        };
        // While init sets its rootfs up.
        layout.write_record(record)?;
        // A link that is there belongs to nobody: names are unique in the registry.
        remove_socket(link)?;
        std::os::unix::fs::symlink(format!("../{}.sock", record.id), link)
            .doing(|| on_path("make link", link))?;
        if let Some(init) = rising.map(Rising::ready).transpose()?.or(ready) {
            turn.publish(&sandbox.socket)?;
            let mut state = sandbox.state();
            state.life.begin(1, record.created_at);
            state.live = Some(init);
        }
        let wire = sandbox.wire().clone();
        if !wire.endpoints.is_empty() {
            wire.write(&layout.dir)?;
        }
        let saved = sandbox.state().life.to_saved();
        layout.write_state(&saved)
    }

    fn clear_away(&self, sandbox: &Sandbox, link: &Path, new: &Path) {
        if let Some(init) = sandbox.state().live.take() {
            init.destroy();
        }
        self.detach(sandbox, u64::MAX);
        let cleared = remove_socket(link)
            .and_then(|()| sandbox.turn().close_listener(&sandbox.socket))
            .and_then(|()| self.discard_if_there(new));
        if let Err(error) = cleared {
            tracing::warn!(sandbox = %sandbox.record.id, error = shedbox_spec::error::chain(&error), "left for recovery");
        }
    }

    /// Step 7: what `raise` has built begins to serve. Preconditions: the turn.
    fn go_live(&self, sandbox: &Arc<Sandbox>, hold_main: bool) -> Result<()> {
        let init = sandbox.state().live.clone();
        // Absent only when it was killed from outside since; the record says so by now.
        let Some(init) = init else { return Ok(()) };
        self.take_over(sandbox, &init, hold_main)?;
        self.tell(sandbox, Happening::Started);
        self.background.want_spare(sandbox);
        Ok(())
    }

    /// Timer, owner and disk limit of a sandbox that is new to this daemon.
    pub(crate) fn watch_lifetime(&self, sandbox: &Arc<Sandbox>) {
        self.watch_disk(sandbox);
        if let Some(at) = sandbox.record.expires_at {
            let left = at.as_millisecond() - Timestamp::now().as_millisecond();
            let due = std::time::Instant::now()
                + std::time::Duration::from_millis(u64::try_from(left).unwrap_or(0));
            self.background
                .push_at(due, Job::Remove(Arc::downgrade(sandbox)));
        }
        if let Some(owner) = sandbox.record.owner {
            let watched = owner
                .open()
                .map(|pidfd| self.watcher.watch_owner(sandbox, pidfd));
            if !matches!(watched, Some(Ok(()))) {
                self.background.push(Job::Remove(Arc::downgrade(sandbox)));
            }
        }
    }
}

/// Whether a new sandbox is started, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) start: bool,
    pub(crate) hold_main: bool,
}

/// When a lifetime that begins now ends.
fn expiry(ttl_ms: Option<u64>, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(ttl) = ttl_ms else { return Ok(None) };
    let length = SignedDuration::from_millis(i64::try_from(ttl).unwrap_or(i64::MAX));
    match now.checked_add(length) {
        Ok(at) => Ok(Some(at)),
        Err(_) => Err(shedbox_spec::Error::invalid(format!(
            "a lifetime of {ttl} ms is out of range"
        ))
        .into()),
    }
}

/// What a spec is made from.
#[derive(Default)]
pub(crate) struct Found {
    image: Option<ImageRecord>,
    defaults: ImageDefaults,
    pin: Option<PinGuard>,
}

/// A sandbox that is being made.
pub(crate) struct New {
    pub(crate) record: Record,
    pub(crate) exposed_ports: Vec<String>,
    /// Its image stays in the store.
    pub(crate) pin: Option<PinGuard>,
}

impl Found {
    /// The record, with neither name nor owner.
    pub(crate) fn into_new(self, spec: SandboxSpec, id: SandboxId) -> Result<New> {
        let hostname = spec
            .hostname
            .clone()
            .unwrap_or_else(|| id.short().to_owned());
        let resolved = merge(&self.defaults, &spec, &hostname)?;
        let now = Timestamp::now();
        let expires_at = expiry(spec.ttl_ms, now)?;
        let record = Record {
            version: RECORD_VERSION,
            id,
            name: String::new(),
            created_at: now,
            spec,
            image: self.image,
            resolved,
            hostname,
            owner: None,
            expires_at,
            base: None,
        };
        Ok(New {
            record,
            exposed_ports: self.defaults.exposed_ports,
            pin: self.pin,
        })
    }
}

/// Who owns the sandbox: the caller, when it is to be owned.
pub(crate) fn owner(wanted: bool, caller: Option<i32>) -> Result<Option<Owner>> {
    if !wanted {
        return Ok(None);
    }
    match caller.and_then(Owner::of) {
        Some(owner) => Ok(Some(owner)),
        None => Err(shedbox_spec::Error::conflict(
            "the process that is to own the sandbox has ended",
        )
        .into()),
    }
}
