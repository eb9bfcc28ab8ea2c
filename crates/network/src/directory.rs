//! Who is on which network: what DNS, proxies and the audit log look up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use shedbox_spec::gateway::{Endpoint, NetworkSetup};
use shedbox_spec::network::egress::Egress;

/// One attached sandbox.
#[derive(Debug)]
pub struct Member {
    /// Id of the sandbox.
    pub sandbox: String,
    /// Its number in the gateway: part of the names of its interfaces and rules.
    pub number: u32,
    /// Servers that names of the world are looked up at; the host's when empty.
    pub dns: Vec<IpAddr>,
    /// It may reach the host at [`shedbox_spec::gateway::HOST_ADDRESS`].
    pub host_access: bool,
    /// Its name.
    name: Mutex<Arc<str>>,
    /// Interfaces in force.
    endpoints: Mutex<Vec<Endpoint>>,
    /// Egress policy in force.
    egress: Mutex<Option<Arc<Egress>>>,
}

impl Member {
    /// A member without interfaces.
    pub fn new(attach: &shedbox_spec::gateway::Attach, number: u32) -> Self {
        Self {
            sandbox: attach.sandbox.clone(),
            number,
            dns: attach.dns.clone(),
            host_access: attach.host_access,
            name: Mutex::new(attach.name.as_str().into()),
            endpoints: Mutex::default(),
            egress: Mutex::new(attach.egress.clone().map(Arc::new)),
        }
    }

    /// Its name.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&lock(&self.name))
    }

    /// Interfaces in force.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        lock(&self.endpoints).clone()
    }

    /// Egress policy in force.
    pub fn egress(&self) -> Option<Arc<Egress>> {
        lock(&self.egress).clone()
    }

    /// Puts another policy in force.
    pub fn set_egress(&self, egress: Option<Egress>) {
        *lock(&self.egress) = egress.map(Arc::new);
    }
}

/// Networks and members. A leaf in the order of locks: nobody takes another one while holding it.
#[derive(Debug, Default)]
pub struct Directory {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    networks: HashMap<u32, NetworkSetup>,
    members: HashMap<String, Arc<Member>>,
    addresses: HashMap<IpAddr, Arc<Member>>,
    /// (group, name in lower case) → who has it; several may.
    names: HashMap<(u32, String), Vec<(IpAddr, String)>>,
}

impl Directory {
    /// The sandbox with this address.
    pub fn by_address(&self, address: IpAddr) -> Option<Arc<Member>> {
        self.read().addresses.get(&address).cloned()
    }

    /// A sandbox by id.
    pub fn by_id(&self, sandbox: &str) -> Option<Arc<Member>> {
        self.read().members.get(sandbox).cloned()
    }

    /// A network by its group.
    pub fn network(&self, group: u32) -> Option<NetworkSetup> {
        self.read().networks.get(&group).cloned()
    }

    /// Adds or replaces a network.
    pub fn add_network(&self, network: NetworkSetup) {
        self.write().networks.insert(network.group, network);
    }

    /// Forgets a network.
    pub fn remove_network(&self, group: u32) -> Option<NetworkSetup> {
        self.write().networks.remove(&group)
    }

    /// Adds a member that has no interface yet.
    pub fn add(&self, member: Arc<Member>) {
        self.write().members.insert(member.sandbox.clone(), member);
    }

    /// Forgets a member with all its addresses and names.
    pub fn remove(&self, sandbox: &str) -> Option<Arc<Member>> {
        let mut inner = self.write();
        let member = inner.members.remove(sandbox)?;
        for endpoint in member.endpoints() {
            inner.forget(&member, &endpoint);
        }
        Some(member)
    }

    /// A member has another name.
    pub fn rename(&self, member: &Arc<Member>, name: &str) {
        let mut inner = self.write();
        for endpoint in member.endpoints() {
            inner.forget(member, &endpoint);
        }
        *lock(&member.name) = name.into();
        for endpoint in member.endpoints() {
            inner.remember(member, &endpoint);
        }
    }

    /// A member has one more interface.
    pub fn connect(&self, member: &Arc<Member>, endpoint: Endpoint) {
        let mut inner = self.write();
        inner.remember(member, &endpoint);
        lock(&member.endpoints).push(endpoint);
    }

    /// A member has an interface less; gives it.
    pub fn disconnect(&self, member: &Arc<Member>, group: u32) -> Option<Endpoint> {
        let mut inner = self.write();
        let mut endpoints = lock(&member.endpoints);
        let index = endpoints
            .iter()
            .position(|endpoint| endpoint.group == group)?;
        let endpoint = endpoints.remove(index);
        inner.forget(member, &endpoint);
        Some(endpoint)
    }

    /// Addresses of a name (in lower case, without a dot at the end) on the networks of the one who asks, where names are
    /// answered at all.
    pub fn resolve(&self, asker: &Member, name: &str) -> Option<Vec<IpAddr>> {
        let inner = self.read();
        let mut found = Vec::new();
        for endpoint in asker.endpoints() {
            if !inner
                .networks
                .get(&endpoint.group)
                .is_some_and(|network| network.names)
            {
                continue;
            }
            for (address, _) in inner
                .names
                .get(&(endpoint.group, name.to_owned()))
                .into_iter()
                .flatten()
            {
                if !found.contains(address) {
                    found.push(*address);
                }
            }
        }
        (!found.is_empty()).then_some(found)
    }

    /// Name and network's name behind an address that the one who asks shares a network with.
    pub fn reverse(&self, asker: &Member, address: IpAddr) -> Option<(String, String)> {
        let inner = self.read();
        let member = inner.addresses.get(&address)?;
        let group = member
            .endpoints()
            .iter()
            .find(|endpoint| {
                IpAddr::V4(endpoint.v4) == address || endpoint.v6.map(IpAddr::V6) == Some(address)
            })?
            .group;
        let network = inner.networks.get(&group).filter(|network| network.names)?;
        let shared = asker.endpoints().iter().any(|own| own.group == group);
        shared.then(|| (member.name().to_string(), network.name.clone()))
    }

    /// The address is in one of our own subnets.
    pub fn is_ours(&self, address: IpAddr) -> bool {
        let inner = self.read();
        inner.networks.values().any(|network| {
            network.v4.0.contains(address)
                || network
                    .v6
                    .is_some_and(|(subnet, _)| subnet.contains(address))
        })
    }

    /// Another sandbox has the address on a network of the one who asks whose members reach each other.
    pub fn is_peer(&self, asker: &Member, address: IpAddr) -> bool {
        let inner = self.read();
        let Some(member) = inner.addresses.get(&address) else {
            return false;
        };
        let groups = asker.endpoints();
        member
            .endpoints()
            .iter()
            .filter(|endpoint| endpoint.addresses().any(|own| own == address))
            .filter(|endpoint| groups.iter().any(|own| own.group == endpoint.group))
            .any(|endpoint| {
                inner
                    .networks
                    .get(&endpoint.group)
                    .is_some_and(|network| network.peers)
            })
    }

    /// The one who asks has a network that leads outside.
    pub fn has_way_out(&self, asker: &Member) -> bool {
        let inner = self.read();
        asker.endpoints().iter().any(|endpoint| {
            inner
                .networks
                .get(&endpoint.group)
                .is_some_and(|network| !network.internal)
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, member: &Arc<Member>, endpoint: &Endpoint) {
        for address in endpoint.addresses() {
            self.addresses.insert(address, Arc::clone(member));
            for name in names(member, endpoint) {
                let owners = self.names.entry((endpoint.group, name)).or_default();
                owners.push((address, member.sandbox.clone()));
            }
        }
    }

    fn forget(&mut self, member: &Member, endpoint: &Endpoint) {
        for address in endpoint.addresses() {
            if self
                .addresses
                .get(&address)
                .is_some_and(|owner| owner.sandbox == member.sandbox)
            {
                self.addresses.remove(&address);
            }
        }
        for name in names(member, endpoint) {
            let key = (endpoint.group, name);
            if let Some(owners) = self.names.get_mut(&key) {
                owners.retain(|(_, sandbox)| *sandbox != member.sandbox);
                if owners.is_empty() {
                    self.names.remove(&key);
                }
            }
        }
    }
}

/// What it is called there: its name, the short form of its id, its aliases; each once.
fn names(member: &Member, endpoint: &Endpoint) -> Vec<String> {
    let short = member.sandbox.get(..12).unwrap_or(&member.sandbox);
    let mut names = vec![member.name().to_ascii_lowercase(), short.to_owned()];
    names.extend(
        endpoint
            .aliases
            .iter()
            .map(|alias| alias.to_ascii_lowercase()),
    );
    names.sort_unstable();
    names.dedup();
    names
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
