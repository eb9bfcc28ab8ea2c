//! The networks of this root, as they are on disk: `<root>/network/networks.json`, replaced, never edited.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shedbox_spec::error::Cause;
use shedbox_spec::gateway::NetworkSetup;
use shedbox_spec::network::subnet::Subnet;

use crate::error::{Doing, Result, on_path};

/// Option of Docker's bridge driver: members reach each other.
const ICC: &str = "com.docker.network.bridge.enable_icc";

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    /// Random part of the IPv6 addresses of this root.
    pub(crate) ula: [u8; 5],
    /// Group of the next network.
    pub(crate) next_group: u32,
    pub(crate) networks: Vec<NetworkRecord>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) group: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) subnet: Subnet,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) v6: Option<(Subnet, Ipv6Addr)>,
    pub(crate) internal: bool,
    /// The one that is there without being made.
    pub(crate) builtin: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) options: BTreeMap<String, String>,
}

impl NetworkRecord {
    /// As the gateway knows it. On the built-in network sandboxes are strangers to each other.
    pub(crate) fn setup(&self) -> NetworkSetup {
        let closed = self.options.get(ICC).is_some_and(|value| value == "false");
        NetworkSetup {
            group: self.group,
            name: self.name.clone(),
            v4: (self.subnet, self.gateway),
            v6: self.v6,
            peers: !self.builtin && !closed,
            names: !self.builtin,
            internal: self.internal,
        }
    }

    /// All subnets.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = Subnet> {
        std::iter::once(self.subnet).chain(self.v6.map(|(subnet, _)| subnet))
    }

    /// The address is the gateway's.
    pub(crate) fn is_gateway(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.gateway)
            || self
                .v6
                .is_some_and(|(_, gateway)| address == IpAddr::V6(gateway))
    }
}

impl Book {
    /// Reads it; a root without one has no networks yet.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = file(dir);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing(|| on_path("read", &path))?,
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(std::io::Error::from)
            .doing(|| on_path("understand", &path))
    }

    /// Puts it in the place of the one on disk.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let (path, next) = (file(dir), dir.join("networks.json.next"));
        std::fs::create_dir_all(dir).doing(|| on_path("make directory", dir))?;
        let text = serde_json::to_vec_pretty(self)
            .map_err(std::io::Error::from)
            .doing(|| on_path("encode", &path))?;
        std::fs::write(&next, text).doing(|| on_path("write", &next))?;
        std::fs::rename(&next, &path).doing(|| on_path("replace", &path))
    }

    /// By name, id, or the beginning of an id that is only one's.
    pub(crate) fn find(&self, name: &str) -> Option<&NetworkRecord> {
        if let Some(exact) = self
            .networks
            .iter()
            .find(|network| network.name == name || network.id == name)
        {
            return Some(exact);
        }
        let mut matching = self
            .networks
            .iter()
            .filter(|network| !name.is_empty() && network.id.starts_with(name));
        matching.next().filter(|_| matching.next().is_none())
    }

    /// The same; that there is none is an error.
    pub(crate) fn require(&self, name: &str) -> shedbox_spec::Result<&NetworkRecord> {
        self.find(name).ok_or_else(|| {
            shedbox_spec::Error::not_found(format!("no network `{name}`"))
                .with_cause(Cause::NoNetwork(name.to_owned()))
                .with_hint("`shedbox network ls` lists them")
        })
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("networks.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Book::read(dir.path()).unwrap(), None);
        let network = |id: &str, name: &str| NetworkRecord {
            id: id.into(),
            name: name.into(),
            group: 17,
            created_at: Timestamp::UNIX_EPOCH,
            subnet: Subnet::parse("10.1.0.0/24").unwrap(),
            gateway: Ipv4Addr::new(10, 1, 0, 1),
            v6: None,
            internal: false,
            builtin: false,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        };
        let book = Book {
            ula: [1, 2, 3, 4, 5],
            next_group: 18,
            networks: vec![network("abc1", "shop"), network("abd2", "abc1x")],
        };
        book.write(dir.path()).unwrap();
        assert_eq!(Book::read(dir.path()).unwrap().as_ref(), Some(&book));
        assert_eq!(book.find("shop").unwrap().id, "abc1");
        assert_eq!(book.find("abd").unwrap().id, "abd2");
        assert!(book.find("ab").is_none() && book.find("").is_none() && book.find("x").is_none());
        std::fs::write(dir.path().join("networks.json"), "{").unwrap();
        assert!(Book::read(dir.path()).is_err());
    }

    #[test]
    fn strangers_on_the_built_in_network() {
        let mut record = NetworkRecord {
            id: String::new(),
            name: "bridge".into(),
            group: 16,
            created_at: Timestamp::UNIX_EPOCH,
            subnet: Subnet::parse("10.1.0.0/24").unwrap(),
            gateway: Ipv4Addr::new(10, 1, 0, 1),
            v6: None,
            internal: false,
            builtin: true,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        };
        assert!(!record.setup().peers && !record.setup().names);
        record.builtin = false;
        assert!(record.setup().peers && record.setup().names);
        record.options.insert(ICC.into(), "false".into());
        assert!(!record.setup().peers && record.setup().names);
    }
}
