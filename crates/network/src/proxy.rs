//! The proxy that reads names: connections to port 80 and 443 of addresses that are allowed because of a name.
//!
//! Addresses are shared by many names. The firewall sends such connections here; the first bytes say whom they want, and
//! only what the policy allows is carried on. Everything else is reset.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shedbox_linux::tcp;
use shedbox_spec::network::egress::{Egress, Verdict};
use shedbox_spec::network::port::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::acceptor::Acceptor;
use crate::audit::{Audit, Event, EventKind};
use crate::connections::{Connections, Entry};
use crate::directory::{Directory, Member};
use crate::inspect::{Found, LOOK_MAX, look};
use crate::policy;
use crate::wall::Wall;

/// Most connections that are carried for one sandbox.
const CONNECTIONS_MAX: usize = 1024;
/// How long a client may take to say whom it wants.
const NAME_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The proxy.
pub struct Proxy {
    directory: Arc<Directory>,
    wall: Arc<dyn Wall>,
    audit: Arc<Audit>,
    /// By sandbox, and what they are connected to.
    carried: Mutex<HashMap<String, HashMap<Wanted, Arc<Connections>>>>,
}

/// Whom a connection is to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    name: String,
    destination: SocketAddr,
}

impl Proxy {
    /// Nothing is carried yet.
    pub fn new(directory: Arc<Directory>, wall: Arc<dyn Wall>, audit: Arc<Audit>) -> Arc<Self> {
        Arc::new(Self {
            directory,
            wall,
            audit,
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
        let egress = member.egress();
        let mut carried = self.lock();
        let Some(connections) = carried.get_mut(&member.sandbox) else {
            return;
        };
        connections.retain(|wanted, set| {
            let keep = egress
                .as_deref()
                .is_none_or(|egress| self.allowed(egress, member, wanted));
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
        let mut bytes = Vec::with_capacity(2048);
        let found =
            match tokio::time::timeout(NAME_WITHIN, read_name(&mut client, &mut bytes)).await {
                Ok(Ok(found)) => found,
                // It went, or says nothing.
                Ok(Err(_)) | Err(_) => Found::Nothing,
            };
        let (kind, name) = match found {
            Found::Tls(name) => (EventKind::Tls, Some(name)),
            Found::Http(name) => (EventKind::Http, Some(name)),
            Found::More | Found::Nothing => (EventKind::Tcp, None),
        };
        let wanted = name.clone().map(|name| Wanted { name, destination });
        // A policy that was taken away since allows everything.
        let allowed = match (member.egress(), &wanted) {
            (None, _) => true,
            (Some(egress), Some(wanted)) => self.allowed(&egress, &member, wanted),
            (Some(egress), None) => egress.default == Verdict::Allow,
        };
        self.audit.record(
            &member,
            Event {
                kind,
                host: name,
                address: Some(destination.ip()),
                port: Some(destination.port()),
                allowed,
                reason: (!allowed).then(|| match &wanted {
                    Some(_) => "the name is not allowed here".to_owned(),
                    None => "it does not say whom it wants".to_owned(),
                }),
            },
        );
        if !allowed {
            let _ = tcp::abort(&client);
            return;
        }
        let wanted = wanted.unwrap_or(Wanted {
            name: String::new(),
            destination,
        });
        let Some(entry) = self.enter(&member, &wanted, client) else {
            return;
        };
        // Between the look at the policy and the entry another one may have come into force.
        if member.egress().is_some_and(|egress| {
            !wanted.name.is_empty() && !self.allowed(&egress, &member, &wanted)
        }) {
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

    fn allowed(&self, egress: &Egress, member: &Member, wanted: &Wanted) -> bool {
        let port = wanted.destination.port();
        if !policy::name_port_allowed(egress, &wanted.name, port, Protocol::Tcp) {
            return false;
        }
        // The address must be one that a name was answered with: whoever knows an allowed name may not use it for an
        // address of their own choice.
        egress.default == Verdict::Allow
            || self
                .wall
                .names_of(member, wanted.destination.ip())
                .iter()
                .any(|name| {
                    *name == wanted.name
                        || policy::name_port_allowed(egress, name, port, Protocol::Tcp)
                })
    }

    fn enter(&self, member: &Member, wanted: &Wanted, client: TcpStream) -> Option<Entry> {
        let mut carried = self.lock();
        let sets = carried.entry(member.sandbox.clone()).or_default();
        sets.retain(|other, set| other == wanted || set.len() > 0);
        let count: usize = sets.values().map(|set| set.len()).sum();
        if count >= CONNECTIONS_MAX {
            let _ = tcp::abort(&client);
            return None;
        }
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
