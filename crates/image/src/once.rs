//! One fetch per layer, however many pulls want it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use shedbox_spec::Digest;
use tokio::sync::watch;

/// Layers being fetched now, by diff id.
#[derive(Default)]
pub(crate) struct OnceMap {
    running: Mutex<HashMap<Digest, watch::Receiver<()>>>,
}

/// Whose turn it is.
pub(crate) enum Turn {
    /// Ours. The others wait until this is dropped, and then look whether the layer is there.
    Lead(Lead),
    /// Somebody else's.
    Wait(Wait),
}

/// The right to fetch. Dropping it, for whatever reason, lets the others look again.
pub(crate) struct Lead {
    map: Arc<OnceMap>,
    key: Digest,
    /// Never used to send: its end is the message.
    _end: watch::Sender<()>,
}

/// Somebody else's fetch.
pub(crate) struct Wait(watch::Receiver<()>);

impl OnceMap {
    /// Takes the lead for `key`, or says whom to wait for.
    pub(crate) fn enter(self: &Arc<Self>, key: &Digest) -> Turn {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.entry(key.clone()) {
            Entry::Occupied(entry) => Turn::Wait(Wait(entry.get().clone())),
            Entry::Vacant(entry) => {
                let (end, receiver) = watch::channel(());
                entry.insert(receiver);
                Turn::Lead(Lead {
                    map: Arc::clone(self),
                    key: key.clone(),
                    _end: end,
                })
            }
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Out of the map first (the sender goes after this body): who wakes up must not find the old entry.
        let mut running = self
            .map
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.key);
    }
}

impl Wait {
    /// Until the other one has ended, well or badly.
    pub(crate) async fn ended(mut self) {
        // Nothing is ever sent: the only thing that ends this is the sender's end, an error.
        while self.0.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_leads_and_the_next_takes_over() {
        let map = Arc::new(OnceMap::default());
        let key = Digest::from_bytes(&[1; 32]);
        let Turn::Lead(first) = map.enter(&key) else {
            panic!("nobody else is there");
        };
        let Turn::Wait(wait) = map.enter(&key) else {
            panic!("the first one leads");
        };
        assert!(matches!(
            map.enter(&Digest::from_bytes(&[2; 32])),
            Turn::Lead(_)
        ));
        let woken = tokio::spawn(wait.ended());
        tokio::task::yield_now().await;
        assert!(!woken.is_finished());
        drop(first);
        woken.await.unwrap();
        assert!(matches!(map.enter(&key), Turn::Lead(_)));
    }
}
