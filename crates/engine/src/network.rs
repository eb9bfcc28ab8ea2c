//! Networks: which there are, who is on them, and what the gateway is told.
//!
//! [`records`] what is on disk · [`subnets`], [`addresses`] who gets which · [`wire`] how one sandbox is connected ·
//! [`client`] the gateway · [`attach`] in the life of a sandbox · [`manage`] what users ask for

mod addresses;
mod attach;
mod client;
mod manage;
mod records;
mod subnets;
pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use shedbox_spec::error::Cause;
use shedbox_spec::gateway::{BRIDGE_GROUP, NetworkSetup};
use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::network::{self, BRIDGE};
use shedbox_spec::paths::Paths;
use shedbox_spec::{Error, Kind};

use self::addresses::Leases;
use self::client::Client;
use self::records::{Book, NetworkRecord};
use self::wire::Wire;
use crate::error::Result;

/// Everything about networks that is not one sandbox's.
#[derive(Debug)]
pub(crate) struct Networks {
    dir: PathBuf,
    pools: Vec<Subnet>,
    /// A leaf in the order of locks (see [`crate::sandbox`]), as the client's is.
    state: Mutex<State>,
    client: Client,
    /// Before every other lock: see [`Engine::rewire`](crate::Engine::rewire).
    rewiring: Mutex<()>,
}

#[derive(Debug)]
struct State {
    book: Book,
    leases: Leases,
}

impl Networks {
    /// Reads what is there.
    pub(crate) fn open(paths: &Paths, pools: &[String], log: Option<PathBuf>) -> Result<Self> {
        let dir = paths.network();
        let pools = if pools.is_empty() {
            subnets::POOLS.map(str::to_owned).to_vec()
        } else {
            pools.to_vec()
        };
        let pools = pools
            .iter()
            .map(|pool| Subnet::parse(pool))
            .collect::<shedbox_spec::Result<Vec<_>>>()?;
        if let Some(pool) = pools.iter().find(|pool| pool.address().is_ipv6()) {
            return Err(Error::invalid(format!("address pool {pool} is not IPv4"))
                .with_hint("pools of the configuration are for IPv4; IPv6 subnets need none")
                .into());
        }
        Ok(Self {
            state: Mutex::new(State {
                book: Book::read(&dir)?.unwrap_or_default(),
                leases: Leases::default(),
            }),
            client: Client::new(paths.gateway_socket(), paths.audit(), log),
            rewiring: Mutex::default(),
            dir,
            pools,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rewiring(&self) -> MutexGuard<'_, ()> {
        self.rewiring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another book in the place of the one in memory and on disk.
    fn keep(&self, state: &mut State, book: Book) -> Result<()> {
        book.write(&self.dir)?;
        state.book = book;
        Ok(())
    }

    /// The gateway's addresses on the networks of a sandbox, which are all there.
    fn gateways(&self, wire: &Wire) -> Result<Vec<Ipv4Addr>> {
        let state = self.state();
        wire.endpoints
            .iter()
            .map(|(id, _)| Ok(state.book.require(id)?.gateway))
            .collect()
    }

    /// What a gateway has to know.
    fn setups(&self) -> Vec<NetworkSetup> {
        self.state()
            .book
            .networks
            .iter()
            .map(NetworkRecord::setup)
            .collect()
    }

    /// A network; the built-in one is made when it is asked for first, which is the second part of the answer.
    fn require(
        &self,
        name: &str,
        random: impl Fn(&mut [u8]) -> Result<()>,
    ) -> Result<(NetworkRecord, bool)> {
        let mut state = self.state();
        if let Some(found) = state.book.find(name) {
            return Ok((found.clone(), false));
        }
        if name != BRIDGE {
            return Err(Error::not_found(format!("no network `{name}`"))
                .with_cause(Cause::NoNetwork(name.to_owned()))
                .with_hint(
                    "`shedbox network ls` lists them; `shedbox network create NAME` makes one",
                )
                .into());
        }
        let mut book = state.book.clone();
        prepare(&mut book, &random)?;
        let taken = taken(&book);
        let subnet = subnets::choose(&self.pools, subnets::BRIDGE_PREFIX, &taken)
            .or_else(|_| subnets::choose(&self.pools, subnets::NETWORK_PREFIX, &taken))?;
        let record = NetworkRecord {
            id: new_id(&random)?,
            name: BRIDGE.to_owned(),
            group: BRIDGE_GROUP,
            created_at: Timestamp::now(),
            subnet,
            gateway: first_of(subnet)?,
            v6: None,
            internal: false,
            builtin: true,
            labels: std::collections::BTreeMap::new(),
            options: std::collections::BTreeMap::new(),
        };
        book.networks.push(record.clone());
        self.keep(&mut state, book)?;
        Ok((record, true))
    }

    fn find(&self, name: &str) -> Result<NetworkRecord> {
        Ok(self.state().book.require(name)?.clone())
    }
}

/// What a root has before its first network.
fn prepare(book: &mut Book, random: &impl Fn(&mut [u8]) -> Result<()>) -> Result<()> {
    if book.next_group <= BRIDGE_GROUP {
        random(&mut book.ula)?;
        book.next_group = BRIDGE_GROUP + 1;
    }
    Ok(())
}

/// Subnets that are somebody's: our networks' and what the host has routes to.
fn taken(book: &Book) -> Vec<Subnet> {
    // A host without the file has no routes that could be in the way.
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    book.networks
        .iter()
        .map(|network| network.subnet)
        .chain(subnets::parse_routes(&routes))
        .collect()
}

/// The same for IPv6.
fn taken_v6(book: &Book) -> Vec<Subnet> {
    let routes = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    book.networks
        .iter()
        .filter_map(|network| network.v6.map(|(subnet, _)| subnet))
        .chain(subnets::parse_routes_v6(&routes))
        .collect()
}

fn first_of(subnet: Subnet) -> Result<Ipv4Addr> {
    match subnet.nth(1) {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(Error::invalid(format!("subnet {subnet} has no address for a gateway")).into()),
    }
}

fn first_of_v6(subnet: Subnet) -> Result<Ipv6Addr> {
    match subnet.nth(1) {
        Some(IpAddr::V6(address)) => Ok(address),
        _ => Err(Error::invalid(format!("subnet {subnet} has no address for a gateway")).into()),
    }
}

fn new_id(random: &impl Fn(&mut [u8]) -> Result<()>) -> Result<String> {
    let mut bytes = [0; 32];
    random(&mut bytes)?;
    Ok(shedbox_spec::SandboxId::from_bytes(&bytes).to_string())
}

/// The kernel has IPv6, and nobody has switched it off.
fn ipv6() -> Result<()> {
    let disabled = std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .map_or(true, |text| text.trim() == "1");
    if disabled || !Path::new("/proc/sys/net/ipv6").is_dir() {
        return Err(Error::new(Kind::Unsupported, "IPv6 is off on this host")
            .with_hint("leave out `--ipv6`, or switch IPv6 on: `sysctl net.ipv6.conf.all.disable_ipv6=0`, and no `ipv6.disable=1` at boot")
            .into());
    }
    Ok(())
}

/// Names that a sandbox has on a network, checked.
fn aliases(attachment: &network::Attachment) -> Result<Vec<String>> {
    Ok(attachment
        .aliases
        .iter()
        .map(|alias| network::name::alias(alias))
        .collect::<shedbox_spec::Result<_>>()?)
}
