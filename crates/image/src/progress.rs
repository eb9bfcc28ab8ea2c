//! Progress of a pull or load, as events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shedbox_spec::Digest;
use shedbox_spec::api::{LayerState, PullEvent};

/// Where events go. Called from several threads, in the order of each layer's own life.
pub type Events = Arc<dyn Fn(PullEvent) + Send + Sync>;

/// Pause between two progress events of one layer: what a person sees as smooth.
const INTERVAL: Duration = Duration::from_millis(100);

/// One layer's progress.
pub(crate) struct LayerProgress {
    events: Events,
    digest: Digest,
    downloaded: AtomicU64,
    extracted: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl LayerProgress {
    pub(crate) fn new(events: Events, digest: Digest) -> Self {
        Self {
            events,
            digest,
            downloaded: AtomicU64::new(0),
            extracted: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    /// Something happened to the layer.
    pub(crate) fn state(&self, state: LayerState) {
        (self.events)(PullEvent::Layer {
            digest: self.digest.clone(),
            state,
        });
    }

    /// More bytes have arrived.
    pub(crate) fn downloaded(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
        self.tick(false);
    }

    /// So many bytes have been consumed by the extraction, in all.
    pub(crate) fn extracted(&self, total: u64) {
        self.extracted.store(total, Ordering::Relaxed);
        self.tick(false);
    }

    /// So many bytes have been extracted in all, from a file: arriving and extracting are one.
    pub(crate) fn local(&self, total: u64) {
        self.downloaded.store(total, Ordering::Relaxed);
        self.extracted(total);
    }

    /// From the start again.
    pub(crate) fn restart(&self) {
        self.downloaded.store(0, Ordering::Relaxed);
        self.extracted.store(0, Ordering::Relaxed);
    }

    /// The layer is in the store.
    pub(crate) fn done(&self) {
        self.tick(true);
        self.state(LayerState::Done);
    }

    fn tick(&self, now: bool) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now || last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            *last = Some(Instant::now());
            // Under the lock, so that numbers never go backwards for the receiver.
            self.state(LayerState::Progress {
                downloaded: self.downloaded.load(Ordering::Relaxed),
                extracted: self.extracted.load(Ordering::Relaxed),
            });
        }
    }
}
