//! How one sandbox is connected, as it is now: what the spec asked for, and what connect, disconnect and a new policy made
//! of it. On disk as `network.json` in the sandbox's directory, replaced, never edited.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shedbox_spec::gateway::Endpoint;
use shedbox_spec::network::egress::Egress;
use shedbox_spec::network::port::{PortSpec, PublishedPort};

use crate::error::{Doing, Result, on_path};

const FILE: &str = "network.json";

/// The connections of a sandbox. Without endpoints it has none, and no file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Wire {
    /// Interfaces, with the id of the network of each.
    pub(crate) endpoints: Vec<(String, Endpoint)>,
    /// Ports that are to be published.
    pub(crate) ports: Vec<PortSpec>,
    /// Ports in force, or those that were when it last ran.
    pub(crate) published: Vec<PublishedPort>,
    /// Egress policy.
    pub(crate) egress: Option<Egress>,
    /// It may reach the host.
    pub(crate) host_access: bool,
    /// The generation that the gateway has connected.
    #[serde(skip)]
    pub(crate) attached: Option<u64>,
}

impl Wire {
    /// Reads it; absent: not connected.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).doing(|| on_path("read", &path)),
            Ok(text) => serde_json::from_slice(&text)
                .map_err(std::io::Error::from)
                .doing(|| on_path("understand", &path)),
        }
    }

    /// There is one on disk.
    pub(crate) fn is_written(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Puts it in the place of what is there.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let (path, next) = (dir.join(FILE), dir.join("network.json.next"));
        let text = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .doing(|| on_path("encode", &path))?;
        std::fs::write(&next, text).doing(|| on_path("write", &next))?;
        std::fs::rename(&next, &path).doing(|| on_path("replace", &path))
    }

    /// Name of the next interface.
    pub(crate) fn next_interface(&self) -> String {
        let taken = |name: &String| {
            self.endpoints
                .iter()
                .any(|(_, endpoint)| endpoint.interface == *name)
        };
        // One of them is free: there is one more than interfaces.
        (0..=self.endpoints.len())
            .map(|number| format!("eth{number}"))
            .find(|name| !taken(name))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_among_interfaces_is_filled() {
        let mut wire = Wire::default();
        let endpoint = |interface: &str| Endpoint {
            group: 17,
            interface: interface.into(),
            mac: [0; 6],
            v4: std::net::Ipv4Addr::LOCALHOST,
            v6: None,
            aliases: vec![],
        };
        assert_eq!(wire.next_interface(), "eth0");
        wire.endpoints.push((String::new(), endpoint("eth0")));
        wire.endpoints.push((String::new(), endpoint("eth2")));
        assert_eq!(wire.next_interface(), "eth1");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Wire::read(dir.path()).unwrap(), Wire::default());
        wire.write(dir.path()).unwrap();
        assert_eq!(Wire::read(dir.path()).unwrap(), wire);
    }
}
