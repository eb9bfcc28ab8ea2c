//! Egress policy: what a sandbox may reach outside of its networks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::port::Protocol;
use super::subnet::Subnet;
use crate::{Error, Result};

/// Most ports that a rule for a name may span: each is an entry in the kernel for each address of the name.
const NAME_PORTS_MAX: u16 = 256;

/// What happens to what no rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passes.
    #[default]
    Allow,
    /// It is refused.
    Deny,
}

impl Verdict {
    /// Parses `allow` or `deny`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            other => Err(Error::invalid(format!(
                "unknown egress verdict `{}`",
                other.escape_debug()
            ))
            .with_hint("use `allow` or `deny`")),
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// A policy: the deny list goes first, then the allow list, then the default.
///
/// Link-local and metadata addresses are refused unless a rule of the allow list names them by address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// What happens to the rest.
    pub default: Verdict,
    /// What may pass.
    pub allow: Vec<EgressRule>,
    /// What may not pass.
    pub deny: Vec<EgressRule>,
}

impl Egress {
    /// It says no more than no policy at all.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

/// Whom a rule is about, and which ports there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EgressRule {
    /// Whom.
    pub target: Target,
    /// First and last port; every one when absent.
    pub ports: Option<(u16, u16)>,
    /// Protocol; every one when absent.
    pub protocol: Option<Protocol>,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Everybody.
    Any,
    /// Addresses.
    Net(Subnet),
    /// A name in lower case; `*.` before it stands for one or more labels.
    Name(String),
}

impl EgressRule {
    /// Parses `[tcp://|udp://]TARGET[:PORT[-PORT]]`: a target is a name, `*.name`, an address, a subnet or `*`. An IPv6
    /// target with a port stands in brackets.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |what: &str| {
            Error::invalid(format!("invalid egress rule `{}`: {what}", text.escape_debug())).with_hint(
                "write a name, `*.name`, an address, a subnet or `*`, and perhaps `:PORT` or `:PORT-PORT` behind it",
            )
        };
        let (protocol, rest) = match text.split_once("://") {
            Some((protocol, rest)) => (Some(Protocol::parse(protocol)?), rest),
            None => (None, text),
        };
        let (target, ports) = split_ports(rest).ok_or_else(|| invalid("brackets do not match"))?;
        let ports = match ports {
            None => None,
            Some(ports) => Some(
                parse_ports(ports)
                    .ok_or_else(|| invalid("the port is no number from 1 to 65535"))?,
            ),
        };
        let target = if target == "*" {
            Target::Any
        } else if let Ok(subnet) = Subnet::parse(target) {
            Target::Net(subnet)
        } else if target.contains('/') || target.parse::<IpAddr>().is_ok() {
            return Err(invalid("the subnet is none"));
        } else {
            Target::Name(parse_pattern(target).ok_or_else(|| invalid("that is no name"))?)
        };
        if let (Target::Name(_), Some((first, last))) = (&target, ports)
            && last - first >= NAME_PORTS_MAX
        {
            return Err(invalid("a rule for a name spans at most 256 ports"));
        }
        Ok(Self {
            target,
            ports,
            protocol,
        })
    }

    /// The rule's pattern stands for this name (in lower case, without a dot at the end).
    pub fn matches_name(&self, name: &str) -> bool {
        match &self.target {
            Target::Any => true,
            Target::Net(_) => false,
            Target::Name(pattern) => match pattern.strip_prefix('*') {
                // The dot stays, so that `*.a.b` is neither `a.b` nor `xa.b`.
                Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
                None => name == pattern,
            },
        }
    }

    /// The port is one of the rule's.
    pub fn matches_port(&self, port: u16) -> bool {
        self.ports
            .is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// The protocol is the rule's.
    pub fn matches_protocol(&self, protocol: Protocol) -> bool {
        self.protocol.is_none_or(|own| own == protocol)
    }
}

fn split_ports(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (target, after) = rest.split_once(']')?;
        // A prefix length may stand behind the brackets or inside.
        return match after {
            "" => Some((target, None)),
            _ => Some((target, Some(after.strip_prefix(':')?))),
        };
    }
    Some(match text.split_once(':') {
        // More than one colon: an IPv6 address.
        Some((_, rest)) if rest.contains(':') => (text, None),
        Some((target, ports)) => (target, Some(ports)),
        None => (text, None),
    })
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

fn parse_pattern(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // Names of digits and dots alone are addresses gone wrong.
    let is_name = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    (is_name && name.len() <= 253 && name.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

impl std::fmt::Display for EgressRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(protocol) = self.protocol {
            write!(f, "{protocol}://")?;
        }
        match &self.target {
            Target::Any => f.write_str("*")?,
            Target::Net(subnet) => {
                let whole = subnet.prefix() == if subnet.address().is_ipv4() { 32 } else { 128 };
                let shown = if whole {
                    subnet.address().to_string()
                } else {
                    subnet.to_string()
                };
                if subnet.address().is_ipv6() && self.ports.is_some() {
                    write!(f, "[{shown}]")?;
                } else {
                    f.write_str(&shown)?;
                }
            }
            Target::Name(name) => f.write_str(name)?,
        }
        match self.ports {
            Some((first, last)) if first == last => write!(f, ":{first}"),
            Some((first, last)) => write!(f, ":{first}-{last}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for EgressRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<EgressRule> for String {
    fn from(rule: EgressRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_they_are_written() {
        for text in [
            "*",
            "*:443",
            "pypi.org",
            "*.pypi.org:443",
            "tcp://pypi.org:80-90",
            "udp://10.0.0.0/8:53",
            "1.2.3.4",
            "fd00::/8",
            "[fd00::/8]:443",
            "[fd00::1]:1-65535",
        ] {
            assert_eq!(EgressRule::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            EgressRule::parse("PyPI.org.").unwrap().to_string(),
            "pypi.org"
        );
    }

    #[test]
    fn what_is_no_rule() {
        for bad in [
            "",
            ":",
            "a:",
            "a:0",
            "a:x",
            "a:9-1",
            "a b",
            "10.0.0.0/33",
            "1.2.3",
            "http://a",
            "a..b",
            "*a.b",
            "a.*",
            "[::1",
            "a:1-1000",
            "**",
            "a:443:443",
        ] {
            assert!(EgressRule::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wildcards_stop_at_dots() {
        let rule = EgressRule::parse("*.a.b").unwrap();
        assert!(rule.matches_name("x.a.b") && rule.matches_name("y.x.a.b"));
        assert!(
            !rule.matches_name("a.b") && !rule.matches_name("xa.b") && !rule.matches_name(".a.b.c")
        );
        let exact = EgressRule::parse("a.b:443").unwrap();
        assert!(exact.matches_name("a.b") && !exact.matches_name("x.a.b"));
        assert!(exact.matches_port(443) && !exact.matches_port(80));
        assert!(EgressRule::parse("*").unwrap().matches_name("anything"));
    }
}
