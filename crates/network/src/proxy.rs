//! The proxy that reads names: connections to port 80 and 443 of addresses that are allowed because of a name.
//!
//! Addresses are shared by many names. The firewall sends such connections here; the first bytes say whom they want, and
//! only what the policy allows is carried on. Everything else is reset, and so is what does not say clearly whom it wants:
//! it could name somebody else later.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shedbox_linux::tcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::acceptor::Acceptor;
use crate::audit::{Audit, Event, EventKind};
use crate::connections::{Connections, Entry};
use crate::directory::{Directory, Member};
use crate::inspect::{Found, LOOK_MAX, look};
use crate::policy;
use crate::quota::Quota;
use crate::wall::Wall;

/// Most connections that are carried for one sandbox.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to say whom it wants.
const NAME_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Most names that are remembered with a connection.
const NAMES_MAX: usize = 32;

/// The proxy.
pub struct Proxy {
    directory: Arc<Directory>,
    wall: Arc<dyn Wall>,
    audit: Arc<Audit>,
    /// Connections, also those that have not said yet whom they want.
    places: Arc<Quota>,
    /// By sandbox, and what they are connected to.
    carried: Mutex<HashMap<String, HashMap<Wanted, Arc<Connections>>>>,
}

/// Whom a connection is to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    name: Option<String>,
    destination: SocketAddr,
    /// Names that had led there when it began. Answers end, and are forgotten with a policy; the connection goes on.
    led_there: Vec<String>,
}

impl Proxy {
    /// Nothing is carried yet.
    pub fn new(directory: Arc<Directory>, wall: Arc<dyn Wall>, audit: Arc<Audit>) -> Arc<Self> {
        Arc::new(Self {
            directory,
            wall,
            audit,
            places: Quota::new(CONNECTIONS_MAX),
            carried: Mutex::default(),
        })
    }

    /// Accepts redirected connections at a listener of the gateway's namespace, for ever.
    pub async fn serve(self: Arc<Self>, listener: std::net::TcpListener) {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the proxy that reads names does not run");
                return;
            }
        };
        let acceptor = Acceptor::new(listener);
        while let Some(client) = acceptor.next().await {
            tokio::spawn(Arc::clone(&self).take(client));
        }
    }

    /// Resets every connection of a sandbox that the policy now in force does not allow.
    pub fn recheck(&self, member: &Member) {
        let mut carried = self.lock();
        let Some(connections) = carried.get_mut(&member.sandbox) else {
            return;
        };
        connections.retain(|wanted, set| {
            let keep = self.refusal(member, wanted).is_none();
            if !keep {
                set.close();
            }
            keep
        });
    }

    /// A sandbox has gone: its connections are reset.
    pub fn forget(&self, sandbox: &str) {
        for set in self.lock().remove(sandbox).into_iter().flatten() {
            set.1.close();
        }
    }

    async fn take(self: Arc<Self>, mut client: TcpStream) {
        let known = client
            .peer_addr()
            .ok()
            .and_then(|peer| self.directory.by_address(peer.ip()));
        let destination = tcp::any_original_destination(&client);
        let (Some(member), Ok(destination)) = (known, destination) else {
            let _ = tcp::abort(&client);
            return;
        };
        // Who only connects and says nothing holds a descriptor as well.
        let Some(_place) = self.places.take(&member.sandbox) else {
            let _ = tcp::abort(&client);
            return;
        };
        let mut bytes = Vec::with_capacity(2048);
        let found =
            match tokio::time::timeout(NAME_WITHIN, read_name(&mut client, &mut bytes)).await {
                Ok(Ok(found)) => found,
                // It went, or takes its time, after which it could name anybody.
                Ok(Err(_)) | Err(_) => Found::Unclear,
            };
        let unclear = matches!(found, Found::More | Found::Unclear);
        let (kind, name) = match found {
            Found::Tls(name) => (EventKind::Tls, Some(name)),
            Found::Http(name) => (EventKind::Http, Some(name)),
            Found::More | Found::Nothing | Found::Unclear => (EventKind::Tcp, None),
        };
        let wanted = Wanted {
            led_there: self.led_there(&member, destination.ip(), name.as_deref()),
            name,
            destination,
        };
        let Some(entry) = self.enter(&member, &wanted, client) else {
            return;
        };
        // From here on a switch of the policy finds it; one before is in force now.
        let refusal = match self.refusal(&member, &wanted) {
            None if unclear && !self.is_peer(&member, destination) => member
                .egress()
                .map(|_| "it does not say clearly whom it wants"),
            other => other,
        };
        self.audit.record(
            &member,
            Event {
                kind,
                host: wanted.name,
                address: Some(destination.ip()),
                port: Some(destination.port()),
                allowed: refusal.is_none(),
                reason: refusal.map(str::to_owned),
            },
        );
        if refusal.is_some() || !self.is_there(&member) {
            return entry.refuse();
        }
        match connect(destination, &bytes).await {
            Ok(server) => entry.carry(server).await,
            Err(error) => {
                tracing::debug!(%error, %destination, "cannot be reached");
                entry.refuse();
            }
        }
    }

    /// Why a connection may not be. The rules that let packets from one interface to another do not see those of the
    /// proxy, so what they say of networks is said here once more.
    fn refusal(&self, member: &Member, wanted: &Wanted) -> Option<&'static str> {
        let destination = wanted.destination;
        if self.is_peer(member, destination) {
            return None;
        }
        if self.directory.is_ours(destination.ip()) {
            return Some("it is on another network");
        }
        if !self.directory.has_way_out(member) {
            return Some("its networks are internal");
        }
        // A policy that was taken away since allows everything.
        let egress = member.egress()?;
        let (name, address, port) = (wanted.name.as_deref(), destination.ip(), destination.port());
        let allowed =
            |names: &[String]| policy::stream_allowed(&egress, name, address, port, names);
        if allowed(&wanted.led_there) || allowed(&self.wall.names_of(member, address)) {
            return None;
        }
        Some(match name {
            Some(_) => "the name is not allowed here",
            None => "it does not say whom it wants",
        })
    }

    fn is_peer(&self, member: &Member, destination: SocketAddr) -> bool {
        self.directory.is_peer(member, destination.ip())
    }

    /// It has not gone, and nobody else has come in its place.
    fn is_there(&self, member: &Arc<Member>) -> bool {
        self.directory
            .by_id(&member.sandbox)
            .is_some_and(|now| Arc::ptr_eq(&now, member))
    }

    /// Names that led to an address, the one that is asked for before all others.
    fn led_there(&self, member: &Member, address: IpAddr, name: Option<&str>) -> Vec<String> {
        let mut names = self.wall.names_of(member, address);
        names.sort_unstable_by_key(|led| Some(led.as_str()) != name);
        names.truncate(NAMES_MAX);
        names
    }

    fn enter(&self, member: &Member, wanted: &Wanted, client: TcpStream) -> Option<Entry> {
        let mut carried = self.lock();
        let sets = carried.entry(member.sandbox.clone()).or_default();
        sets.retain(|other, set| other == wanted || set.len() > 0);
        sets.entry(wanted.clone())
            .or_insert_with(|| Connections::new(CONNECTIONS_MAX))
            .enter(client)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<Wanted, Arc<Connections>>>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_name(client: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Found> {
    loop {
        match look(bytes) {
            Found::More if bytes.len() < LOOK_MAX => {
                if client.read_buf(bytes).await? == 0 {
                    return Ok(Found::Nothing);
                }
            }
            found => return Ok(found),
        }
    }
}

async fn connect(destination: SocketAddr, first: &[u8]) -> std::io::Result<TcpStream> {
    let mut server =
        tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(destination)).await??;
    server.write_all(first).await?;
    Ok(server)
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
