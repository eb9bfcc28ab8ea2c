//! Which subnet a new network gets: one that neither another network nor the host has a use for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::{Error, Kind, Result};

/// Where subnets are taken from unless the configuration says otherwise.
pub(crate) const POOLS: [&str; 3] = ["10.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"];
/// Room for tens of thousands of sandboxes.
pub(crate) const BRIDGE_PREFIX: u8 = 16;
/// Room for the services of one project.
pub(crate) const NETWORK_PREFIX: u8 = 24;
/// A network has a first, a last and a gateway's address, and is of no use without a few more.
const LONGEST_PREFIX: u8 = 29;

/// The first subnet of this size that overlaps none of `taken`.
pub(crate) fn choose(pools: &[Subnet], prefix: u8, taken: &[Subnet]) -> Result<Subnet> {
    for pool in pools.iter().filter(|pool| pool.prefix() <= prefix) {
        let step = 1u128 << (32 - u32::from(prefix));
        // What is in the way, in order: with a thousand networks each new one would otherwise look at all of them for
        // every candidate. One that begins before the pool holds all of it.
        let mut blocks: Vec<(u128, u128)> = taken
            .iter()
            .filter(|other| other.overlaps(pool))
            .map(|other| (pool.index_of(other.address()).unwrap_or(0), other.size()))
            .collect();
        blocks.sort_unstable();
        let mut index = 0;
        for (start, len) in blocks {
            if start >= index + step {
                break;
            }
            if start + len > index {
                index = (start + len).next_multiple_of(step);
            }
        }
        let candidate = pool
            .nth(index)
            .and_then(|address| Subnet::new(address, prefix));
        if let Some(candidate) = candidate {
            return Ok(candidate);
        }
    }
    Err(Error::new(Kind::Exhausted, "no subnet is left for a network").with_hint(
        "remove networks that are not used (`shedbox network prune`), name a subnet (`--subnet`), or add pools to the \
         configuration",
    ))
}

/// Checks a subnet that was asked for.
pub(crate) fn check(subnet: Subnet, others: &[(String, Subnet)]) -> Result<()> {
    if subnet.address().is_ipv4() && !(8..=LONGEST_PREFIX).contains(&subnet.prefix()) {
        return Err(Error::invalid(format!("subnet {subnet} is of no use"))
            .with_hint("its prefix must be from 8 to 29"));
    }
    if subnet.address().is_ipv6() && !(32..=120).contains(&subnet.prefix()) {
        return Err(Error::invalid(format!("subnet {subnet} is of no use"))
            .with_hint("its prefix must be from 32 to 120; 64 is usual"));
    }
    let special = |text: &str| Subnet::parse(text).is_ok_and(|range| range.overlaps(&subnet));
    if [
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "203.0.113.0/24",
        "ff00::/8",
        "fe80::/10",
    ]
    .into_iter()
    .any(special)
    {
        return Err(
            Error::invalid(format!("subnet {subnet} has a meaning of its own"))
                .with_hint("use a private range, for example 10.20.0.0/24"),
        );
    }
    match others.iter().find(|(_, other)| other.overlaps(&subnet)) {
        Some((name, other)) => Err(Error::conflict(format!(
            "subnet {subnet} overlaps network `{name}` ({other})"
        ))
        .with_hint("choose another one, or leave it out")),
        None => Ok(()),
    }
}

/// Destinations of `/proc/net/route`, but for the default one.
pub(crate) fn parse_routes(text: &str) -> Vec<Subnet> {
    let number = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::swap_bytes);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (address, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
            let prefix = mask.leading_ones() as u8;
            Subnet::new(IpAddr::V4(Ipv4Addr::from_bits(address)), prefix)
        })
        .filter(|subnet| subnet.prefix() > 0)
        .collect()
}

/// Destinations of `/proc/net/ipv6_route`, but for the default one and what every host has: loopback, link-local and
/// multicast. Source: Linux net/ipv6/route.c, `rt6_info_route`.
pub(crate) fn parse_routes_v6(text: &str) -> Vec<Subnet> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (address, prefix) = (fields.next()?, fields.next()?);
            // A sign would pass as a part of the number.
            if address.len() != 32 || !address.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            let address = Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?);
            if address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address.is_unspecified()
            {
                return None;
            }
            Subnet::new(address.into(), u8::from_str_radix(prefix, 16).ok()?)
        })
        .filter(|subnet| subnet.prefix() > 0)
        .collect()
}

/// The first /64 from the `index`-th on that overlaps none of `taken`.
pub(crate) fn choose_v6(prefix: [u8; 5], index: u16, taken: &[Subnet]) -> Result<Subnet> {
    (0..=u16::MAX)
        .map(|step| ula(prefix, index.wrapping_add(step)))
        .find(|candidate| !taken.iter().any(|other| other.overlaps(candidate)))
        .ok_or_else(|| {
            Error::new(Kind::Exhausted, "no IPv6 subnet is left for a network")
                .with_hint("name one (`--subnet fd12:3456:789a::/64`), or leave out `--ipv6`")
        })
}

/// The `index`-th /64 of the private IPv6 range of this root. Source: RFC 4193.
fn ula(prefix: [u8; 5], index: u16) -> Subnet {
    let mut bytes = [0; 16];
    bytes[0] = 0xfd;
    bytes[1..6].copy_from_slice(&prefix);
    bytes[6..8].copy_from_slice(&index.to_be_bytes());
    let address = Ipv6Addr::from(bytes);
    Subnet::new(address.into(), 64).unwrap_or_else(|| Subnet::host(address.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn the_first_that_is_free() {
        let pools = [subnet("10.64.0.0/10"), subnet("192.168.0.0/16")];
        let pick = |taken: &[&str]| {
            let taken: Vec<_> = taken.iter().map(|text| subnet(text)).collect();
            choose(&pools, 24, &taken).map(|found| found.to_string())
        };
        assert_eq!(pick(&[]), Ok("10.64.0.0/24".into()));
        assert_eq!(pick(&["10.64.0.0/16"]), Ok("10.65.0.0/24".into()));
        assert_eq!(
            pick(&["10.64.0.0/24", "10.64.1.128/25"]),
            Ok("10.64.2.0/24".into())
        );
        assert_eq!(pick(&["10.0.0.0/8"]), Ok("192.168.0.0/24".into()));
        assert!(pick(&["10.0.0.0/8", "192.168.0.0/16"]).is_err());
        // Not in order, one in another, of another family, behind a gap.
        assert_eq!(
            pick(&["10.64.1.0/24", "fd00::/8", "10.64.0.7/32", "10.64.0.0/25"]),
            Ok("10.64.2.0/24".into())
        );
        assert_eq!(pick(&["10.64.1.0/24"]), Ok("10.64.0.0/24".into()));
    }

    #[test]
    fn thousands_do_not_meet() {
        let pools = [subnet("10.64.0.0/10")];
        let mut taken = vec![subnet("10.64.0.0/16")];
        for _ in 0..2000 {
            let found = choose(&pools, 24, &taken).unwrap();
            taken.push(found);
        }
        assert_eq!(taken.last().unwrap().to_string(), "10.72.207.0/24");
    }

    #[test]
    fn what_was_asked_for() {
        let others = [("shop".to_owned(), subnet("10.5.0.0/24"))];
        assert_eq!(check(subnet("10.6.0.0/24"), &others), Ok(()));
        let error = check(subnet("10.0.0.0/8"), &others).unwrap_err();
        assert_eq!(
            error.message,
            "subnet 10.0.0.0/8 overlaps network `shop` (10.5.0.0/24)"
        );
        for bad in [
            "10.6.0.0/30",
            "1.0.0.0/7",
            "127.0.0.0/16",
            "169.254.1.0/24",
            "fe80::/64",
            "fd00::/126",
        ] {
            assert!(check(subnet(bad), &others).is_err(), "{bad}");
        }
    }

    #[test]
    fn routes_of_the_host() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nrubbish\n";
        assert_eq!(parse_routes(text), [subnet("192.0.2.0/24")]);
        assert_eq!(ula([1, 2, 3, 4, 5], 7).to_string(), "fd01:203:405:7::/64");
    }

    #[test]
    fn routes_of_the_host_by_ipv6() {
        let rest = "00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00000001";
        let route = |address: &str, prefix: &str| format!("{address} {prefix} {rest} eth0\n");
        let text = [
            route("fd010203040500070000000000000000", "40"),
            route("20010db8000000000000000000000005", "80"),
            // The default route, link-local, multicast and loopback are no one's subnets.
            route("00000000000000000000000000000000", "00"),
            route("fe800000000000000000000000000000", "40"),
            route("ff000000000000000000000000000000", "08"),
            route("00000000000000000000000000000001", "80"),
            route("+d010203040500070000000000000000", "40"),
            route("fd010203040500080000000000000000", "ff"),
            "fd01 40\n\nrubbish".to_owned(),
        ];
        assert_eq!(
            parse_routes_v6(&text.concat()),
            [subnet("fd01:203:405:7::/64"), subnet("2001:db8::5/128")]
        );
        assert_eq!(parse_routes_v6(""), []);
    }

    #[test]
    fn the_first_that_is_free_by_ipv6() {
        let pick = |index: u16, taken: &[&str]| {
            let taken: Vec<_> = taken.iter().map(|text| subnet(text)).collect();
            choose_v6([1, 2, 3, 4, 5], index, &taken).map(|found| found.to_string())
        };
        assert_eq!(pick(7, &[]), Ok("fd01:203:405:7::/64".into()));
        let taken = ["fd01:203:405:7::/64", "fd01:203:405:8::5/128"];
        assert_eq!(pick(7, &taken), Ok("fd01:203:405:9::/64".into()));
        assert_eq!(
            pick(65535, &["fd01:203:405:ffff::/64"]),
            Ok("fd01:203:405::/64".into())
        );
        let error = choose_v6([1, 2, 3, 4, 5], 7, &[subnet("fd00::/8")]).unwrap_err();
        assert_eq!(error.kind, Kind::Exhausted);
    }
}
