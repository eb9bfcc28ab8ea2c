//! What has reached the disk.
//!
//! Nothing is fsynced while images are pulled: on ext4 one fsync would write out everything else first. Instead each
//! commit leaves a marker `unsynced/<kind>-<hex>.<boot id>` *before* its rename, and a thread calls syncfs some seconds
//! after the last commit and then removes the markers. A marker of another boot means that the machine went down in
//! between; journalling file systems keep the order of the marker and the rename, so nothing unsafe is without one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shedbox_linux::errno::Errno;
use shedbox_linux::{disk, path};
use shedbox_spec::Digest;

use crate::Result;
use crate::error::Doing;
use crate::name::fresh;
use crate::root::{names_in, remove_temporary};

/// Quiet time after the last commit before syncfs runs: a pull of many layers is synced once.
const QUIET: Duration = Duration::from_secs(3);
/// Longest delay while commits keep coming.
const PATIENCE: Duration = Duration::from_mins(1);

/// The identity of a boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot(String);

impl Boot {
    /// Source: `/proc/sys/kernel/random/boot_id`, random(4).
    pub(crate) fn current() -> Result<Self> {
        let path = "/proc/sys/kernel/random/boot_id";
        let text = std::fs::read_to_string(path).doing(|| format!("read `{path}`"))?;
        Ok(Self(text.trim().to_owned()))
    }
}

/// What may not have reached the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Marker {
    /// A layer, by diff id.
    Layer(Digest),
    /// An image's record and blobs, by manifest digest.
    Image(Digest),
}

impl Marker {
    fn name(&self, boot: &Boot) -> String {
        match self {
            Self::Layer(digest) => format!("layer-{}.{}", digest.hex(), boot.0),
            Self::Image(digest) => format!("image-{}.{}", digest.hex(), boot.0),
        }
    }

    /// Parses a marker's file name.
    pub(crate) fn parse(name: &str) -> Option<(Self, Boot)> {
        let (what, boot) = name.split_once('.')?;
        let (kind, hex) = what.split_once('-')?;
        let digest = Digest::parse(&format!("sha256:{hex}")).ok()?;
        let marker = match kind {
            "layer" => Self::Layer(digest),
            "image" => Self::Image(digest),
            _ => return None,
        };
        Some((marker, Boot(boot.to_owned())))
    }
}

/// Marks commits and syncs them later. Its thread ends soon after the last handle.
#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    dir: OwnedFd,
    boot: Boot,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// When the oldest and the newest commit that is not synced were made.
    dirty: Option<(Instant, Instant)>,
    stop: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Two plain values: a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self) -> Result<()> {
        let unsynced = self.root.join("unsynced");
        let markers = names_in(&unsynced)?;
        // The references as they are now will be on disk when this is over: the copy to fall back to.
        let copy = format!("ingest/{}", fresh());
        let copied = match path::link_at(&self.dir, "refs.json", &self.dir, &copy) {
            Ok(()) => true,
            Err(error) if error.errno == Errno::ENOENT => false,
            Err(error) => return Err(error).doing(|| "keep a copy of refs.json".to_owned()),
        };
        disk::sync_file_system(&self.dir)
            .doing(|| format!("sync the file system of `{}`", self.root.display()))?;
        if copied {
            path::rename_at(
                &self.dir,
                &copy,
                &self.dir,
                "refs.synced.json",
                path::Rename::Replace,
            )
            .doing(|| "keep a copy of refs.json".to_owned())?;
            // A rename between two names of one file does nothing and leaves both.
            remove_temporary(&self.dir, &copy);
        }
        for marker in markers {
            remove_temporary(&self.dir, &format!("unsynced/{marker}"));
        }
        Ok(())
    }
}

impl Syncer {
    /// Starts the thread for the store at `root`.
    pub(crate) fn start(root: &Path, boot: Boot) -> Result<Self> {
        let dir = path::open_dir(root).doing(|| format!("open `{}`", root.display()))?;
        let left = !names_in(&root.join("unsynced"))?.is_empty();
        let now = Instant::now();
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            dir,
            boot,
            state: Mutex::new(State {
                dirty: left.then_some((now, now)),
                stop: false,
            }),
            wake: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("store-sync".to_owned())
            .spawn(move || work(&worker))
            .doing(|| "start the sync thread".to_owned())?;
        Ok(Self { shared })
    }

    /// Leaves a marker. To be called before the rename that makes the thing visible.
    pub(crate) fn mark(&self, marker: &Marker) -> Result<()> {
        let name = format!("unsynced/{}", marker.name(&self.shared.boot));
        match path::create_at(&self.shared.dir, &name, 0o600) {
            Err(error) if error.errno != Errno::EEXIST => {
                return Err(error).doing(|| format!("create `{name}`"));
            }
            _ => {}
        }
        let now = Instant::now();
        let mut state = self.shared.state();
        let first = state.dirty.map_or(now, |(first, _)| first);
        state.dirty = Some((first, now));
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Syncs at once.
    pub(crate) fn sync_now(&self) -> Result<()> {
        self.shared.sync()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.wake.notify_one();
        // Not joined: a syncfs may take long, and what it does not finish is marked.
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state();
    while !state.stop {
        let Some((first, last)) = state.dirty else {
            state = shared
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let due = (last + QUIET).min(first + PATIENCE);
        let now = Instant::now();
        if now < due {
            let (next, _) = shared
                .wake
                .wait_timeout(state, due - now)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            continue;
        }
        state.dirty = None;
        drop(state);
        let done = shared.sync();
        state = shared.state();
        if let Err(error) = done {
            let text = shedbox_spec::error::chain(&error);
            tracing::warn!("{text}");
            let now = Instant::now();
            // Tried again, at the slow pace: a failing disk needs no hurry.
            let retry = now + PATIENCE;
            state.dirty = state.dirty.or(Some((retry, retry)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marker_names() {
        let boot = Boot("6f-7".to_owned());
        let digest = Digest::from_bytes(&[0xab; 32]);
        for marker in [Marker::Layer(digest.clone()), Marker::Image(digest)] {
            let name = marker.name(&boot);
            assert_eq!(Marker::parse(&name), Some((marker, boot.clone())));
        }
        assert_eq!(Marker::parse("layer-12.x"), None);
        assert_eq!(Marker::parse("garbage"), None);
    }

    #[test]
    fn a_boot_has_one_id() {
        assert_eq!(Boot::current().unwrap(), Boot::current().unwrap());
    }
}
