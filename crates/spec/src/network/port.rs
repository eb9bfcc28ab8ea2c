//! Published ports: `[ip:][host:]container[/protocol]`. Source: Docker's `--publish`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Most ports that one range publishes.
const RANGE_MAX: u32 = 4096;

/// Transport protocol.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Parses `tcp` or `udp`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            other => Err(
                Error::invalid(format!("unknown protocol `{}`", other.escape_debug()))
                    .with_hint("use tcp or udp"),
            ),
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port of a sandbox that is to be reached through the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortSpec {
    /// Address of the host; all of them, IPv4 and IPv6, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// Ports of the host to choose from, first and last; one that is free when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<(u16, u16)>,
    /// Port inside.
    pub container: u16,
    /// Protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

impl PortSpec {
    /// A port at every address of the host, where the host chooses.
    pub fn anywhere(container: u16, protocol: Protocol) -> Self {
        Self {
            host_ip: None,
            host: None,
            container,
            protocol,
        }
    }
}

/// A port that is published, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Port inside.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Address of the host that is listened at.
    pub host_ip: IpAddr,
    /// Port of the host.
    pub host_port: u16,
}

/// Parses `[ip:][host:]container[/protocol]`, each of the two a port or a range, and gives one entry for each port.
pub fn parse(text: &str) -> Result<Vec<PortSpec>> {
    let invalid = |what: &str| {
        Error::invalid(format!(
            "invalid published port `{}`: {what}",
            text.escape_debug()
        ))
        .with_hint("write `[ADDRESS:][HOST:]CONTAINER[/tcp|udp]`, for example `127.0.0.1:8080:80`")
    };
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, Protocol::parse(protocol)?),
        None => (text, Protocol::Tcp),
    };
    let (rest, container) = ports
        .rsplit_once(':')
        .map_or((None, ports), |(a, b)| (Some(a), b));
    let container =
        range(container).ok_or_else(|| invalid("the port inside is no number from 1 to 65535"))?;
    let (host_ip, host) = match rest {
        None => (None, ""),
        Some(rest) => split_host(rest).ok_or_else(|| invalid("the address of the host is none"))?,
    };
    let host = match host {
        "" | "0" => None,
        some => Some(
            range(some)
                .ok_or_else(|| invalid("the port of the host is no number from 1 to 65535"))?,
        ),
    };
    let count = u32::from(container.1 - container.0) + 1;
    if count > RANGE_MAX {
        return Err(invalid("more than 4096 ports at once"));
    }
    // A range of the host's for one port inside is a choice; otherwise they go in pairs.
    let paired = match host {
        Some((first, last)) if count > 1 => {
            if u32::from(last - first) + 1 != count {
                return Err(invalid("the two ranges are not of the same length"));
            }
            true
        }
        _ => false,
    };
    Ok((0..count as u16)
        .map(|index| PortSpec {
            host_ip,
            host: host.map(|(first, last)| {
                if paired {
                    (first + index, first + index)
                } else {
                    (first, last)
                }
            }),
            container: container.0 + index,
            protocol,
        })
        .collect())
}

/// Parses an image's or `--expose`'s `port[-port][/protocol]`.
pub fn parse_exposed(text: &str) -> Result<Vec<(u16, Protocol)>> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, Protocol::parse(protocol)?),
        None => (text, Protocol::Tcp),
    };
    let (first, last) = range(ports).ok_or_else(|| {
        Error::invalid(format!("invalid exposed port `{}`", text.escape_debug()))
            .with_hint("write `PORT[-PORT][/tcp|udp]`")
    })?;
    Ok((first..=last).map(|port| (port, protocol)).collect())
}

/// `ip:port`, `[ip6]:port`, `port`, `ip:` or `ip`.
fn split_host(text: &str) -> Option<(Option<IpAddr>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = if port.is_empty() {
            ""
        } else {
            port.strip_prefix(':')?
        };
        return Some((Some(IpAddr::V6(address.parse().ok()?)), port));
    }
    match text.rsplit_once(':') {
        Some((address, port)) => Some((Some(address.parse().ok()?), port)),
        None if text.contains('.') => Some((Some(text.parse().ok()?), "")),
        None => Some((None, text)),
    }
}

/// A port, or first and last of a range; none of them 0.
fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
