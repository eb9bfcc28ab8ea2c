//! Connections in the life of a sandbox: settled when it is created, made when a generation has a network namespace that is
//! new, kept by a reset, given back when it is removed.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use shedbox_linux::pidfd;
use shedbox_spec::api::Status;
use shedbox_spec::error::{Cause, chain};
use shedbox_spec::gateway::{Attach, Endpoint, Reply, Request};
use shedbox_spec::hosts::{self, ExtraHost, etc_hosts};
use shedbox_spec::network::default::DefaultNetwork;
use shedbox_spec::network::port::{PortSpec, parse_exposed};
use shedbox_spec::network::{Attachment, BRIDGE, Network};
use shedbox_spec::{Error, Kind, SandboxSpec};

use super::client::{Fresh, GATEWAY};
use super::wire::Wire;
use super::{NetworkRecord, aliases};
use crate::Engine;
use crate::error::{Doing, EngineError, Result};
use crate::init::Init;
use crate::record::Record;
use crate::sandbox::Sandbox;
use crate::validate;

impl Engine {
    /// `[network] default` of the configuration.
    pub fn default_network(&self) -> Option<&DefaultNetwork> {
        self.config.network.default.as_ref()
    }

    /// The network of a spec that names none.
    pub(crate) fn name_network(&self, spec: &mut SandboxSpec) -> Result<()> {
        let asked = spec.network.clone();
        let needs_network = validate::needs_network(spec).is_some();
        spec.network.settle(self.default_network(), needs_network);
        if spec.network == asked {
            return Ok(());
        }
        // Whoever asked has named no network, and is told who did.
        match spec.network.attachments().first() {
            Some(first) if first.network != BRIDGE => self
                .networks
                .find(&first.network)
                .map(drop)
                .map_err(|_| {
                    Error::not_found(format!(
                        "no network `{}`, which is the default by the configuration",
                        first.network
                    ))
                    .with_hint(format!(
                        "`shedbox network create {}` makes it; `[network] default` names another one",
                        first.network
                    ))
                    .into()
                }),
            _ => Ok(()),
        }
    }

    /// Networks and ports of a sandbox that is being created; its addresses are taken when this returns.
    pub(crate) fn settle_wire(
        &self,
        spec: &SandboxSpec,
        name: &str,
        exposed: &[String],
    ) -> Result<Wire> {
        let attachments = spec.network.attachments();
        if attachments.is_empty() {
            return Ok(Wire::default());
        }
        let mut ports = spec.ports.clone();
        if spec.publish_all {
            ports.extend(exposed_ports(exposed, &ports)?);
        }
        let mut wire = Wire {
            ports,
            egress: spec.egress.clone().filter(|egress| !egress.is_open()),
            host_access: hosts::name_gateway(&spec.extra_hosts),
            ..Wire::default()
        };
        for attachment in attachments {
            let taken = self.take_endpoint(attachment, &wire, name);
            match taken {
                Ok(endpoint) => wire.endpoints.push(endpoint),
                Err(error) => {
                    self.release_wire(&wire);
                    return Err(error);
                }
            }
        }
        Ok(wire)
    }

    /// A network by name; the built-in one is made when it is asked for first, and a gateway that runs is told.
    pub(super) fn network_record(&self, name: &str) -> Result<NetworkRecord> {
        let (record, made) = self
            .networks
            .require(name, |bytes| self.fill_random(bytes))?;
        if made {
            self.tell_gateway(&Request::AddNetwork(record.setup()))?;
        }
        Ok(record)
    }

    /// An interface on a network, with an address that nobody has.
    pub(super) fn take_endpoint(
        &self,
        attachment: &Attachment,
        wire: &Wire,
        sandbox: &str,
    ) -> Result<(String, Endpoint)> {
        let network = self.network_record(&attachment.network)?;
        if wire.endpoints.iter().any(|(id, _)| *id == network.id) {
            return Err(Error::conflict(format!(
                "sandbox `{sandbox}` is connected to network `{}` already",
                network.name
            ))
            .with_cause(Cause::Connected)
            .into());
        }
        let aliases = aliases(attachment)?;
        let (v4, v6) = self
            .networks
            .state()
            .leases
            .take(&network, attachment, sandbox)?;
        let [a, b, c, d] = v4.octets();
        Ok((
            network.id,
            Endpoint {
                group: network.group,
                interface: wire.next_interface(),
                // As Docker makes them: locally administered, and unique where the address is.
                mac: [0x02, 0x42, a, b, c, d],
                v4,
                v6,
                aliases,
            },
        ))
    }

    /// Gives the addresses of a sandbox back.
    pub(crate) fn release_wire(&self, wire: &Wire) {
        for (_, endpoint) in &wire.endpoints {
            self.release(endpoint);
        }
    }

    /// Gives the addresses of an interface back.
    pub(super) fn release(&self, endpoint: &Endpoint) {
        let mut state = self.networks.state();
        for address in endpoint.addresses() {
            state.leases.release(endpoint.group, address);
        }
    }

    /// Notes the addresses of a sandbox that was found.
    pub(crate) fn hold_wire(&self, wire: &Wire, name: &str) {
        let mut state = self.networks.state();
        for (_, endpoint) in &wire.endpoints {
            for address in endpoint.addresses() {
                state.leases.hold(endpoint.group, address, name);
            }
        }
    }

    /// Connects the namespace of an init, which is nobody else's yet. Does nothing for a sandbox without networks.
    /// `warnings` gets what could not be had.
    ///
    /// The wire is held from the question to the answer: what it says is what the gateway was told, and a generation that
    /// ends meanwhile takes nothing away from its successor.
    pub(crate) fn attach(
        &self,
        sandbox: &Sandbox,
        generation: u64,
        pid: i32,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let mut wire = sandbox.wire();
        self.attach_wire(sandbox, &mut wire, generation, pid, warnings)
    }

    /// The same for whoever holds the wire.
    pub(super) fn attach_wire(
        &self,
        sandbox: &Sandbox,
        wire: &mut Wire,
        generation: u64,
        pid: i32,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        if wire.endpoints.is_empty() {
            return Ok(());
        }
        self.networks.gateways(wire)?;
        let namespace = network_namespace(pid)?;
        let request = Request::Attach(Box::new(Attach {
            sandbox: sandbox.record.id.to_string(),
            name: sandbox.name().to_string(),
            endpoints: wire
                .endpoints
                .iter()
                .map(|(_, endpoint)| endpoint.clone())
                .collect(),
            ports: wire.ports.clone(),
            published: wire.published.clone(),
            egress: wire.egress.clone(),
            dns: sandbox.record.spec.dns.servers.clone(),
            host_access: wire.host_access,
        }));
        let Reply::Attached(attached) = self.ask_gateway(&request, Some(&namespace))? else {
            return Err(GATEWAY.protocol("answered something else"));
        };
        warnings.extend(attached.warnings);
        wire.attached = Some(generation);
        if wire.published != attached.ports {
            wire.published = attached.ports;
            // One that is being created is written with everything else.
            if Wire::is_written(&sandbox.layout.dir) {
                wire.write(&sandbox.layout.dir)?;
            }
        }
        Ok(())
    }

    /// Connects the generation that takes over, when its network namespace is not the one of its predecessor.
    pub(crate) fn attach_successor(&self, sandbox: &Sandbox, next: &Init) -> Result<()> {
        if next.joined {
            // The connection is the successor's from now on: the end of the old generation must not take it away.
            if let Some(attached) = &mut sandbox.wire().attached {
                *attached = next.generation;
            }
            return Ok(());
        }
        let mut warnings = Vec::new();
        self.attach(sandbox, next.generation, next.pid, &mut warnings)?;
        sandbox.state().warnings.extend(warnings);
        Ok(())
    }

    /// The namespace of a generation goes: its ports are free when this returns. One that a later generation has been
    /// connected for stays.
    pub(crate) fn detach(&self, sandbox: &Sandbox, generation: u64) {
        let mut wire = sandbox.wire();
        if wire.attached.is_none_or(|attached| attached > generation) {
            return;
        }
        wire.attached = None;
        let request = Request::Detach(sandbox.record.id.to_string());
        if let Err(error) = self.tell_gateway(&request) {
            tracing::warn!(sandbox = %sandbox.record.id, error = chain(&error), "not detached");
        }
    }

    /// Tells a gateway that is there; another one learns of it when it is connected to.
    pub(super) fn tell_gateway(&self, request: &Request) -> Result<()> {
        if self.networks.client.is_connected() {
            self.ask_gateway(request, None)?;
        }
        Ok(())
    }

    /// Asks the gateway; one that is new is watched, and connected with what runs.
    pub(super) fn ask_gateway(&self, request: &Request, fd: Option<&OwnedFd>) -> Result<Reply> {
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        let (reply, fresh) = self
            .networks
            .client
            .ask(request, &fds, || self.networks.setups());
        if let Some(fresh) = fresh {
            self.watch_gateway(fresh);
        }
        reply
    }

    /// Brings everything back when the gateway ends without having been asked. A thread waits, because the ends that the
    /// watcher waits for are those of sandboxes.
    fn watch_gateway(&self, fresh: Fresh) {
        let engine = self.weak();
        let started = fresh.started;
        let wait = move || {
            if started && let Some(engine) = engine.upgrade() {
                // What ran before this gateway did.
                engine.rewire(false);
            }
            if pidfd::wait(fresh.pidfd.as_fd(), None).is_ok()
                && let Some(engine) = Weak::upgrade(&engine)
            {
                engine.rewire(false);
            }
        };
        let started = std::thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(wait);
        if let Err(error) = started {
            tracing::warn!(%error, "nobody watches the gateway");
        }
    }

    /// Compares what runs with what the gateway knows, and connects what it does not know. `sweep`: what runs no more is
    /// detached; only while no sandbox is being created, which would not be found here either.
    pub(crate) fn rewire(&self, sweep: bool) {
        // Who starts a gateway in here sets another one going: it then finds everything connected.
        let _one_at_a_time = self.networks.rewiring();
        let running: Vec<Arc<Sandbox>> = self
            .registry()
            .all()
            .into_iter()
            .filter(|sandbox| {
                !sandbox.wire().endpoints.is_empty()
                    && sandbox.state().life.status == Status::Running
            })
            .collect();
        // Nobody needs one; one that is there from before may know some that are gone.
        if running.is_empty() && !(sweep && self.networks.client.is_there()) {
            return;
        }
        let known = match self.ask_gateway(&Request::List, None) {
            Ok(Reply::Sandboxes(known)) => known,
            Ok(_) => return,
            Err(error) => {
                if !running.is_empty() {
                    tracing::error!(error = chain(&error), "networks are gone");
                }
                return;
            }
        };
        for id in known.iter().filter(|_| sweep) {
            if !running
                .iter()
                .any(|sandbox| sandbox.record.id.as_str() == id)
            {
                let _ = self.ask_gateway(&Request::Detach(id.clone()), None);
            }
        }
        for sandbox in running {
            if known.iter().any(|id| id == sandbox.record.id.as_str()) {
                let generation = sandbox.state().life.generation;
                sandbox.wire().attached = Some(generation);
                continue;
            }
            let _turn = sandbox.turn();
            let Some(live) = sandbox.state().live.clone() else {
                continue;
            };
            self.attach_again(&sandbox, &live);
        }
    }

    /// Connects what a gateway that has gone had connected. A port that somebody else has taken meanwhile costs that
    /// sandbox its ports, not its networks.
    fn attach_again(&self, sandbox: &Sandbox, live: &Init) {
        let (generation, pid) = (live.generation, live.pid);
        let mut wire = sandbox.wire();
        let mut warnings = Vec::new();
        let outcome = self
            .attach_wire(sandbox, &mut wire, generation, pid, &mut warnings)
            .or_else(|error| {
                match &error {
                    EngineError::Refused(refusal) if refusal.kind == Kind::Conflict => {
                        warnings.push(format!("no ports are published any more: {refusal}"));
                    }
                    _ => return Err(error),
                }
                let ports = std::mem::take(&mut wire.ports);
                let outcome =
                    self.attach_wire(sandbox, &mut wire, generation, pid, &mut Vec::new());
                wire.ports = ports;
                outcome
            });
        drop(wire);
        if let Err(error) = outcome {
            tracing::error!(sandbox = %sandbox.record.id, error = chain(&error), "not connected any more");
        }
        for warning in &warnings {
            tracing::warn!(sandbox = %sandbox.record.id, warning);
        }
        sandbox.state().warnings.extend(warnings);
    }

    /// The init whose network namespace a sandbox shares.
    pub(crate) fn neighbour(&self, record: &Record) -> Result<Option<Arc<Init>>> {
        let Network::Container(name) = &record.spec.network else {
            return Ok(None);
        };
        let other = self.find(name)?;
        if other.record.id == record.id {
            return Err(Error::invalid("a sandbox cannot share its own network").into());
        }
        if let Network::Host = other.record.spec.network {
            return Err(Error::invalid(format!(
                "sandbox `{name}` has no network to share: it is on the host's"
            ))
            .with_hint("use `--network host`")
            .into());
        }
        let live = other.state().live.clone();
        live.map(Some).ok_or_else(|| {
            Error::conflict(format!("sandbox `{name}` is not running"))
                .with_hint("start it first: its network is to be shared")
                .with_cause(Cause::NeighbourStopped(other.record.id.clone()))
                .into()
        })
    }

    /// `/etc/hosts` and `/etc/resolv.conf` of a sandbox.
    pub(crate) fn etc_files(&self, sandbox: &Sandbox) -> Result<(String, String)> {
        let record = &sandbox.record;
        match &record.spec.network {
            Network::Default | Network::None => Ok((
                etc_hosts(&record.hostname, &[], &record.spec.extra_hosts)?,
                String::new(),
            )),
            Network::Host => {
                let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
                let mut hosts = read("/etc/hosts");
                for entry in &record.spec.extra_hosts {
                    let host = ExtraHost::parse(entry)?;
                    hosts.extend([host.address.to_string().as_str(), "\t", &host.name, "\n"]);
                }
                Ok((hosts, read("/etc/resolv.conf")))
            }
            Network::Container(name) => {
                // Its files can be read when the other one has gone.
                let Ok(other) = self.find(name) else {
                    return Ok((etc_hosts(&record.hostname, &[], &[])?, String::new()));
                };
                if matches!(other.record.spec.network, Network::Container(_)) {
                    return Err(Error::invalid(format!(
                        "sandbox `{name}` shares the network of another one itself"
                    ))
                    .with_hint("name that one instead")
                    .into());
                }
                self.etc_files(&other)
            }
            Network::Bridge(_) => {
                let wire = sandbox.wire().clone();
                let own: Vec<IpAddr> = wire
                    .endpoints
                    .iter()
                    .flat_map(|(_, endpoint)| endpoint.addresses())
                    .collect();
                let hosts = etc_hosts(&record.hostname, &own, &record.spec.extra_hosts)?;
                let server = self.networks.gateways(&wire)?.first().copied();
                Ok((hosts, record.spec.dns.resolv_conf(server)))
            }
        }
    }
}

/// Exposed ports that are not published yet, at ports that the host chooses.
fn exposed_ports(exposed: &[String], published: &[PortSpec]) -> Result<Vec<PortSpec>> {
    let mut ports = Vec::new();
    for text in exposed {
        for (container, protocol) in parse_exposed(text)? {
            let known = |port: &PortSpec| port.container == container && port.protocol == protocol;
            if !published.iter().chain(&ports).any(known) {
                ports.push(PortSpec::anywhere(container, protocol));
            }
        }
    }
    Ok(ports)
}

/// The network namespace of a process, as a descriptor.
pub(super) fn network_namespace(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path)
        .map(OwnedFd::from)
        .doing(|| format!("open {path}"))
}
