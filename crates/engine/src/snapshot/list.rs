//! Which snapshots there are, and the end of a name.

use std::collections::BTreeMap;
use std::sync::Arc;

use shedbox_spec::SnapshotId;
use shedbox_spec::api::snapshot::SnapshotInfo;

use super::Snapshot;
use super::bases::is_same;
use crate::Engine;
use crate::error::Result;
use crate::sandbox::Sandbox;

impl Engine {
    /// The snapshots of a sandbox, oldest first.
    pub fn snapshots_of(&self, name: &str) -> Result<Vec<SnapshotInfo>> {
        let sandbox = self.find(name)?;
        let tags = sandbox.bases().tags.clone();
        let mut list = tags
            .iter()
            .map(|(tag, snapshot)| self.counted_info(Some((&sandbox, tag)), snapshot))
            .collect::<Result<Vec<_>>>()?;
        list.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        Ok(list)
    }

    /// All snapshots, oldest first; those without a name, too.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let mut nameless = self.snapshots.all();
        let sandboxes = self.registry().all();
        let mut list = Vec::new();
        for sandbox in sandboxes {
            let tags = sandbox.bases().tags.clone();
            for (tag, snapshot) in tags {
                nameless.retain(|other| other.id != snapshot.id);
                list.push(self.counted_info(Some((&sandbox, &tag)), &snapshot)?);
            }
        }
        for snapshot in nameless {
            list.push(self.counted_info(None, &snapshot)?);
        }
        list.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        Ok(list)
    }

    /// One snapshot.
    pub fn inspect_snapshot(&self, name: &str, tag: &str) -> Result<SnapshotInfo> {
        let sandbox = self.find(name)?;
        let snapshot = sandbox.bases().tagged(tag, &sandbox.name())?;
        self.counted_info(Some((&sandbox, tag)), &snapshot)
    }

    fn counted_info(
        &self,
        named: Option<(&Sandbox, &str)>,
        snapshot: &Snapshot,
    ) -> Result<SnapshotInfo> {
        Ok(SnapshotInfo {
            bytes: Some(snapshot.usage()?.bytes),
            ..self.snapshot_info(named, snapshot)
        })
    }

    /// What a snapshot looks like, its room not counted.
    pub(super) fn snapshot_info(
        &self,
        named: Option<(&Sandbox, &str)>,
        snapshot: &Snapshot,
    ) -> SnapshotInfo {
        let sandboxes = self.registry().all();
        let used_by = sandboxes
            .iter()
            .filter(|sandbox| {
                let bases = sandbox.bases();
                [&bases.home, &bases.live]
                    .into_iter()
                    .flatten()
                    .any(|base| base.chain().any(|below| below.id == snapshot.id))
            })
            .map(|sandbox| sandbox.name().to_string())
            .collect();
        SnapshotInfo {
            id: snapshot.id.clone(),
            sandbox: named.map(|(sandbox, _)| sandbox.name().to_string()),
            tag: named.map(|(_, tag)| tag.to_owned()),
            created_at: snapshot.about.created_at.to_string(),
            parent: snapshot.parent.as_ref().map(|parent| parent.id.clone()),
            depth: snapshot.chain().count(),
            bytes: None,
            consistent: snapshot.about.consistent,
            warnings: snapshot.about.warnings.clone(),
            used_by,
        }
    }

    /// Takes the name of a snapshot away. Its files go with their last user: the sandboxes that stand on them, and the
    /// snapshots over it.
    pub fn remove_snapshot(&self, name: &str, tag: &str) -> Result<()> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let turn = sandbox.turn();
        sandbox.state().life.may_reset(&sandbox.name())?;
        let snapshot = sandbox.bases().tagged(tag, &sandbox.name())?;
        sandbox.layout.remove_tag(tag)?;
        sandbox.bases().tags.remove(tag);
        let (ahead, home) = {
            let bases = sandbox.bases();
            (bases.ahead.clone(), bases.home.clone())
        };
        // No restore can ask for it any more.
        let aimed = is_same(&ahead, &Some(Arc::clone(&snapshot))) && !is_same(&ahead, &home);
        drop((ahead, snapshot));
        if aimed {
            sandbox.aim(home);
        }
        drop(turn);
        if aimed {
            self.background
                .push(crate::background::Job::Tidy(Arc::clone(&sandbox), None));
        }
        self.sweep_snapshots();
        Ok(())
    }

    /// The snapshots that a sandbox uses, with the room that each takes, for who counts what goes with it.
    pub(crate) fn used_snapshots(sandbox: &Sandbox) -> BTreeMap<SnapshotId, u64> {
        let bases = sandbox.bases().clone();
        let ends = bases.tags.into_values().chain(bases.live).chain(bases.home);
        let mut used = BTreeMap::new();
        for end in ends {
            for snapshot in end.chain() {
                let bytes = snapshot.usage().map_or(0, |usage| usage.bytes);
                used.insert(snapshot.id.clone(), bytes);
            }
        }
        used
    }

    /// Whether somebody still uses a snapshot.
    pub(crate) fn is_snapshot_used(&self, id: &SnapshotId) -> bool {
        self.snapshots.known().contains_key(id)
    }
}
