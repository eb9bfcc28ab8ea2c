//! The rules of the gateway's namespace, in one nf_tables table.
//!
//! ```text
//! prerouting   a false source is dropped (each address belongs to one interface)
//! redirect     host-gateway → the host proxy;  with a policy by names: TCP 80 and 443 → the proxy that reads names
//! input        DNS, pings, and what was redirected
//! forward      same group (same network) · from the uplink only answers · to the uplink: the sandbox's policy, if it
//!              has one, else everything but link-local and metadata addresses
//! postrouting  what goes to the uplink gets the gateway's address
//! ```
//!
//! A network costs one element of a set, a sandbox without a policy nothing: its interfaces' group says it all. A policy
//! is a chain of its own. Connections that it lets pass are marked with a number of that very version of the policy, so a
//! new version judges the packets of old connections anew, in both directions, without a list of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shedbox_linux::netlink::{Netlink, Protocol as Part};
use shedbox_linux::nft::{Key, Transaction};
use shedbox_linux::{Error, Result};
use shedbox_spec::network::egress::{Egress, Target, Verdict as Policy};
use shedbox_spec::network::port::Protocol;

use crate::directory::Member;
use crate::policy;
use crate::wall::Wall;

mod base;
mod chains;

const TABLE: &str = "shedbox";
/// Interface of pasta.
pub const UPLINK: &str = "up0";
/// Interface that stands in for the uplink as long as there is none.
pub const NOWHERE: &str = "nowhere";
/// What names of interfaces to sandboxes begin with.
pub const SANDBOX_PREFIX: &str = "sb";
/// Where the proxies are: an address of TEST-NET-3 (RFC 5737) in the gateway's namespace. The interfaces themselves have
/// none that packets could be redirected to.
pub const PROXY_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 3);
/// Port of the proxy that reads names, in the gateway's namespace.
pub const NAME_PROXY_PORT: u16 = 3128;
/// Port of the proxy to the host's loopback.
pub const HOST_PROXY_PORT: u16 = 3129;
/// Group of NFLOG messages about policies.
pub const LOG_GROUP: u16 = 1;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// How long an address is good at least, whatever the time to live says: programs look up once and connect later.
const GRACE: Duration = Duration::from_mins(2);
/// Most names that are remembered for one address.
const NAMES_MAX: usize = 64;
/// Most addresses that are remembered for one sandbox.
const LEARNED_MAX: usize = 4096;

/// The table, and what it was told.
pub struct Firewall {
    state: Mutex<State>,
}

struct State {
    netlink: Netlink,
    /// Number of the next version of a policy: mark of its connections, part of the names of its chains.
    next: u32,
    /// By sandbox id.
    policies: HashMap<String, InForce>,
}

struct InForce {
    version: u32,
    egress: Egress,
    /// Interfaces that lead to its chains.
    interfaces: Vec<String>,
    learned: HashMap<IpAddr, Vec<(String, Instant)>>,
    /// Keys that are in its sets.
    keys: HashMap<(String, Key), Instant>,
}

impl std::fmt::Debug for Firewall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Firewall").finish_non_exhaustive()
    }
}

impl Firewall {
    /// Makes the table in this thread's network namespace.
    pub fn new() -> Result<Self> {
        let netlink = Netlink::open(Part::Netfilter)?;
        base::table().commit(&netlink)?;
        Ok(Self {
            state: Mutex::new(State {
                netlink,
                next: 1,
                policies: HashMap::new(),
            }),
        })
    }

    /// A network is there: may its members reach each other, and is there a way out of it.
    pub fn add_network(&self, group: u32, peers: bool, internal: bool) -> Result<()> {
        self.set_network(group, peers, internal, true)
    }

    /// A network has gone, which was as it is said here.
    pub fn remove_network(&self, group: u32, peers: bool, internal: bool) -> Result<()> {
        self.set_network(group, peers, internal, false)
    }

    fn set_network(&self, group: u32, peers: bool, internal: bool, there: bool) -> Result<()> {
        let mut change = Transaction::on(TABLE);
        if peers {
            change.set_keys("peers", &[Key::Groups(group, group)], there);
        }
        if !internal {
            change.set_keys("outward", &[Key::Group(group)], there);
        }
        change.commit(&self.state().netlink)
    }

    /// An interface may reach the host, or may no longer.
    pub fn set_host_access(&self, interface: &str, may: bool) -> Result<()> {
        let mut change = Transaction::on(TABLE);
        change.set_keys("host_access", &[Key::Interface(interface.to_owned())], may);
        change.commit(&self.state().netlink)
    }

    /// Puts a policy in force for the interfaces of a sandbox, in the place of an earlier one; none removes it. One
    /// transaction: no packet passes between the two.
    pub fn set_policy(
        &self,
        sandbox: &str,
        interfaces: &[String],
        egress: Option<&Egress>,
    ) -> Result<()> {
        let mut state = self.state();
        let before = state.policies.get(sandbox);
        if before.is_none() && egress.is_none() {
            return Ok(());
        }
        let mut change = Transaction::on(TABLE);
        if let Some(before) = before {
            chains::unlink(&mut change, &before.interfaces);
        }
        let version = state.next;
        let mut next = egress.map(|egress| InForce {
            version,
            egress: egress.clone(),
            interfaces: interfaces.to_vec(),
            learned: before
                .map(|before| before.learned.clone())
                .unwrap_or_default(),
            keys: HashMap::new(),
        });
        if let Some(next) = &mut next {
            chains::make(&mut change, version, &next.egress);
            let now = Instant::now();
            let fresh: Vec<_> = next.keys_of_all(now);
            for (set, key, until) in fresh {
                change.add_keys(&set, std::slice::from_ref(&key));
                next.keys.insert((set, key), until);
            }
            chains::link(&mut change, version, interfaces);
        }
        if let Some(before) = before {
            chains::remove(&mut change, before.version);
        }
        change.commit(&state.netlink)?;
        state.next = state.next.checked_add(1).unwrap_or(1);
        match next {
            Some(next) => state.policies.insert(sandbox.to_owned(), next),
            None => state.policies.remove(sandbox),
        };
        Ok(())
    }

    /// Takes addresses out of the sets whose time is over. Connections that are open to them go on.
    pub fn expire(&self) -> Result<()> {
        let mut state = self.state();
        let now = Instant::now();
        let State {
            netlink, policies, ..
        } = &mut *state;
        for policy in policies.values_mut() {
            let over: Vec<(String, Key)> = policy
                .keys
                .iter()
                .filter(|(_, until)| **until <= now)
                .map(|(key, _)| key.clone())
                .collect();
            if !over.is_empty() {
                let mut change = Transaction::on(TABLE);
                for (set, key) in &over {
                    change.remove_keys(set, std::slice::from_ref(key));
                }
                change.commit(netlink)?;
                for key in over {
                    policy.keys.remove(&key);
                }
            }
            policy.learned.retain(|_, names| {
                names.retain(|(_, until)| *until > now);
                !names.is_empty()
            });
        }
        Ok(())
    }

    /// Which sandbox a version of a policy belongs to.
    pub(crate) fn sandbox_of(&self, version: u32) -> Option<String> {
        let state = self.state();
        state
            .policies
            .iter()
            .find(|(_, policy)| policy.version == version)
            .map(|(sandbox, _)| sandbox.clone())
    }

    /// A name that an address was handed out for, for the log.
    pub(crate) fn a_name_of(&self, member: &Member, address: IpAddr) -> Option<String> {
        self.names_of(member, address).into_iter().next()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wall for Firewall {
    fn learn(
        &self,
        member: &Member,
        name: &str,
        addresses: &[(IpAddr, u32)],
    ) -> std::io::Result<()> {
        let mut state = self.state();
        let State {
            netlink, policies, ..
        } = &mut *state;
        let Some(policy) = policies.get_mut(&member.sandbox) else {
            return Ok(());
        };
        let now = Instant::now();
        let mut change = Transaction::on(TABLE);
        let mut fresh = Vec::new();
        for (address, ttl) in addresses {
            if policy.learned.len() >= LEARNED_MAX && !policy.learned.contains_key(address) {
                return Err(std::io::Error::other(
                    "too many addresses at once for one sandbox",
                ));
            }
            let until = now + GRACE + Duration::from_secs(u64::from((*ttl).min(86_400)));
            let names = policy.learned.entry(*address).or_default();
            names.retain(|(known, _)| known != name);
            if names.len() >= NAMES_MAX {
                names.remove(0);
            }
            names.push((name.to_owned(), until));
            for (set, key) in keys(policy.version, &policy.egress, name, *address) {
                let place = (set, key);
                if let Some(known) = policy.keys.get_mut(&place) {
                    *known = (*known).max(until);
                } else {
                    change.add_keys(&place.0, std::slice::from_ref(&place.1));
                    fresh.push((place, until));
                }
            }
        }
        if !fresh.is_empty() {
            change.commit(netlink).map_err(io)?;
            policy.keys.extend(fresh);
        }
        Ok(())
    }

    fn names_of(&self, member: &Member, address: IpAddr) -> Vec<String> {
        let state = self.state();
        let now = Instant::now();
        state
            .policies
            .get(&member.sandbox)
            .and_then(|policy| policy.learned.get(&address))
            .into_iter()
            .flatten()
            .filter(|(_, until)| *until > now)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

impl InForce {
    fn keys_of_all(&self, now: Instant) -> Vec<(String, Key, Instant)> {
        let mut all: HashMap<(String, Key), Instant> = HashMap::new();
        for (address, names) in &self.learned {
            for (name, until) in names.iter().filter(|(_, until)| *until > now) {
                for place in keys(self.version, &self.egress, name, *address) {
                    let known = all.entry(place).or_insert(*until);
                    *known = (*known).max(*until);
                }
            }
        }
        all.into_iter()
            .map(|((set, key), until)| (set, key, until))
            .collect()
    }
}

/// What goes into which set when a name leads to an address.
fn keys(version: u32, egress: &Egress, name: &str, address: IpAddr) -> Vec<(String, Key)> {
    if egress.default == Policy::Allow || !policy::name_allowed(egress, name) {
        return Vec::new();
    }
    let mut keys = Vec::new();
    let protocols = |only: Option<Protocol>| match only {
        Some(Protocol::Tcp) => vec![TCP],
        Some(Protocol::Udp) => vec![UDP],
        None => vec![TCP, UDP],
    };
    for rule in &egress.allow {
        if !matches!(rule.target, Target::Name(_)) || !rule.matches_name(name) {
            continue;
        }
        let v6 = address.is_ipv6();
        match (rule.ports, rule.protocol) {
            (None, None) => keys.push((chains::set("any", v6, version), Key::Address(address))),
            (None, some) => {
                for number in protocols(some) {
                    keys.push((
                        chains::set("protocol", v6, version),
                        Key::AddressProtocol(address, number),
                    ));
                }
            }
            (Some((first, last)), some) => {
                for number in protocols(some) {
                    for port in first..=last {
                        keys.push((
                            chains::set("port", v6, version),
                            Key::AddressPort(address, number, port),
                        ));
                    }
                }
            }
        }
    }
    keys
}

fn io(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}

#[cfg(test)]
#[path = "firewall_tests.rs"]
mod tests;
