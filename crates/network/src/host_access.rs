//! The way to the host's own loopback for sandboxes that asked for it (`host-gateway`).
//!
//! The firewall redirects what such a sandbox sends to [`HOST_ADDRESS`] to a listener in the gateway's namespace. Where
//! it was going says the kernel; the connection goes on in the host's namespace, to the same port at 127.0.0.1, or at
//! ::1 when nobody listens there.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shedbox_linux::tcp;
use shedbox_spec::gateway::HOST_ADDRESS;
use tokio::net::{TcpSocket, TcpStream};

use crate::acceptor::Acceptor;
use crate::connections::{Connections, Entry};
use crate::host::HostNet;

/// Most connections of one sandbox.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection to the host may take; there is nothing between us and it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a redirected connection was going.
type Destination = dyn Fn(&TcpStream) -> io::Result<SocketAddrV4> + Send + Sync;

/// Carries redirected connections to the host.
pub struct HostAccess {
    host: HostNet,
    destination: Box<Destination>,
    /// By address of the sandbox and port of the host.
    carried: Mutex<HashMap<(IpAddr, u16), Arc<Connections>>>,
}

impl HostAccess {
    /// Nothing is carried yet.
    pub fn new(host: HostNet) -> Arc<Self> {
        Self::with_destination(host, |stream| {
            Ok(tcp::original_destination(stream).map_err(|error| error.errno)?)
        })
    }

    fn with_destination(
        host: HostNet,
        destination: impl Fn(&TcpStream) -> io::Result<SocketAddrV4> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            host,
            destination: Box::new(destination),
            carried: Mutex::default(),
        })
    }

    /// Accepts redirected connections at a listener of the gateway's namespace, for ever.
    pub async fn serve(self: Arc<Self>, listener: tokio::net::TcpListener) {
        let acceptor = Acceptor::new(listener);
        while let Some(client) = acceptor.next().await {
            let port = match (self.destination)(&client) {
                Ok(destination) if *destination.ip() == HOST_ADDRESS => destination.port(),
                // Who speaks to the listener itself was not redirected.
                Ok(_) | Err(_) => {
                    let _ = tcp::abort(&client);
                    continue;
                }
            };
            let Ok(Some(entry)) = client
                .peer_addr()
                .map(|peer| self.enter(peer.ip(), port, client))
            else {
                continue;
            };
            tokio::spawn(Arc::clone(&self).carry(entry, port));
        }
    }

    /// Resets all connections of the sandbox at this address: it may no longer, or it has gone.
    pub fn close(&self, sandbox: IpAddr) {
        self.close_unless(sandbox, |_| false);
    }

    /// Resets those of its connections whose port is not to be reached any more.
    pub fn close_unless(&self, sandbox: IpAddr, may: impl Fn(u16) -> bool) {
        self.lock().retain(|(address, port), connections| {
            let keep = *address != sandbox || may(*port);
            if !keep {
                connections.close();
            }
            keep
        });
    }

    fn enter(&self, peer: IpAddr, port: u16, client: TcpStream) -> Option<Entry> {
        let mut carried = self.lock();
        let place = (peer, port);
        carried.retain(|other, connections| *other == place || connections.len() > 0);
        carried
            .entry(place)
            .or_insert_with(|| Connections::new(CONNECTIONS_MAX))
            .enter(client)
    }

    async fn carry(self: Arc<Self>, entry: Entry, port: u16) {
        for address in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            match self.connect(SocketAddr::new(address, port)).await {
                Ok(server) => return entry.carry(server).await,
                Err(error) => tracing::debug!(%error, port, "the host does not answer"),
            }
        }
        entry.refuse();
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = self
            .host
            .run(move || Ok(tcp::socket(address).map_err(|error| error.errno)?))?;
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(address)).await?
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(IpAddr, u16), Arc<Connections>>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "host_access_tests.rs"]
mod tests;
