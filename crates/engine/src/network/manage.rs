//! Networks as users make, see, use and remove them.

use std::sync::Arc;

use jiff::Timestamp;
use shedbox_spec::api::network::{
    EndpointInfo, NetworkConnect, NetworkCreate, NetworkDisconnect, NetworkInfo, NetworkMember,
};
use shedbox_spec::error::Cause;
use shedbox_spec::gateway::{Endpoint, Request};
use shedbox_spec::network::egress::Egress;
use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::network::{self, Attachment, Network};
use shedbox_spec::{Error, Kind};

use super::attach::network_namespace;
use super::records::{Book, NetworkRecord};
use super::wire::Wire;
use super::{first_of, first_of_v6, ipv6, new_id, prepare, subnets, taken, taken_v6};
use crate::Engine;
use crate::error::{EngineError, Result};
use crate::sandbox::Sandbox;

impl Engine {
    /// Makes a network.
    pub fn network_create(&self, request: NetworkCreate) -> Result<NetworkInfo> {
        network::name::validate_new(&request.name)?;
        if !matches!(request.driver.as_str(), "" | "bridge") {
            return Err(Error::new(
                Kind::Unsupported,
                format!("there is no network driver `{}`", request.driver),
            )
            .with_hint("the only one is `bridge`")
            .into());
        }
        let record = {
            let mut state = self.networks.state();
            let taken = |other: &NetworkRecord| other.name == request.name;
            if state.book.networks.iter().any(taken) {
                let error = Error::conflict(format!("network `{}` exists", request.name));
                return Err(error.with_cause(Cause::NetworkExists).into());
            }
            let mut book = state.book.clone();
            prepare(&mut book, &|bytes: &mut [u8]| self.fill_random(bytes))?;
            let record = self.settle_network(&book, request)?;
            book.next_group += 1;
            book.networks.push(record.clone());
            self.networks.keep(&mut state, book)?;
            record
        };
        self.tell_gateway(&Request::AddNetwork(record.setup()))?;
        Ok(self.network_info(&record))
    }

    /// What was asked for, with what was left open chosen: subnets that nobody has.
    fn settle_network(&self, book: &Book, request: NetworkCreate) -> Result<NetworkRecord> {
        let others: Vec<(String, Subnet)> = book
            .networks
            .iter()
            .flat_map(|other| other.subnets().map(|subnet| (other.name.clone(), subnet)))
            .collect();
        let subnet = match only(&request.subnets, Subnet::is_v4)? {
            Some(subnet) => {
                subnets::check(subnet, &others)?;
                subnet
            }
            None => subnets::choose(&self.networks.pools, subnets::NETWORK_PREFIX, &taken(book))?,
        };
        let gateway = match request.gateway {
            None => first_of(subnet)?,
            Some(gateway) if subnet.contains(gateway.into()) => gateway,
            Some(gateway) => {
                return Err(
                    Error::invalid(format!("gateway {gateway} is not in subnet {subnet}")).into(),
                );
            }
        };
        let group = book.next_group;
        let v6 = match only(&request.subnets, |subnet| !subnet.is_v4())? {
            None if !request.ipv6 => None,
            given => {
                ipv6()?;
                let subnet = match given {
                    Some(subnet) => {
                        subnets::check(subnet, &others)?;
                        subnet
                    }
                    None => subnets::choose_v6(book.ula, group as u16, &taken_v6(book))?,
                };
                Some((subnet, first_of_v6(subnet)?))
            }
        };
        Ok(NetworkRecord {
            id: new_id(&|bytes: &mut [u8]| self.fill_random(bytes))?,
            name: request.name,
            group,
            created_at: Timestamp::now(),
            subnet,
            gateway,
            v6,
            internal: request.internal,
            builtin: false,
            labels: request.labels,
            options: request.options,
        })
    }

    /// All networks, and the two modes that Docker lists as such.
    pub fn network_list(&self) -> Vec<NetworkInfo> {
        // The built-in network is listed before its first use, too.
        let _ = self.network_record(network::BRIDGE);
        let records = self.networks.state().book.networks.clone();
        let mut list: Vec<_> = records
            .iter()
            .map(|record| self.network_info(record))
            .collect();
        list.extend([mode("host"), mode("none")]);
        list
    }

    /// One network by name, id or the beginning of its id.
    pub fn network_inspect(&self, name: &str) -> Result<NetworkInfo> {
        if let Some(found) = network::mode_named(name) {
            return Ok(mode(found));
        }
        let record = if name == network::BRIDGE {
            self.network_record(name)?
        } else {
            self.networks.find(name)?
        };
        Ok(self.network_info(&record))
    }

    /// Removes a network that nobody is on.
    pub fn network_remove(&self, name: &str) -> Result<()> {
        if name == network::BRIDGE || network::mode_named(name).is_some() {
            return Err(Error::new(
                Kind::Denied,
                format!("network `{name}` is built in and cannot be removed"),
            )
            .into());
        }
        let record = self.networks.find(name)?;
        self.drop_prepared();
        {
            let mut state = self.networks.state();
            // Those that are being created have their addresses already.
            let users = state.leases.users(record.group);
            if !users.is_empty() {
                let names: Vec<_> = users.iter().map(|name| format!("`{name}`")).collect();
                return Err(Error::conflict(format!(
                    "network `{}` is in use by {}",
                    record.name,
                    names.join(", ")
                ))
                .with_hint("disconnect or remove them first")
                .into());
            }
            let mut book = state.book.clone();
            book.networks.retain(|other| other.id != record.id);
            self.networks.keep(&mut state, book)?;
        }
        self.tell_gateway(&Request::RemoveNetwork(record.group))
    }

    /// Removes all networks that nobody is on and that are `wanted` gone; gives them.
    pub fn network_prune(&self, wanted: impl Fn(&NetworkInfo) -> bool) -> Result<Vec<NetworkInfo>> {
        let records = self.networks.state().book.networks.clone();
        let mut pruned = Vec::new();
        for record in records.iter().filter(|record| !record.builtin) {
            let network = self.network_info(record);
            if !wanted(&network) {
                continue;
            }
            match self.network_remove(&network.id) {
                Ok(()) => pruned.push(network),
                Err(error) => {
                    let error = Error::from(error);
                    // In use, or removed by somebody else since.
                    if !matches!(error.kind, Kind::Conflict | Kind::NotFound) {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(pruned)
    }

    /// Connects a sandbox, running or not, to one more network.
    pub fn network_connect(&self, name: &str, request: NetworkConnect) -> Result<()> {
        let sandbox = self.find(&request.sandbox)?;
        let _turn = sandbox.turn();
        if !matches!(sandbox.record.spec.network, Network::Bridge(_)) {
            return Err(Error::invalid(format!(
                "sandbox `{}` has network mode `{}` and can be on no network",
                sandbox.name(),
                sandbox.record.spec.network
            ))
            .with_hint("create it with `--network bridge` or a network's name")
            .into());
        }
        let attachment = Attachment {
            network: name.to_owned(),
            ..request.attachment
        };
        let mut wire = sandbox.wire();
        let (id, endpoint) = self.take_endpoint(&attachment, &wire, &sandbox.name())?;
        let request = Request::Connect {
            sandbox: sandbox.record.id.to_string(),
            endpoint: endpoint.clone(),
        };
        wire.endpoints.push((id, endpoint.clone()));
        let outcome = self
            .change_live(&sandbox, &mut wire, &request)
            .and_then(|()| wire.write(&sandbox.layout.dir));
        if let Err(error) = outcome {
            wire.endpoints.pop();
            self.release(&endpoint);
            return Err(error);
        }
        drop(wire);
        self.renew_spare(&sandbox);
        Ok(())
    }

    /// Disconnects a sandbox from a network.
    pub fn network_disconnect(&self, name: &str, request: NetworkDisconnect) -> Result<()> {
        let record = self.networks.find(name)?;
        let sandbox = self.find(&request.sandbox)?;
        let _turn = sandbox.turn();
        let mut wire = sandbox.wire();
        let Some(index) = wire.endpoints.iter().position(|(id, _)| *id == record.id) else {
            if request.force {
                return Ok(());
            }
            return Err(Error::conflict(format!(
                "sandbox `{}` is not connected to network `{}`",
                sandbox.name(),
                record.name
            ))
            .into());
        };
        let request = Request::Disconnect {
            sandbox: sandbox.record.id.to_string(),
            group: record.group,
        };
        let (id, endpoint) = wire.endpoints.remove(index);
        if let Err(error) = self.change_live(&sandbox, &mut wire, &request) {
            wire.endpoints.insert(index, (id, endpoint));
            return Err(error);
        }
        self.release(&endpoint);
        wire.write(&sandbox.layout.dir)?;
        drop(wire);
        self.renew_spare(&sandbox);
        Ok(())
    }

    /// Puts another egress policy in force, or none.
    pub fn set_egress(&self, name: &str, egress: Option<Egress>) -> Result<()> {
        let sandbox = self.find(name)?;
        if !matches!(sandbox.record.spec.network, Network::Bridge(_)) {
            return Err(Error::invalid(format!(
                "sandbox `{}` has network mode `{}`, where there is no egress to hold",
                sandbox.name(),
                sandbox.record.spec.network
            ))
            .with_hint("create it with `--network bridge` or a network's name")
            .into());
        }
        let egress = egress.filter(|egress| !egress.is_open());
        // No turn: a policy must not wait for a stop or a spare. The wire is held, so that nobody connects by the old one.
        let mut wire = sandbox.wire();
        let before = std::mem::replace(&mut wire.egress, egress);
        let request = Request::SetEgress {
            sandbox: sandbox.record.id.to_string(),
            egress: wire.egress.clone(),
        };
        if let Err(error) = self.change_live(&sandbox, &mut wire, &request) {
            wire.egress = before;
            return Err(error);
        }
        wire.write(&sandbox.layout.dir)
    }

    /// A change of a running sandbox's connection, which the wire has made already: a gateway that was replaced in this
    /// moment does not know the sandbox yet, and is told the whole wire.
    pub(crate) fn change_live(
        &self,
        sandbox: &Sandbox,
        wire: &mut Wire,
        request: &Request,
    ) -> Result<()> {
        if wire.attached.is_none() {
            return Ok(());
        }
        let live = sandbox.state().live.clone();
        let namespace = match (request, &live) {
            (Request::Connect { .. } | Request::Disconnect { .. }, Some(live)) => {
                Some(network_namespace(live.pid)?)
            }
            _ => None,
        };
        match (self.ask_gateway(request, namespace.as_ref()), live) {
            (Err(EngineError::Refused(refusal)), Some(live)) if refusal.kind == Kind::NotFound => {
                let mut warnings = Vec::new();
                let (generation, pid) = (live.generation, live.pid);
                self.attach_wire(sandbox, wire, generation, pid, &mut warnings)?;
                sandbox.state().warnings.extend(warnings);
                Ok(())
            }
            (other, _) => other.map(drop),
        }
    }

    /// The files of a spare name the addresses of before.
    fn renew_spare(&self, sandbox: &Arc<Sandbox>) {
        sandbox.drop_spare();
        if sandbox.state().live.is_some() {
            self.background.want_spare(sandbox);
        }
    }

    fn members(&self, record: &NetworkRecord) -> Vec<NetworkMember> {
        let sandboxes = self.registry().all();
        let mut members: Vec<_> = sandboxes
            .iter()
            .filter_map(|sandbox| {
                let wire = sandbox.wire();
                let (_, endpoint) = wire.endpoints.iter().find(|(id, _)| *id == record.id)?;
                Some(NetworkMember {
                    id: sandbox.record.id.to_string(),
                    name: sandbox.name().to_string(),
                    endpoint: endpoint_info(record, endpoint),
                })
            })
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    fn network_info(&self, record: &NetworkRecord) -> NetworkInfo {
        NetworkInfo {
            id: record.id.clone(),
            name: record.name.clone(),
            driver: "bridge".to_owned(),
            created_at: record.created_at.to_string(),
            subnet: Some(record.subnet),
            gateway: Some(record.gateway),
            subnet6: record.v6.map(|(subnet, _)| subnet),
            gateway6: record.v6.map(|(_, gateway)| gateway),
            internal: record.internal,
            labels: record.labels.clone(),
            options: record.options.clone(),
            sandboxes: self.members(record),
        }
    }

    /// Interfaces of a sandbox, for listings.
    pub(crate) fn endpoints(&self, sandbox: &Sandbox) -> Vec<EndpointInfo> {
        let wire = sandbox.wire().clone();
        let state = self.networks.state();
        wire.endpoints
            .iter()
            .filter_map(|(id, endpoint)| {
                let record = state.book.networks.iter().find(|record| record.id == *id)?;
                Some(endpoint_info(record, endpoint))
            })
            .collect()
    }
}

/// The only subnet of a family, if there is one.
fn only(subnets: &[Subnet], family: impl Fn(&Subnet) -> bool) -> Result<Option<Subnet>> {
    let mut of_family = subnets.iter().copied().filter(family);
    let first = of_family.next();
    match of_family.next() {
        None => Ok(first),
        Some(second) => Err(Error::invalid(format!(
            "subnet {second} is one too many: a network has one of IPv4 and one of IPv6"
        ))
        .into()),
    }
}

fn endpoint_info(record: &NetworkRecord, endpoint: &Endpoint) -> EndpointInfo {
    let mac: Vec<_> = endpoint
        .mac
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    EndpointInfo {
        network: record.name.clone(),
        network_id: record.id.clone(),
        interface: endpoint.interface.clone(),
        mac: mac.join(":"),
        ip: endpoint.v4,
        prefix: record.subnet.prefix(),
        gateway: record.gateway,
        ip6: endpoint.v6,
        prefix6: record.v6.map_or(0, |(subnet, _)| subnet.prefix()),
        gateway6: record.v6.map(|(_, gateway)| gateway),
        aliases: endpoint.aliases.clone(),
    }
}

/// A mode, as Docker lists it.
fn mode(name: &str) -> NetworkInfo {
    NetworkInfo {
        id: network::mode_id(name).unwrap_or(name).to_owned(),
        name: name.to_owned(),
        driver: if name == "host" { "host" } else { "null" }.to_owned(),
        created_at: Timestamp::UNIX_EPOCH.to_string(),
        subnet: None,
        gateway: None,
        subnet6: None,
        gateway6: None,
        internal: false,
        labels: std::collections::BTreeMap::new(),
        options: std::collections::BTreeMap::new(),
        sandboxes: Vec::new(),
    }
}
