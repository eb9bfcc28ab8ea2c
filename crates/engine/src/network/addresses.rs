//! Who has which address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shedbox_spec::network::Attachment;
use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::{Error, Kind, Result};

use super::records::NetworkRecord;

/// Addresses that are taken, by name of the sandbox, and where the search for the next one begins.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    taken: HashMap<(u32, IpAddr), String>,
    next: HashMap<u32, u128>,
}

impl Leases {
    /// Takes the addresses of a membership. The one behind the last that was given goes first, so that an address is not
    /// soon somebody else's.
    pub(crate) fn take(
        &mut self,
        network: &NetworkRecord,
        wanted: &Attachment,
        sandbox: &str,
    ) -> Result<(Ipv4Addr, Option<Ipv6Addr>)> {
        let v4 = match wanted.ip {
            Some(ip) => {
                self.check(network, network.subnet, ip.into())?;
                ip
            }
            None => self.free(network)?,
        };
        let v6 = match (network.v6, wanted.ip6) {
            (None, None) => None,
            (None, Some(ip)) => {
                return Err(Error::invalid(format!(
                    "network `{}` has no IPv6, so nobody can have {ip} there",
                    network.name
                ))
                .with_hint("make it with `--ipv6`"));
            }
            (Some((subnet, _)), Some(ip)) => {
                self.check(network, subnet, ip.into())?;
                Some(ip)
            }
            // The same place in the other subnet, unless somebody has asked for it.
            (Some((subnet, _)), None) => {
                let index = network.subnet.index_of(v4.into()).unwrap_or(2);
                let mut free = (index..subnet.size()).filter_map(|index| match subnet.nth(index) {
                    Some(IpAddr::V6(ip)) => Some(ip),
                    _ => None,
                });
                free.find(|ip| !self.taken.contains_key(&(network.group, (*ip).into())))
            }
        };
        for address in std::iter::once(IpAddr::V4(v4)).chain(v6.map(IpAddr::V6)) {
            self.hold(network.group, address, sandbox);
        }
        Ok((v4, v6))
    }

    /// Notes an address that a sandbox has from before.
    pub(crate) fn hold(&mut self, group: u32, address: IpAddr, sandbox: &str) {
        self.taken.insert((group, address), sandbox.to_owned());
    }

    /// Who has addresses of a network.
    pub(crate) fn users(&self, group: u32) -> Vec<String> {
        let mut users: Vec<_> = self
            .taken
            .iter()
            .filter(|((own, _), _)| *own == group)
            .map(|(_, sandbox)| sandbox.clone())
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, group: u32, address: IpAddr) {
        self.taken.remove(&(group, address));
    }

    fn check(&self, network: &NetworkRecord, subnet: Subnet, ip: IpAddr) -> Result<()> {
        let first = subnet.index_of(ip) == Some(0);
        let last = ip.is_ipv4() && subnet.index_of(ip) == Some(subnet.size() - 1);
        if !subnet.contains(ip) || first || last {
            return Err(Error::invalid(format!(
                "address {ip} is not in subnet {subnet} of network `{}`",
                network.name
            ))
            .with_hint("choose one of that subnet that is neither its first nor its last"));
        }
        if network.is_gateway(ip) {
            return Err(Error::conflict(format!(
                "address {ip} is the gateway's of network `{}`",
                network.name
            )));
        }
        match self.taken.get(&(network.group, ip)) {
            Some(sandbox) => Err(Error::conflict(format!(
                "address {ip} is in use by sandbox `{sandbox}`"
            ))),
            None => Ok(()),
        }
    }

    fn free(&mut self, network: &NetworkRecord) -> Result<Ipv4Addr> {
        let count = network.subnet.size();
        let start = self.next.get(&network.group).copied().unwrap_or(2);
        for step in 0..count {
            // Neither the first nor the last address of the subnet.
            let index = 1 + (start - 1 + step) % (count - 2);
            let Some(IpAddr::V4(ip)) = network.subnet.nth(index) else {
                continue;
            };
            if !network.is_gateway(ip.into())
                && !self.taken.contains_key(&(network.group, ip.into()))
            {
                self.next.insert(network.group, index + 1);
                return Ok(ip);
            }
        }
        Err(Error::new(
            Kind::Exhausted,
            format!(
                "network `{}` has no address left in {}",
                network.name, network.subnet
            ),
        )
        .with_hint("remove sandboxes, or make a network with a larger `--subnet`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(subnet: &str, v6: bool) -> NetworkRecord {
        let subnet = Subnet::parse(subnet).unwrap();
        let Some(IpAddr::V4(gateway)) = subnet.nth(1) else {
            panic!()
        };
        NetworkRecord {
            id: String::new(),
            name: "n".into(),
            group: 17,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            subnet,
            gateway,
            v6: v6.then(|| {
                (
                    Subnet::parse("fd00::/64").unwrap(),
                    "fd00::1".parse().unwrap(),
                )
            }),
            internal: false,
            builtin: false,
            labels: std::collections::BTreeMap::new(),
            options: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn addresses_go_round_and_run_out() {
        let net = network("10.0.0.0/29", false);
        let mut leases = Leases::default();
        let any = Attachment::default();
        let take = |leases: &mut Leases| leases.take(&net, &any, "s").map(|(ip, _)| ip.octets()[3]);
        let given: Vec<_> = (0..5).map(|_| take(&mut leases).unwrap()).collect();
        assert_eq!(given, [2, 3, 4, 5, 6]);
        assert_eq!(take(&mut leases).unwrap_err().kind, Kind::Exhausted);
        leases.release(17, "10.0.0.3".parse().unwrap());
        assert_eq!(take(&mut leases), Ok(3));
        leases.release(17, "10.0.0.2".parse().unwrap());
        leases.release(17, "10.0.0.4".parse().unwrap());
        assert_eq!(take(&mut leases), Ok(4), "not the lowest, the next");
    }

    #[test]
    fn what_was_asked_for() {
        let net = network("10.0.0.0/24", true);
        let mut leases = Leases::default();
        let with = |ip: &str| Attachment {
            ip: Some(ip.parse().unwrap()),
            ..Attachment::default()
        };
        let (v4, v6) = leases.take(&net, &with("10.0.0.9"), "first").unwrap();
        assert_eq!(
            (v4.to_string(), v6.unwrap().to_string()),
            ("10.0.0.9".into(), "fd00::9".into())
        );
        for (ip, words) in [
            ("10.0.0.9", "address 10.0.0.9 is in use by sandbox `first`"),
            (
                "10.0.1.9",
                "address 10.0.1.9 is not in subnet 10.0.0.0/24 of network `n`",
            ),
            (
                "10.0.0.0",
                "address 10.0.0.0 is not in subnet 10.0.0.0/24 of network `n`",
            ),
            (
                "10.0.0.255",
                "address 10.0.0.255 is not in subnet 10.0.0.0/24 of network `n`",
            ),
            (
                "10.0.0.1",
                "address 10.0.0.1 is the gateway's of network `n`",
            ),
        ] {
            assert_eq!(
                leases.take(&net, &with(ip), "second").unwrap_err().message,
                words
            );
        }
        let six = Attachment {
            ip6: Some("fd00::7".parse().unwrap()),
            ..Attachment::default()
        };
        assert_eq!(
            leases.take(&net, &six, "s").unwrap().1.unwrap().to_string(),
            "fd00::7"
        );
        assert!(
            leases
                .take(&network("10.1.0.0/24", false), &six, "s")
                .is_err()
        );
    }
}
