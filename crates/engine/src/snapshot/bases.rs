//! What the files of one sandbox lie on.
//!
//! The directory of a generation says so itself: its link `base` names a snapshot, and moves with it when `live/` and
//! `spare/` are exchanged. Without one it is what the sandbox goes back to by a reset.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use shedbox_spec::{Error, SnapshotId};

use super::{Snapshot, Snapshots};
use crate::error::{Doing, Result, on_path};
use crate::record::{Layout, Record};
use crate::sandbox::Sandbox;

/// A snapshot; `None` is what the sandbox was made from.
pub(crate) type Base = Option<Arc<Snapshot>>;

/// Name of the link in the directory of a generation or a snapshot.
const LINK: &str = "base";

/// The snapshots that a sandbox uses. Changed with the turn only.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bases {
    /// Where a reset goes back to: the fork point. Does not change.
    pub(crate) home: Base,
    /// Of `live/`.
    pub(crate) live: Base,
    /// What the spare stands on, when there is one: that of the last reset or restore, because the next one is likely the
    /// same.
    pub(crate) ahead: Base,
    /// Its own snapshots, by name.
    pub(crate) tags: BTreeMap<String, Arc<Snapshot>>,
}

impl Bases {
    /// Those of a sandbox that starts from `home`.
    pub(crate) fn at(home: Base) -> Self {
        Self {
            live: home.clone(),
            ahead: home.clone(),
            home,
            tags: BTreeMap::new(),
        }
    }

    /// Looks what a sandbox on the disk uses. `None` when it has lost what it stands on, which only a power loss can have
    /// done.
    pub(crate) fn read(
        snapshots: &Snapshots,
        layout: &Layout,
        record: &Record,
    ) -> Result<Option<Self>> {
        let mut bases = Self::default();
        if let Some(id) = &record.base {
            match snapshots.load(id)? {
                Some(home) => bases = Self::at(Some(home)),
                None => return Ok(None),
            }
        }
        if let Some(id) = read_link(&layout.live())? {
            match snapshots.load(&id)? {
                Some(live) => bases.live = Some(live),
                None => return Ok(None),
            }
        }
        for (tag, id) in layout.read_tags()? {
            if let Some(snapshot) = snapshots.load(&id)? {
                bases.tags.insert(tag, snapshot);
            } else {
                tracing::warn!(sandbox = %record.id, tag, "a snapshot is not whole; its name goes");
                layout.remove_tag(&tag)?;
            }
        }
        Ok(Some(bases))
    }

    /// A snapshot by name.
    pub(crate) fn tagged(&self, tag: &str, sandbox: &str) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.tags.get(tag) {
            return Ok(Arc::clone(snapshot));
        }
        shedbox_spec::id::validate_tag(tag)?;
        Err(
            Error::not_found(format!("sandbox `{sandbox}` has no snapshot `{tag}`"))
                .with_hint(format!("`shedbox snapshot ls {sandbox}` lists them"))
                .into(),
        )
    }
}

/// Whether two are the same.
pub(super) fn is_same(one: &Base, other: &Base) -> bool {
    one.as_ref().map(|snapshot| &snapshot.id) == other.as_ref().map(|snapshot| &snapshot.id)
}

impl Sandbox {
    /// The next generation is to stand on `base`: a spare that stands on another one goes. Preconditions: the turn.
    pub(crate) fn aim(&self, base: Base) {
        if !is_same(&self.bases().ahead, &base) {
            self.drop_spare();
            self.bases().ahead = base;
        }
    }

    /// What was in `spare/` is in `live/`. Preconditions: the turn.
    pub(crate) fn stand_on_what_was_aimed_at(&self) {
        let mut bases = self.bases();
        let ahead = bases.ahead.clone();
        bases.live = ahead;
    }
}

/// Which snapshot the directory of a generation, or of a snapshot, says that it lies on.
pub(super) fn read_link(dir: &Path) -> Result<Option<SnapshotId>> {
    read_id(&dir.join(LINK))
}

/// Says what a directory lies on.
pub(crate) fn write_link(dir: &Path, base: &Base) -> Result<()> {
    match base {
        Some(base) => link_to(dir, &base.id),
        None => Ok(()),
    }
}

pub(super) fn link_to(dir: &Path, id: &SnapshotId) -> Result<()> {
    let link = dir.join(LINK);
    match std::os::unix::fs::symlink(id.as_str(), &link) {
        // That of a kept directory says the same.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.doing(|| on_path("make link", &link)),
    }
}

/// The id at the end of a link's target; `None` when there is no such link.
pub(crate) fn read_id(link: &Path) -> Result<Option<SnapshotId>> {
    let target = match std::fs::read_link(link) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(|| on_path("read link", link)),
    };
    let id = target.file_name().and_then(|name| name.to_str());
    Ok(Some(SnapshotId::try_from(
        id.unwrap_or_default().to_owned(),
    )?))
}
