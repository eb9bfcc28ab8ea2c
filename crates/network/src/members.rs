//! What the daemon asks for, carried out: each operation is whole or has changed nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use shedbox_linux::net;
use shedbox_linux::netlink::{Netlink, Protocol};
use shedbox_spec::Error;
use shedbox_spec::gateway::{Attach, Attached, Endpoint, HOST_ADDRESS, NetworkSetup, Outbound};
use shedbox_spec::network::egress::Egress;

use crate::audit::{Audit, Event, EventKind};
use crate::directory::{Directory, Member};
use crate::firewall::Firewall;
use crate::gateway::kernel;
use crate::host_access::HostAccess;
use crate::links::{self, Link, Links};
use crate::policy;
use crate::ports::{Ports, TargetAddresses};
use crate::proxy::Proxy;
use crate::uplink::Uplink;

/// Everything that attachments are made of.
pub(crate) struct Members {
    /// The gateway's own network namespace.
    pub(crate) namespace: OwnedFd,
    /// Number of the user namespace that owns it.
    pub(crate) user_namespace: u64,
    pub(crate) links: Links,
    pub(crate) firewall: Arc<Firewall>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) ports: Ports,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) host_access: Arc<HostAccess>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) attached: HashMap<String, Connected>,
    pub(crate) next: u32,
}

/// One attached sandbox.
pub(crate) struct Connected {
    member: Arc<Member>,
    /// By group of the network.
    links: Vec<(u32, Link)>,
}

impl Connected {
    fn interfaces(&self) -> Vec<String> {
        self.links
            .iter()
            .map(|(_, link)| link.name.clone())
            .collect()
    }
}

impl Members {
    pub(crate) fn add_network(&mut self, network: NetworkSetup) -> Result<(), Error> {
        if self.directory.network(network.group).as_ref() == Some(&network) {
            return Ok(());
        }
        self.links
            .add_network(&network)
            .map_err(|error| kernel("give the gateway an address", &error))?;
        self.firewall
            .add_network(network.group, network.peers, network.internal)
            .map_err(|error| kernel("add a network to the rules", &error))?;
        self.directory.add_network(network);
        Ok(())
    }

    pub(crate) fn remove_network(&mut self, group: u32) -> Result<(), Error> {
        let Some(network) = self.directory.remove_network(group) else {
            return Ok(());
        };
        self.firewall
            .remove_network(group, network.peers, network.internal)
            .map_err(|error| kernel("take a network out of the rules", &error))?;
        self.links
            .remove_network(&network)
            .map_err(|error| kernel("take an address from the gateway", &error))
    }

    pub(crate) fn attach(
        &mut self,
        attach: Attach,
        namespace: &OwnedFd,
    ) -> Result<Attached, Error> {
        self.detach(&attach.sandbox);
        let networks = attach
            .endpoints
            .iter()
            .map(|endpoint| self.network(endpoint.group))
            .collect::<Result<Vec<_>, _>>()?;
        let there = self.socket_in(namespace.as_fd())?;
        let member = Arc::new(Member::new(&attach, self.next));
        self.next = self.next.wrapping_add(1);
        let mut connected = Connected {
            member: Arc::clone(&member),
            links: Vec::new(),
        };
        // The first network that leads outside has the default route.
        let way_out = networks.iter().position(|network| !network.internal);
        for (index, (network, endpoint)) in networks.iter().zip(&attach.endpoints).enumerate() {
            let default = way_out == Some(index);
            match self
                .links
                .connect(network, endpoint, namespace.as_fd(), &there, default)
            {
                Ok(link) => connected.links.push((network.group, link)),
                Err(error) => {
                    self.unlink(&connected);
                    return Err(kernel("connect a sandbox", &error));
                }
            }
        }
        let interfaces = connected.interfaces();
        let rules = self.set_rules(&member, &interfaces, attach.egress.as_ref(), &interfaces);
        if let Err(error) = rules {
            self.unlink(&connected);
            return Err(error);
        }
        self.directory.add(Arc::clone(&member));
        for endpoint in &attach.endpoints {
            self.directory.connect(&member, endpoint.clone());
        }
        self.attached.insert(attach.sandbox.clone(), connected);
        let ports = match attach.endpoints.first() {
            Some(first) => {
                let target = TargetAddresses {
                    v4: first.v4,
                    v6: first.v6,
                };
                self.ports
                    .publish(&attach.sandbox, target, &attach.ports, &attach.published)
            }
            None => Ok(Vec::new()),
        };
        let ports = match ports {
            Ok(ports) => ports,
            Err(error) => {
                self.take_away(&attach.sandbox, true);
                return Err(error);
            }
        };
        let mut warnings = Vec::new();
        if way_out.is_some()
            && let Outbound::Absent(error) = self.uplink.outbound()
        {
            let hint = error.hint.map(|hint| format!(" ({hint})"));
            warnings.push(format!("{}{}", error.message, hint.unwrap_or_default()));
        }
        Ok(Attached { ports, warnings })
    }

    /// The namespace goes, and its interfaces with it. Where a policy holds it, they go first: somebody else may be in the
    /// namespace as well.
    pub(crate) fn detach(&mut self, sandbox: &str) {
        let held = self
            .directory
            .by_id(sandbox)
            .is_some_and(|member| member.egress().is_some());
        self.take_away(sandbox, held);
    }

    fn take_away(&mut self, sandbox: &str, links: bool) {
        let Some(connected) = self.attached.remove(sandbox) else {
            return;
        };
        self.ports.withdraw(sandbox);
        self.directory.remove(sandbox);
        if links {
            self.unlink(&connected);
        }
        self.close_proxied(&connected.member);
        self.audit.forget(sandbox);
        let interfaces = connected.interfaces();
        let mut outcomes = vec![self.firewall.set_policy(sandbox, &interfaces, None)];
        if connected.member.host_access {
            outcomes.extend(
                interfaces
                    .iter()
                    .map(|name| self.firewall.set_host_access(name, false)),
            );
        }
        for error in outcomes.into_iter().filter_map(Result::err) {
            tracing::warn!(
                sandbox,
                error = error.to_string(),
                "rules of a sandbox stay"
            );
        }
    }

    pub(crate) fn connect(
        &mut self,
        sandbox: &str,
        endpoint: Endpoint,
        namespace: &OwnedFd,
    ) -> Result<(), Error> {
        let network = self.network(endpoint.group)?;
        let there = self.socket_in(namespace.as_fd())?;
        let known = self
            .attached
            .get(sandbox)
            .ok_or_else(|| not_attached(sandbox))?;
        let member = Arc::clone(&known.member);
        let default = !network.internal && !self.directory.has_way_out(&member);
        let link = self
            .links
            .connect(&network, &endpoint, namespace.as_fd(), &there, default)
            .map_err(|error| kernel("connect a sandbox", &error))?;
        let Some(connected) = self.attached.get_mut(sandbox) else {
            return Err(not_attached(sandbox));
        };
        connected.links.push((network.group, link));
        let interfaces = connected.interfaces();
        let fresh = &interfaces[interfaces.len() - 1..];
        self.set_rules(&member, &interfaces, member.egress().as_deref(), fresh)?;
        self.directory.connect(&member, endpoint);
        Ok(())
    }

    /// An interface goes. If the default route led over it, it leads over the next one that has a way out from now on.
    pub(crate) fn disconnect(
        &mut self,
        sandbox: &str,
        group: u32,
        namespace: &OwnedFd,
    ) -> Result<(), Error> {
        let there = self.socket_in(namespace.as_fd())?;
        let directory = Arc::clone(&self.directory);
        let way_out = |connected: &Connected| {
            let mut networks = connected.links.iter();
            networks.find_map(|(group, _)| directory.network(*group).filter(|it| !it.internal))
        };
        let connected = self
            .attached
            .get_mut(sandbox)
            .ok_or_else(|| not_attached(sandbox))?;
        let Some(index) = connected.links.iter().position(|(own, _)| *own == group) else {
            return Ok(());
        };
        let led_out = way_out(connected);
        let (_, link) = connected.links.remove(index);
        let leads_out = way_out(connected);
        let member = Arc::clone(&connected.member);
        let interfaces = connected.interfaces();
        self.directory.disconnect(&member, group);
        self.links
            .remove(&link)
            .map_err(|error| kernel("remove an interface", &error))?;
        if led_out.is_some_and(|network| network.group == group)
            && let Some(network) = leads_out
            && let Some(endpoint) = member
                .endpoints()
                .iter()
                .find(|endpoint| endpoint.group == network.group)
        {
            links::lead_out(&there, &network, endpoint)
                .map_err(|error| kernel("move the default route", &error))?;
        }
        if member.host_access {
            self.firewall
                .set_host_access(&link.name, false)
                .map_err(|error| kernel("close the way to the host", &error))?;
        }
        let egress = member.egress();
        self.set_rules(&member, &interfaces, egress.as_deref(), &[])
    }

    /// Another name for DNS and the audit log. Nothing of a sandbox that is connected has to change for it.
    pub(crate) fn rename(&self, sandbox: &str, name: &str) -> Result<(), Error> {
        let connected = self
            .attached
            .get(sandbox)
            .ok_or_else(|| not_attached(sandbox))?;
        self.directory.rename(&connected.member, name);
        Ok(())
    }

    pub(crate) fn set_egress(
        &mut self,
        sandbox: &str,
        egress: Option<Egress>,
    ) -> Result<(), Error> {
        let connected = self
            .attached
            .get(sandbox)
            .ok_or_else(|| not_attached(sandbox))?;
        let member = Arc::clone(&connected.member);
        let interfaces = connected.interfaces();
        self.set_rules(&member, &interfaces, egress.as_ref(), &[])?;
        member.set_egress(egress);
        self.proxy.recheck(&member);
        let policy = member.egress();
        for endpoint in member.endpoints() {
            self.host_access
                .close_unless(IpAddr::V4(endpoint.v4), |port| {
                    policy
                        .as_deref()
                        .is_none_or(|policy| policy::may_reach(policy, HOST_ADDRESS.into(), port))
                });
        }
        self.audit.record(
            &member,
            Event {
                kind: EventKind::Policy,
                host: None,
                address: None,
                port: None,
                allowed: true,
                reason: Some("another policy is in force".to_owned()),
            },
        );
        Ok(())
    }

    pub(crate) fn list(&self) -> Vec<String> {
        self.attached.keys().cloned().collect()
    }

    /// No interface of any sandbox is left.
    pub(crate) fn all_gone(&self) -> bool {
        let Ok(there) = self.links.names() else {
            return false;
        };
        !self
            .attached
            .values()
            .flat_map(|connected| &connected.links)
            .any(|(_, link)| there.contains(&link.name))
    }

    fn network(&self, group: u32) -> Result<NetworkSetup, Error> {
        self.directory
            .network(group)
            .ok_or_else(|| Error::internal(format!("the gateway does not know network {group}")))
    }

    fn socket_in(&self, namespace: BorrowedFd<'_>) -> Result<Netlink, Error> {
        net::within(namespace, self.namespace.as_fd(), || {
            Netlink::open(Protocol::Route)
        })
        .and_then(|opened| opened)
        .map_err(|error| kernel("reach a sandbox's network namespace", &error))
    }

    /// Holds the interfaces of a sandbox to a policy; those that are `fresh` may reach the host, if the sandbox may.
    fn set_rules(
        &self,
        member: &Member,
        interfaces: &[String],
        egress: Option<&Egress>,
        fresh: &[String],
    ) -> Result<(), Error> {
        self.firewall
            .set_policy(&member.sandbox, interfaces, egress)
            .map_err(|error| kernel("put an egress policy in force", &error))?;
        for interface in fresh.iter().filter(|_| member.host_access) {
            self.firewall
                .set_host_access(interface, true)
                .map_err(|error| kernel("open the way to the host", &error))?;
        }
        Ok(())
    }

    fn close_proxied(&self, member: &Member) {
        self.proxy.forget(&member.sandbox);
        for endpoint in member.endpoints() {
            self.host_access.close(IpAddr::V4(endpoint.v4));
        }
    }

    fn unlink(&self, connected: &Connected) {
        for (_, link) in &connected.links {
            if let Err(error) = self.links.remove(link) {
                tracing::warn!(
                    interface = link.name,
                    error = error.to_string(),
                    "cannot remove"
                );
            }
        }
    }
}

/// Of this kind alone: the daemon then attaches it.
fn not_attached(sandbox: &str) -> Error {
    Error::not_found(format!(
        "sandbox {} is not connected",
        sandbox.get(..12).unwrap_or(sandbox)
    ))
}
