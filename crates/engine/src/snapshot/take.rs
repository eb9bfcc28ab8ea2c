//! Taking a snapshot.
//!
//! A sandbox that does not run: its generation's directory becomes the snapshot, and a fresh one over it takes its place,
//! by one exchange of two names. That costs the same whatever was written.
//!
//! 1. a new, empty directory `snapshots/<id>` with a link `base` to itself-to-be
//! 2. `snapshot.json` into `live/`    3. exchange `live/` and `snapshots/<id>`    4. the tag
//!
//! A sandbox that runs: the kernel leaves undefined what an overlay does whose upper directory becomes the lower one of
//! another. So it is copied while the commands stand still, and they go on in what they had.
//!
//! 1. commands are stopped, where there is a control group    2. copy to `snapshots/.new-<id>`    3. they go on
//! 4. `snapshot.json`, rename to `snapshots/<id>`    5. the tag
//!
//! So it is where a chain has become too long: then the copy is one of the whole chain.
//!
//! What a crash leaves: `.new-*` and directories that nobody uses go at the next start; after the exchange `live/` says
//! that it stands on the snapshot, which therefore stays, without a name until the next reset. Commands that were stopped
//! are adopted as paused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shedbox_spec::api::Status;
use shedbox_spec::api::snapshot::{SnapshotCreate, SnapshotInfo};
use shedbox_spec::mount::Mount;
use shedbox_spec::{Error, Kind, SnapshotId, id};
use shedbox_store::{snapshot, upper};

use super::{About, Base, MAX_DEPTH, Snapshot, write_link};
use crate::Engine;
use crate::disk_limit;
use crate::error::{Doing, Result, on_path};
use crate::sandbox::{Sandbox, Turn};

impl Engine {
    /// Keeps the files of a sandbox as they are, under a tag.
    pub fn snapshot(&self, name: &str, request: &SnapshotCreate) -> Result<SnapshotInfo> {
        let _activity = self.background.activity();
        if let Some(tag) = &request.tag {
            id::validate_tag(tag)?;
        }
        let sandbox = self.find(name)?;
        may_be_kept(&sandbox)?;
        let restarts = request.stop && sandbox.state().life.status == Status::Running;
        if restarts {
            if sandbox.record.spec.auto_remove {
                return Err(Error::conflict(format!(
                    "sandbox `{}` would be removed by stopping it",
                    sandbox.name()
                ))
                .with_hint("take the snapshot while it runs")
                .into());
            }
            self.stop(name, None)?;
        }
        let taken = self.take_tagged(&sandbox, request.tag.as_deref());
        if taken.is_err() {
            // A copy that got no name has no user.
            self.sweep_snapshots();
        }
        if restarts {
            self.start(name, false)?;
        }
        let (tag, snapshot) = taken?;
        Ok(self.snapshot_info(Some((&sandbox, &tag)), &snapshot))
    }

    fn take_tagged(
        &self,
        sandbox: &Arc<Sandbox>,
        tag: Option<&str>,
    ) -> Result<(String, Arc<Snapshot>)> {
        let mut turn = sandbox.turn();
        let tag = {
            let bases = sandbox.bases();
            match tag {
                Some(tag) if bases.tags.contains_key(tag) => {
                    return Err(Error::conflict(format!(
                        "sandbox `{}` has a snapshot `{tag}` already",
                        sandbox.name()
                    ))
                    .with_hint(format!(
                        "choose another tag, or `shedbox snapshot rm {} {tag}` first",
                        sandbox.name()
                    ))
                    .into());
                }
                Some(tag) => tag.to_owned(),
                None => next_number(bases.tags.keys()),
            }
        };
        let snapshot = self.take(sandbox, &mut turn)?;
        sandbox.layout.write_tag(&tag, &snapshot.id)?;
        sandbox
            .bases()
            .tags
            .insert(tag.clone(), Arc::clone(&snapshot));
        Ok((tag, snapshot))
    }

    /// A snapshot of now, which lives for as long as somebody holds it.
    pub(crate) fn take_nameless(&self, sandbox: &Arc<Sandbox>) -> Result<Arc<Snapshot>> {
        may_be_kept(sandbox)?;
        let mut turn = sandbox.turn();
        self.take(sandbox, &mut turn)
    }

    /// Preconditions: the turn.
    fn take(&self, sandbox: &Arc<Sandbox>, turn: &mut Turn) -> Result<Arc<Snapshot>> {
        sandbox.state().life.may_reset(&sandbox.name())?;
        let mut bytes = [0; 16];
        self.fill_random(&mut bytes)?;
        let id = SnapshotId::from_bytes(&bytes);
        let below = sandbox.bases().live.clone();
        let depth = below.as_ref().map_or(0, |below| below.chain().count());
        let runs = sandbox.state().life.status == Status::Running;
        if runs || depth >= MAX_DEPTH {
            self.require_room()?;
            self.copy(sandbox, id, below, depth >= MAX_DEPTH)
        } else {
            turn.end_files();
            // One that stands ready is mounted on what is about to become the snapshot.
            turn.end_ready();
            self.push_below(sandbox, id, below)
        }
    }

    /// The directory becomes the snapshot. Preconditions: the turn; nothing runs.
    fn push_below(&self, sandbox: &Sandbox, id: SnapshotId, below: Base) -> Result<Arc<Snapshot>> {
        let live = sandbox.layout.live();
        let place = self.snapshots.place(&id);
        let cow = sandbox.record.cow_mounts();
        // What overlay has left in scratch directories is of no use, and there may be no upper directory at all.
        self.renew_work(sandbox)?;
        for work in work_directories(&live, &cow) {
            std::fs::remove_dir(&work).doing(|| on_path("remove", &work))?;
        }
        let about = About::now(true, Vec::new());
        about.write(&live)?;
        write_link(&live, &below)?;
        self.blanks.generation(&place)?;
        self.background.want_refill();
        let exchanged = upper::make(&place, &cow)
            .map_err(Into::into)
            .and_then(|()| super::bases::link_to(&place, &id))
            .and_then(|()| Ok(upper::swap(&live, &place)?));
        if let Err(error) = exchanged {
            self.discard_if_there(&place)?;
            return Err(error);
        }
        let snapshot = self.snapshots.enter(id, about, below);
        sandbox.bases().live = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// A copy of what the sandbox has written, with `whole` also of all that it stands on. Preconditions: the turn.
    fn copy(
        &self,
        sandbox: &Arc<Sandbox>,
        id: SnapshotId,
        below: Base,
        whole: bool,
    ) -> Result<Arc<Snapshot>> {
        let place = self.snapshots.place(&id);
        let new = self.snapshots.place_of_new(&id);
        let outcome = self
            .copy_to(sandbox, &new, &below, whole)
            .and_then(|about| {
                let parent = if whole { None } else { below };
                about.write(&new)?;
                write_link(&new, &parent)?;
                std::fs::rename(&new, &place).doing(|| on_path("make directory", &place))?;
                Ok(self.snapshots.enter(id, about, parent))
            });
        if outcome.is_err() {
            self.discard_if_there(&new)?;
        }
        outcome
    }

    fn copy_to(
        &self,
        sandbox: &Arc<Sandbox>,
        new: &Path,
        below: &Base,
        whole: bool,
    ) -> Result<About> {
        let cow = sandbox.record.cow_mounts();
        upper::make(new, &cow)?;
        for work in work_directories(new, &cow) {
            std::fs::remove_dir(&work).doing(|| on_path("remove", &work))?;
        }
        let mut from = vec![sandbox.layout.live()];
        if let Some(below) = below.as_ref().filter(|_| whole) {
            from.extend(below.chain().map(|snapshot| snapshot.dir.clone()));
        }
        // A merged copy may have to know what lies under it.
        let mut trees = vec![("upper".to_owned(), self.own_lowers(sandbox)?)];
        for index in cow {
            if let Some(Mount::Bind { source, .. }) = sandbox.record.spec.mounts.get(index) {
                trees.push((format!("cow/{index}/upper"), vec![PathBuf::from(source)]));
            }
        }
        let (warnings, consistent) = self.read_still(sandbox, true, || {
            let mut warnings = Vec::new();
            for (tree, lowers) in &trees {
                let uppers: Vec<PathBuf> = from.iter().map(|dir| dir.join(tree)).collect();
                let trash = self.store.trash();
                warnings.extend(snapshot::copy(&uppers, lowers, &new.join(tree), trash)?);
            }
            Ok(warnings)
        })?;
        Ok(About::now(consistent, warnings))
    }
}

/// Refuses a sandbox whose upper directory nobody outside of it sees.
fn may_be_kept(sandbox: &Sandbox) -> Result<()> {
    if !disk_limit::is_in_memory(&sandbox.record) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unsupported,
        format!(
            "what `{}` has written is in memory, inside of it alone: there is nothing a snapshot could keep",
            sandbox.name()
        ),
    )
    .with_hint("use another backing for its disk limit")
    .into())
}

/// The scratch directories of a generation's directory.
fn work_directories(dir: &Path, cow: &[usize]) -> Vec<PathBuf> {
    std::iter::once(dir.join("work"))
        .chain(
            cow.iter()
                .map(|index| dir.join(format!("cow/{index}/work"))),
        )
        .collect()
}

/// One above the highest number that is a tag.
fn next_number<'a>(tags: impl Iterator<Item = &'a String>) -> String {
    let highest = tags.filter_map(|tag| tag.parse::<u64>().ok()).max();
    highest.unwrap_or(0).saturating_add(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_numbered() {
        let next = |tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            next_number(tags.iter())
        };
        assert_eq!(next(&[]), "1");
        assert_eq!(next(&["a", "1"]), "2");
        assert_eq!(next(&["9", "10", "x11"]), "11");
    }
}
