//! Networks in our own API.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::network::Attachment;
use crate::network::subnet::Subnet;

/// Make a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkCreate {
    /// Name.
    pub name: String,
    /// Driver; `bridge` when empty, and nothing else.
    pub driver: String,
    /// Subnets that were asked for: at most one of IPv4 and one of IPv6.
    pub subnets: Vec<Subnet>,
    /// The gateway's IPv4 address; the first one of the subnet when absent.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 addresses as well.
    pub ipv6: bool,
    /// No way out.
    pub internal: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// Identity, 64 hexadecimal digits.
    pub id: String,
    /// Name.
    pub name: String,
    /// `bridge`, or `host` and `none` for the two modes.
    pub driver: String,
    /// RFC 3339.
    pub created_at: String,
    /// IPv4 subnet.
    pub subnet: Option<Subnet>,
    /// The gateway's address in it.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 subnet.
    pub subnet6: Option<Subnet>,
    /// The gateway's address in it.
    pub gateway6: Option<Ipv6Addr>,
    /// No way out.
    pub internal: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Sandboxes on it, running or not.
    pub sandboxes: Vec<NetworkMember>,
}

/// A sandbox on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMember {
    /// Id of the sandbox.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its interface there.
    pub endpoint: EndpointInfo,
}

/// An interface of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// Name of the network.
    pub network: String,
    /// Id of the network.
    pub network_id: String,
    /// Name of the interface inside.
    pub interface: String,
    /// Hardware address, `02:42:…`.
    pub mac: String,
    /// IPv4 address.
    pub ip: Ipv4Addr,
    /// Length of the prefix.
    pub prefix: u8,
    /// The gateway's address.
    pub gateway: Ipv4Addr,
    /// IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// Length of its prefix.
    pub prefix6: u8,
    /// The gateway's IPv6 address.
    pub gateway6: Option<Ipv6Addr>,
    /// Further names there.
    pub aliases: Vec<String>,
}

/// Connect a sandbox to a network. The attachment's network is the one of the path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConnect {
    /// Sandbox by name or id.
    pub sandbox: String,
    /// Addresses and aliases.
    pub attachment: Attachment,
}

/// Disconnect a sandbox from a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkDisconnect {
    /// Sandbox by name or id.
    pub sandbox: String,
    /// One that is not connected is no error.
    pub force: bool,
}

/// Another egress policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressRequest {
    /// The policy; none at all when absent.
    pub egress: Option<crate::network::egress::Egress>,
}
