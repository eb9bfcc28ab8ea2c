//! Messages between the daemon and the gateway: the process in which all sandboxes' networks meet.
//!
//! Frames of JSON on a SOCK_SEQPACKET socket, one answer to each request. [`Request::Attach`], [`Request::Connect`]
//! and [`Request::Disconnect`] come with one descriptor: the network namespace of the sandbox.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::network::egress::Egress;
use crate::network::port::{PortSpec, PublishedPort};
use crate::network::subnet::Subnet;

/// Changes whenever these messages do.
pub const GATEWAY_VERSION: u32 = 3;
/// Options of pasta that the way to the world depends on, as its help names them.
pub const PASTA_OPTIONS: [&str; 12] = [
    "--netns",
    "--netns-only",
    "--config-net",
    "--ns-ifname",
    "--no-map-gw",
    "--address",
    "--netmask",
    "--gateway",
    "--tcp-ports",
    "--udp-ports",
    "--foreground",
    "--runas",
];
/// Device group of the default network.
pub const BRIDGE_GROUP: u32 = 16;

/// What the daemon asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who is there.
    Hello,
    /// A network is there; the same again changes nothing.
    AddNetwork(NetworkSetup),
    /// A network has gone, by its group.
    RemoveNetwork(u32),
    /// A sandbox's network namespace is connected. Takes the place of an earlier attachment of the same sandbox.
    Attach(Box<Attach>),
    /// A sandbox's namespace has gone or goes: its ports are closed when the answer comes. Unknown ones are no error.
    Detach(String),
    /// One more interface for an attached sandbox.
    Connect {
        /// Sandbox id.
        sandbox: String,
        /// The interface.
        endpoint: Endpoint,
    },
    /// An interface less, by the group of its network.
    Disconnect {
        /// Sandbox id.
        sandbox: String,
        /// Group of the network.
        group: u32,
    },
    /// Another name.
    Rename {
        /// Sandbox id.
        sandbox: String,
        /// The name.
        name: String,
    },
    /// Another egress policy. Connections that it does not allow are ended when the answer comes.
    SetEgress {
        /// Sandbox id.
        sandbox: String,
        /// The policy; none at all when absent.
        egress: Option<Egress>,
    },
    /// Ids of the attached sandboxes.
    List,
}

/// What the gateway answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello {
        /// [`GATEWAY_VERSION`].
        version: u32,
        /// Pid.
        pid: i32,
        /// Number of its user namespace, the inode: sandboxes of another one are out of its reach.
        #[serde(default)]
        user_namespace: u64,
        /// The way to the world.
        outbound: Outbound,
    },
    /// To `Attach`: what is published, in force.
    Attached(Attached),
    /// Done.
    Done,
    /// To `List`.
    Sandboxes(Vec<String>),
    /// It could not be done, and nothing has changed. Not found: the sandbox is not attached, as it is after the gateway
    /// has been replaced.
    Failed(Error),
}

/// What came of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attached {
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// What could not be had and was done without.
    pub warnings: Vec<String>,
}

/// The way to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outbound {
    /// Through pasta.
    Pasta,
    /// None; why, and what mends it.
    Absent(Error),
}

/// A network as the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSetup {
    /// Device group of its interfaces: it says which network one belongs to.
    pub group: u32,
    /// Name.
    pub name: String,
    /// The IPv4 subnet and the gateway's address in it.
    pub v4: (Subnet, Ipv4Addr),
    /// The IPv6 subnet and the gateway's address in it.
    #[serde(default)]
    pub v6: Option<(Subnet, Ipv6Addr)>,
    /// Its members reach each other.
    pub peers: bool,
    /// Its members find each other by name.
    pub names: bool,
    /// No way out.
    pub internal: bool,
}

impl NetworkSetup {
    /// Its subnets.
    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        std::iter::once(self.v4.0).chain(self.v6.map(|(subnet, _)| subnet))
    }

    /// The gateway's addresses in them.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.v4.1.into()).chain(self.v6.map(|(_, gateway)| gateway.into()))
    }
}

/// A sandbox to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Id.
    pub sandbox: String,
    /// Name.
    pub name: String,
    /// Interfaces, the first one with the default route.
    pub endpoints: Vec<Endpoint>,
    /// Ports to publish. A host port that an earlier attachment of this sandbox had for the same is chosen again.
    pub ports: Vec<PortSpec>,
    /// Ports in force before; they are to be had again.
    #[serde(default)]
    pub published: Vec<PublishedPort>,
    /// Egress policy.
    #[serde(default)]
    pub egress: Option<Egress>,
    /// Servers that names of the world are looked up at; the host's when empty.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// The host itself is reached at [`HOST_ADDRESS`].
    #[serde(default)]
    pub host_access: bool,
}

/// Where sandboxes find the host, if they may (`host-gateway`): an address of TEST-NET-3 (RFC 5737), which nobody else
/// has.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// One interface of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Device group of the network.
    pub group: u32,
    /// Name of the interface inside, `eth0`.
    pub interface: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// IPv4 address.
    pub v4: Ipv4Addr,
    /// IPv6 address, on networks that have such.
    #[serde(default)]
    pub v6: Option<Ipv6Addr>,
    /// Names on this network besides the sandbox's own and its short id.
    #[serde(default)]
    pub aliases: Vec<String>,
}

impl Endpoint {
    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        std::iter::once(self.v4.into()).chain(self.v6.map(Into::into))
    }
}
