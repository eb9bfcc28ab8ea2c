//! Network modes, and what a sandbox asks of its networks.

pub mod default;
pub mod egress;
pub mod name;
pub mod port;
pub mod subnet;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Name of the network that sandboxes are on which ask for `bridge`.
pub const BRIDGE: &str = "bridge";
/// The modes that Docker lists as networks, with the ids that they have there: always the same, and nobody else's.
const MODES: [(&str, &str); 2] = [
    (
        "host",
        "5662f4dd935213757cdfc98a15546568cd3ad17549c81697a7fed97e950a0c0e",
    ),
    (
        "none",
        "f4c4080af1efaf5a94c4062b3615f52ce066e3da3f027a22be170911edba1138",
    ),
];
/// Digits of a short id.
const SHORT_ID: usize = 12;
/// The value of an `--add-host` entry that stands for this host. Source: Docker's `--add-host`.
pub const HOST_GATEWAY: &str = "host-gateway";

/// The id by which the mode `host` or `none` is listed.
pub fn mode_id(name: &str) -> Option<&'static str> {
    MODES
        .iter()
        .find(|(mode, _)| *mode == name)
        .map(|(_, id)| *id)
}

/// The mode `host` or `none`, by its name or its id, of which 12 digits are enough.
pub fn mode_named(name_or_id: &str) -> Option<&'static str> {
    MODES
        .iter()
        .find(|(mode, id)| {
            *mode == name_or_id || (name_or_id.len() >= SHORT_ID && id.starts_with(name_or_id))
        })
        .map(|(mode, _)| *mode)
}

/// How a sandbox is connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// What the configuration says where it is created (see [`default::DefaultNetwork`]).
    #[default]
    Default,
    /// A private network namespace with only its own loopback.
    None,
    /// The host's network namespace: no isolation of the network at all.
    Host,
    /// The network namespace of another sandbox, by name or id.
    Container(String),
    /// A private network namespace with an interface on each of these networks; at least one, no two alike.
    Bridge(Vec<Attachment>),
}

/// Membership in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachment {
    /// Name or id of the network.
    pub network: String,
    /// IPv4 address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// IPv6 address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// Further names of the sandbox on this network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// Which network namespace a generation is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkNamespace {
    /// Its sandbox's own.
    #[default]
    Own,
    /// The host's.
    Host,
    /// Another sandbox's.
    Shared,
}

/// How names are looked up inside; goes into `/etc/resolv.conf`. Source: resolv.conf(5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsOptions {
    /// Servers that names outside of our networks are looked up at, instead of the host's.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

impl DnsOptions {
    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The content of `/etc/resolv.conf` with this server. Source: resolv.conf(5).
    pub fn resolv_conf(&self, server: Option<Ipv4Addr>) -> String {
        let mut text = String::new();
        if let Some(server) = server {
            // Writing to a String does not fail.
            let _ = writeln!(text, "nameserver {server}");
        }
        for (word, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                let _ = writeln!(text, "{word} {}", values.join(" "));
            }
        }
        text
    }
}

impl Attachment {
    /// To a network by name, with nothing further.
    pub fn to(network: impl Into<String>) -> Self {
        Self {
            network: network.into(),
            ..Self::default()
        }
    }

    /// Parses `NAME`, or Docker's `name=NAME[,alias=A][,ip=IP][,ip6=IP6]`.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.contains('=') {
            name::validate(text)?;
            return Ok(Self::to(text));
        }
        let mut attachment = Self::default();
        for field in text.split(',') {
            let (key, value) = field.split_once('=').ok_or_else(|| {
                Error::invalid(format!("invalid network `{}`", text.escape_debug()))
                    .with_hint("write `name=NETWORK,alias=NAME,ip=ADDRESS`")
            })?;
            match key {
                "name" => value.clone_into(&mut attachment.network),
                "alias" => attachment.aliases.push(name::alias(value)?),
                "ip" => attachment.ip = Some(parse_ip(value)?),
                "ip6" => attachment.ip6 = Some(parse_ip6(value)?),
                other => {
                    return Err(Error::invalid(format!(
                        "unknown field `{}` of network `{}`",
                        other.escape_debug(),
                        text.escape_debug()
                    ))
                    .with_hint("the fields are name, alias, ip and ip6"));
                }
            }
        }
        name::validate(&attachment.network)?;
        Ok(attachment)
    }
}

/// Parses the value of `--ip`.
pub fn parse_ip(text: &str) -> Result<Ipv4Addr> {
    text.parse()
        .map_err(|_| Error::invalid(format!("`{}` is not an IPv4 address", text.escape_debug())))
}

/// Parses the value of `--ip6`.
pub fn parse_ip6(text: &str) -> Result<Ipv6Addr> {
    text.parse()
        .map_err(|_| Error::invalid(format!("`{}` is not an IPv6 address", text.escape_debug())))
}

impl Network {
    /// The network that Docker's users know as the default.
    pub fn bridge() -> Self {
        Self::Bridge(vec![Attachment::to(BRIDGE)])
    }

    /// Parses one value of `--network`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            "default" => Ok(Self::on_default()),
            other => match other.strip_prefix("container:") {
                Some("") => Err(Error::invalid("`container:` names no sandbox")
                    .with_hint("write `container:NAME`")),
                Some(name) => Ok(Self::Container(name.to_owned())),
                None => Ok(Self::Bridge(vec![Attachment::parse(other)?])),
            },
        }
    }

    /// Parses all values of `--network`: several only of networks.
    pub fn parse_all<S: AsRef<str>>(values: &[S]) -> Result<Self> {
        let mut attachments: Vec<Attachment> = Vec::new();
        for value in values {
            match Self::parse(value.as_ref())? {
                Self::Bridge(more) => attachments.extend(more),
                only if values.len() == 1 => return Ok(only),
                other => {
                    return Err(Error::invalid(format!(
                        "network mode `{other}` goes with no other network"
                    )));
                }
            }
        }
        for (index, attachment) in attachments.iter().enumerate() {
            if attachments[..index]
                .iter()
                .any(|before| before.network == attachment.network)
            {
                return Err(Error::invalid(format!(
                    "network `{}` is named twice",
                    attachment.network
                )));
            }
        }
        if attachments.is_empty() {
            return Ok(Self::Default);
        }
        Ok(Self::Bridge(attachments))
    }

    /// Where its generations live.
    pub fn namespace(&self) -> NetworkNamespace {
        match self {
            Self::Default | Self::None | Self::Bridge(_) => NetworkNamespace::Own,
            Self::Host => NetworkNamespace::Host,
            Self::Container(_) => NetworkNamespace::Shared,
        }
    }

    /// Memberships; none but on bridges.
    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::Bridge(attachments) => attachments,
            Self::Default | Self::None | Self::Host | Self::Container(_) => &[],
        }
    }
}

/// As Docker shows it (`HostConfig.NetworkMode`): the mode, or the name of the first network.
impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Bridge(attachments) => {
                f.write_str(attachments.first().map_or("none", |first| &first.network))
            }
        }
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
