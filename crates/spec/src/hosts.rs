//! `/etc/hosts` and `/etc/resolv.conf` of a sandbox, as text.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::gateway::HOST_ADDRESS;
use crate::network::HOST_GATEWAY;
use crate::{Error, Result};

/// An entry of `--add-host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// Host name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

impl ExtraHost {
    /// It stands for this host.
    pub fn is_gateway(&self) -> bool {
        self.address == IpAddr::V4(HOST_ADDRESS)
    }

    /// Parses `name:address` or `name=address`; an IPv6 address may stand in brackets, and `host-gateway` is this host. Source: Docker's `--add-host`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!("invalid extra host `{}`", text.escape_debug())).with_hint(
                "write it as `name:address`, for example `db:10.0.0.5` or `db:[fd00::5]`",
            )
        };
        let (name, address) = text
            .find([':', '='])
            .map(|at| (&text[..at], &text[at + 1..]))
            .ok_or_else(invalid)?;
        let bare = address
            .strip_prefix('[')
            .map_or(Some(address), |rest| rest.strip_suffix(']'))
            .ok_or_else(invalid)?;
        if name.is_empty()
            || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#')
        {
            return Err(invalid());
        }
        Ok(Self {
            name: name.to_owned(),
            address: if bare == HOST_GATEWAY {
                HOST_ADDRESS.into()
            } else {
                bare.parse().map_err(|_| invalid())?
            },
        })
    }
}

/// An entry that reads well stands for this host.
pub fn name_gateway(entries: &[String]) -> bool {
    entries
        .iter()
        .any(|entry| ExtraHost::parse(entry).is_ok_and(|entry| entry.is_gateway()))
}

/// The content of `/etc/hosts`: loopback names, the sandbox's own name at its addresses (127.0.1.1 when it has none), and
/// the extra entries (`name:address`) after them.
pub fn etc_hosts(hostname: &str, own: &[IpAddr], extra: &[String]) -> Result<String> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    let mut add = |address: IpAddr, name: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{address}\t{name}");
    };
    if hostname != "localhost" {
        if own.is_empty() {
            add(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1)), hostname);
        }
        for address in own {
            add(*address, hostname);
        }
    }
    for entry in extra {
        let host = ExtraHost::parse(entry)?;
        add(host.address, &host.name);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        for (text, name, address) in [
            ("db:10.0.0.5", "db", "10.0.0.5"),
            ("db=10.0.0.5", "db", "10.0.0.5"),
            ("db:fd00::5", "db", "fd00::5"),
            ("db:[fd00::5]", "db", "fd00::5"),
            ("db=::1", "db", "::1"),
            ("h:host-gateway", "h", "203.0.113.1"),
        ] {
            let expected = ExtraHost {
                name: name.to_owned(),
                address: address.parse().unwrap(),
            };
            assert_eq!(ExtraHost::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "db",
            "db:",
            ":1.2.3.4",
            "db:1.2.3",
            "a b:1.2.3.4",
            "a\nb:1.2.3.4",
            "db:[::1",
            "#:1.2.3.4",
        ] {
            assert!(ExtraHost::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_file() {
        let text = etc_hosts("box", &[], &["db:10.0.0.5".to_owned()]).unwrap();
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("127.0.1.1\tbox\n10.0.0.5\tdb\n"));
        assert!(etc_hosts("box", &[], &["bad".to_owned()]).is_err());
        let own = etc_hosts("box", &["10.0.0.2".parse().unwrap()], &[]).unwrap();
        assert!(own.ends_with("10.0.0.2\tbox\n") && !own.contains("127.0.1.1"));
        assert!(
            !etc_hosts("localhost", &[], &[])
                .unwrap()
                .contains("127.0.1.1")
        );
    }
}
