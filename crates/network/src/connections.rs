//! The connections that are carried for one owner: how many at most, and the end of all of them at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shedbox_linux::tcp;
use tokio::net::TcpStream;

/// A set of connections with a limit.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    next: u64,
    live: HashMap<u64, Vec<Arc<TcpStream>>>,
}

/// A connection of the set, until it goes away.
#[derive(Debug)]
pub(crate) struct Entry {
    set: Arc<Connections>,
    number: u64,
    client: Arc<TcpStream>,
}

impl Connections {
    /// An empty set.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
        })
    }

    /// Takes a new connection in. `None`: there are too many or the set has been closed, and it has been reset.
    pub(crate) fn enter(self: &Arc<Self>, client: TcpStream) -> Option<Entry> {
        let mut state = self.lock();
        if state.closed || state.live.len() >= self.limit {
            // It goes either way.
            let _ = tcp::abort(&client);
            return None;
        }
        let client = Arc::new(client);
        let number = state.next;
        state.next += 1;
        state.live.insert(number, vec![Arc::clone(&client)]);
        Some(Entry {
            set: Arc::clone(self),
            number,
            client,
        })
    }

    /// Resets all connections, and from now on each that would enter.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for stream in state.live.values().flatten() {
            // One that has ended by itself has nothing to reset.
            let _ = tcp::abort(stream);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().live.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whose connection it is.
    pub(crate) fn client(&self) -> &TcpStream {
        &self.client
    }

    /// The other side of it. `None`: the set has been closed meanwhile.
    pub(crate) fn join(&self, server: TcpStream) -> Option<Arc<TcpStream>> {
        let mut state = self.set.lock();
        if state.closed {
            return None;
        }
        let server = Arc::new(server);
        state
            .live
            .entry(self.number)
            .or_default()
            .push(Arc::clone(&server));
        Some(server)
    }

    /// Carries it until it ends.
    pub(crate) async fn carry(self, server: TcpStream) {
        let Some(server) = self.join(server) else {
            return;
        };
        if let Err(error) = crate::relay::between(self.client(), &server).await {
            tracing::debug!(%error, "a carried connection failed");
        }
    }

    /// Resets it: there is nobody to carry it to.
    pub(crate) fn refuse(self) {
        let _ = tcp::abort(self.client());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.set.lock().live.remove(&self.number);
    }
}
