//! Published ports: a listener in the host's network namespace, a connection from the gateway's to the sandbox.
//!
//! What is listened at is closed by [`Ports::withdraw`] itself, not by the end of a task at some later time: the ports
//! are free when it returns.

mod bind;
mod tcp;
#[cfg(test)]
#[path = "ports/ports_tests.rs"]
mod tests;
mod udp;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shedbox_linux::errno::Errno;
use shedbox_spec::error::Cause;
use shedbox_spec::network::port::{PortSpec, Protocol, PublishedPort};
use shedbox_spec::{Error, Kind};
use tokio::runtime::Handle;

use self::bind::{Bound, Refused};
use crate::connections::Connections;
use crate::host::HostNet;

/// Most connections that are carried for one sandbox.
const CONNECTIONS_MAX: usize = 4096;

/// Where a sandbox is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetAddresses {
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl TargetAddresses {
    /// In the order in which they are tried. Clients of either family are carried to either: most servers inside listen
    /// for IPv4, and what comes has the gateway's address anyway.
    fn in_order(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(IpAddr::V4(self.v4)).chain(self.v6.map(IpAddr::V6))
    }
}

/// All published ports.
#[derive(Debug)]
pub struct Ports {
    host: HostNet,
    runtime: Handle,
    sandboxes: Mutex<HashMap<String, Published>>,
}

/// What one sandbox has.
#[derive(Debug)]
struct Published {
    ports: Vec<PublishedPort>,
    forwards: Vec<Forward>,
    connections: Arc<Connections>,
}

/// One listener and what serves it.
#[derive(Debug)]
enum Forward {
    Tcp(tcp::Forward),
    Udp(udp::Forward),
}

impl Ports {
    /// Nothing is published. Connections to sandboxes are made by the threads of `runtime`, in their namespace.
    pub fn new(host: HostNet, runtime: Handle) -> Self {
        Self {
            host,
            runtime,
            sandboxes: Mutex::default(),
        }
    }

    /// Publishes all of `specs` or nothing, in the place of what the sandbox had. Where the host's port may be chosen, it
    /// is the one of `before` again if that is free. The answer is in the order of `specs`, with two entries for a port
    /// that is published at IPv4 and IPv6.
    pub fn publish(
        &self,
        sandbox: &str,
        target: TargetAddresses,
        specs: &[PortSpec],
        before: &[PublishedPort],
    ) -> Result<Vec<PublishedPort>, Error> {
        self.withdraw(sandbox);
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        // Held while the ports are bound, so that what is bound and what is known to be ours do not differ.
        let mut sandboxes = self.lock();
        let mut bound: Vec<(usize, Vec<Bound>)> = Vec::new();
        for index in bind::order(specs) {
            let spec = specs[index].clone();
            let again = bind::again(&spec, before);
            let sockets = self
                .host
                .run(move || Ok(bind::bind(&spec, again)))
                .map_err(|error| Error::internal(format!("cannot publish a port: {error}")))?
                .map_err(|refused| explain(&refused, &specs[index], &bound, &sandboxes))?;
            bound.push((index, sockets));
        }
        bound.sort_by_key(|(index, _)| *index);
        let published = self.serve(target, specs, bound)?;
        let ports = published.ports.clone();
        sandboxes.insert(sandbox.to_owned(), published);
        Ok(ports)
    }

    /// Takes back what a sandbox has published: when this returns the ports are free, and its connections are reset.
    pub fn withdraw(&self, sandbox: &str) {
        let Some(published) = self.lock().remove(sandbox) else {
            return;
        };
        published.close();
    }

    /// What a sandbox has published.
    pub fn of(&self, sandbox: &str) -> Vec<PublishedPort> {
        self.lock()
            .get(sandbox)
            .map(|published| published.ports.clone())
            .unwrap_or_default()
    }

    fn serve(
        &self,
        target: TargetAddresses,
        specs: &[PortSpec],
        bound: Vec<(usize, Vec<Bound>)>,
    ) -> Result<Published, Error> {
        let _runtime = self.runtime.enter();
        let mut published = Published {
            ports: Vec::new(),
            forwards: Vec::new(),
            connections: Connections::new(CONNECTIONS_MAX),
        };
        for (index, sockets) in bound {
            let PortSpec {
                container,
                protocol,
                ..
            } = specs[index];
            for Bound { address, socket } in sockets {
                let forward = match socket {
                    bind::Socket::Tcp(listener) => {
                        let connections = Arc::clone(&published.connections);
                        tcp::Forward::start(listener, target, container, connections)
                            .map(Forward::Tcp)
                    }
                    bind::Socket::Udp(socket) => {
                        udp::Forward::start(socket, target, container).map(Forward::Udp)
                    }
                };
                match forward {
                    Ok(forward) => published.forwards.push(forward),
                    Err(error) => {
                        published.close();
                        return Err(Error::internal(format!(
                            "cannot serve port {address}/{protocol}: {error}"
                        )));
                    }
                }
                published.ports.push(PublishedPort {
                    container,
                    protocol,
                    host_ip: address.ip(),
                    host_port: address.port(),
                });
            }
        }
        Ok(published)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Published>> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    fn close(&self) {
        for forward in &self.forwards {
            match forward {
                Forward::Tcp(forward) => forward.close(),
                Forward::Udp(forward) => forward.close(),
            }
        }
        self.connections.close();
    }

    fn has(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        self.ports.iter().any(|own| {
            own.protocol == protocol && own.host_port == port && overlaps(own.host_ip, address)
        })
    }
}

/// Two listeners at these addresses exclude each other.
fn overlaps(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// What a failed bind means to the one who asked.
fn explain(
    refused: &Refused,
    spec: &PortSpec,
    bound: &[(usize, Vec<Bound>)],
    sandboxes: &HashMap<String, Published>,
) -> Error {
    let protocol = spec.protocol;
    let (address, port) = (refused.address.ip(), refused.address.port());
    let shown = format!("{}/{protocol}", refused.address);
    let taken = || Cause::PortTaken(refused.address.to_string());
    match refused.error.errno {
        Errno::EADDRINUSE => {
            if let Some((first, last)) = spec.host.filter(|(first, last)| first < last) {
                let shown = match address {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                return Error::conflict(format!(
                    "none of the ports {shown}:{first}-{last}/{protocol} is free"
                ))
                .with_hint("choose another range, or leave the host's port out to get one that is free");
            }
            let twice = bound.iter().flat_map(|(_, sockets)| sockets).any(|own| {
                own.socket.protocol() == protocol
                    && own.address.port() == port
                    && overlaps(own.address.ip(), address)
            });
            let free = "leave the host's port out to get one that is free";
            if twice {
                return Error::conflict(format!("port {shown} is published twice"))
                    .with_hint(format!("choose another port for one of them, or {free}"));
            }
            let owner = sandboxes
                .iter()
                .find(|(_, published)| published.has(protocol, address, port));
            match owner {
                Some((owner, _)) => {
                    let owner = owner.get(..12).unwrap_or(owner);
                    Error::conflict(format!("port {shown} is in use by sandbox {owner}"))
                        .with_cause(taken())
                        .with_hint(format!("choose another port, or {free}; `shedbox port {owner}` lists what it has"))
                }
                None => Error::conflict(format!("port {shown} is in use"))
                    .with_cause(taken())
                    .with_hint(format!(
                        "another program listens there (`ss -lntup`); choose another port, or {free}"
                    )),
            }
        }
        Errno::EACCES => Error::new(
            Kind::Denied,
            format!("port {shown} may be listened at by root only"),
        )
        .with_hint(format!(
            "choose a port from 1024 up, or allow it: `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
        )),
        Errno::EADDRNOTAVAIL => Error::invalid(format!("this host has no address {address}"))
            .with_hint("`ip address` lists those that it has; leave the address out to publish at all of them"),
        Errno::EAFNOSUPPORT => Error::new(Kind::Unsupported, "IPv6 is off on this host")
            .with_hint(format!("{address} cannot be listened at; use an IPv4 address")),
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
            Error::new(Kind::Exhausted, format!("cannot publish port {shown}: {}", refused.error))
                .with_hint("publish fewer ports, or raise the limit of open files (`ulimit -n`) and start the gateway anew")
        }
        _ => Error::internal(format!("cannot publish port {shown}: {}", refused.error)),
    }
}
