//! Room for what a sandbox writes: its upper directory and its copy-on-write volumes.
//!
//! - *tmpfs*: init makes both in a memory file system of that size; the kernel refuses what does not fit.
//! - *quota*: the file system counts a project for us; the kernel refuses what does not fit.
//! - *watchdog*: nobody refuses anything; the [`watchdog`] ends a sandbox that has taken more.

mod usage;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shedbox_linux::{disk, path};
use shedbox_spec::api::DiskUse;
use shedbox_spec::control::{DieReason, Request};
use shedbox_spec::error::chain;
use shedbox_spec::exec::{DiskUnit, End};
use shedbox_spec::generation::DiskRoom;
use shedbox_spec::limits::{DiskBacking, DiskLimit};

use shedbox_spec::{Error, Kind};
pub(crate) use usage::{Usage, of_tree as usage_below};
pub(crate) use watchdog::Watchdog;

use crate::Engine;
use crate::error::{Doing, Result, on_path};
use crate::init;
use crate::life::cut_short;
use crate::record::Record;
use crate::sandbox::Sandbox;

/// What a sandbox had taken when the watchdog last looked; for listings.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// 0: nobody has looked. A tree is never empty, its top counts.
    inodes: AtomicU64,
    bytes: AtomicU64,
}

impl Gauge {
    fn set(&self, usage: Usage) {
        self.bytes.store(usage.bytes, Ordering::Relaxed);
        self.inodes.store(usage.inodes, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Usage> {
        let usage = Usage {
            bytes: self.bytes.load(Ordering::Relaxed),
            inodes: self.inodes.load(Ordering::Relaxed),
        };
        (usage.inodes > 0).then_some(usage)
    }
}

impl Engine {
    /// Watches a sandbox that is new to this daemon, when its limit is ours to enforce.
    pub(crate) fn watch_disk(&self, sandbox: &Arc<Sandbox>) {
        if let Some(limit) = &sandbox.record.spec.limits.disk
            && limit.backing == DiskBacking::Watchdog
        {
            let limit = Usage {
                bytes: limit.bytes,
                inodes: limit.inodes.unwrap_or(u64::MAX),
            };
            self.watchdog.add(sandbox, limit);
        }
    }
}

/// Refuses a limit that cannot be enforced the way it was asked for, and settles how an open one is.
pub(crate) fn settle(limit: &mut DiskLimit) -> Result<()> {
    match limit.backing {
        DiskBacking::Auto => limit.backing = DiskBacking::Watchdog,
        DiskBacking::Tmpfs | DiskBacking::Watchdog => {}
        DiskBacking::Quota => {
            return Err(Error::new(
                Kind::Unsupported,
                "project quotas belong to root of the host, and the daemon is root only in its user namespace",
            )
            .with_hint("use `backing=tmpfs` or `backing=watchdog`")
            .into());
        }
    }
    Ok(())
}

/// What the tree of a generation takes now. `None` when that generation has gone.
fn usage_of(sandbox: &Arc<Sandbox>, generation: u64) -> Result<Option<Usage>> {
    let dir = sandbox.layout.live();
    let top = path::open_dir(&dir).doing(|| on_path("open", &dir))?;
    // The directory was opened; if the generation is still the same now, it was its own.
    let init = {
        let state = sandbox.state();
        if state.life.generation != generation {
            return Ok(None);
        }
        state.live.clone()
    };
    let named = usage::of_tree(top).doing(|| on_path("count", &dir))?;
    let held = init
        .and_then(|init| proc_inside(init.pid))
        .map(|proc| usage::of_held(&proc))
        .unwrap_or_default();
    let usage = named.plus(held);
    sandbox.gauge.set(usage);
    Ok(Some(usage))
}

/// Ends every process of a generation that has taken more than it may. The sandbox is there still: a reset sheds
/// what it has written. Takes no turn, so it waits for nobody.
fn end_above(sandbox: &Arc<Sandbox>, generation: u64, used: Usage, limit: Usage) {
    let (unit, used, limit) = if used.bytes > limit.bytes {
        (DiskUnit::Bytes, used.bytes, limit.bytes)
    } else {
        (DiskUnit::Inodes, used.inodes, limit.inodes)
    };
    let init = {
        let mut state = sandbox.state();
        if state.life.generation != generation {
            return;
        }
        let end = End::DiskLimit {
            status: 137,
            unit,
            used,
            limit,
        };
        state.life.result.get_or_insert_with(|| cut_short(end));
        state.live.clone()
    };
    let Some(init) = init else { return };
    tracing::info!(sandbox = %sandbox.record.id, used, limit, "ended: above its disk limit");
    let reason = DieReason::DiskLimit { unit, used, limit };
    if let Err(error) = init::ask(&sandbox.socket, &Request::Die { reason }) {
        tracing::warn!(sandbox = %sandbox.record.id, error = chain(&error), "killing init itself");
        init.destroy();
    }
}

/// The upper directory is in a memory file system that nobody outside sees.
pub(crate) fn is_in_memory(record: &Record) -> bool {
    room(record).is_some_and(|room| room.in_memory)
}

/// The room of a generation, as init has to know it.
pub(crate) fn room(record: &Record) -> Option<DiskRoom> {
    record.spec.limits.disk.as_ref().map(|limit| DiskRoom {
        bytes: limit.bytes,
        inodes: limit.inodes,
        in_memory: limit.backing == DiskBacking::Tmpfs,
        by_file_system: matches!(limit.backing, DiskBacking::Tmpfs | DiskBacking::Quota),
    })
}

/// How the limit of a sandbox is enforced, for listings.
pub(crate) fn disk_use(sandbox: &Sandbox, init: Option<i32>) -> Option<DiskUse> {
    let limit = sandbox.record.spec.limits.disk.as_ref()?;
    let used = match limit.backing {
        DiskBacking::Watchdog | DiskBacking::Auto => sandbox.gauge.get(),
        // The file system counts, and the overlay over it tells.
        DiskBacking::Tmpfs | DiskBacking::Quota => init.and_then(room_inside),
    };
    Some(DiskUse {
        backing: limit.backing,
        limit_bytes: limit.bytes,
        limit_inodes: limit.inodes,
        used_bytes: used.map(|used| used.bytes),
        used_inodes: used.map(|used| used.inodes),
    })
}

fn room_inside(init: i32) -> Option<Usage> {
    let top = path::open_dir(format!("/proc/{init}/root").as_ref()).ok()?;
    let room = disk::room(top).ok()?;
    Some(Usage {
        bytes: room.total_bytes.saturating_sub(room.free_bytes),
        inodes: room.total_inodes.saturating_sub(room.free_inodes),
    })
}

/// The `/proc` that init has mounted in its sandbox: it lists no other processes.
fn proc_inside(init: i32) -> Option<std::os::fd::OwnedFd> {
    let root = path::open_dir(format!("/proc/{init}/root").as_ref()).ok()?;
    path::open_dir_at(&root, "proc").ok()
}
