//! Subnets: an address and a prefix length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A range of addresses by prefix. The bits behind the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// Makes one; bits behind the prefix are cleared. `None` when the prefix is longer than an address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let width = width(address);
        if prefix > width {
            return None;
        }
        let bits = bits(address) & mask(width, prefix);
        Some(Self {
            address: from_bits(bits, address.is_ipv4()),
            prefix,
        })
    }

    /// One address alone.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix: width(address),
        }
    }

    /// Parses `address/prefix`; an address alone is a range of one.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!("invalid subnet `{}`", text.escape_debug()))
                .with_hint("write an address and a prefix length, for example `10.20.0.0/24`")
        };
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        match prefix {
            None => Ok(Self::host(address)),
            Some(prefix) => {
                let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = prefix.parse().ok().filter(|_| digits).ok_or_else(invalid)?;
                Self::new(address, prefix).ok_or_else(invalid)
            }
        }
    }

    /// Its addresses are IPv4.
    pub fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// First address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The address `index` places behind the first one, when it is still inside.
    pub fn nth(&self, index: u128) -> Option<IpAddr> {
        let room = u32::from(width(self.address) - self.prefix);
        let inside = room >= 128 || index < 1u128 << room;
        inside.then(|| from_bits(bits(self.address) + index, self.address.is_ipv4()))
    }

    /// How many places behind the first address this one is; `None` when it is outside.
    pub fn index_of(&self, address: IpAddr) -> Option<u128> {
        self.contains(address)
            .then(|| bits(address) - bits(self.address))
    }

    /// How many addresses it has; for IPv6 as many as a number can say.
    pub fn size(&self) -> u128 {
        let room = u32::from(width(self.address) - self.prefix);
        if room >= 128 {
            u128::MAX
        } else {
            1u128 << room
        }
    }

    /// The address is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        let width = width(self.address);
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) & mask(width, self.prefix) == bits(self.address)
    }

    /// The two have addresses in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn from_bits(bits: u128, v4: bool) -> IpAddr {
    if v4 {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

fn mask(width: u8, prefix: u8) -> u128 {
    let ones = if width == 128 {
        u128::MAX
    } else {
        (1 << width) - 1
    };
    let room = u32::from(width - prefix);
    if room >= 128 {
        0
    } else {
        ones & (u128::MAX << room)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Subnet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn parsing_clears_what_is_behind_the_prefix() {
        for (text, shown) in [
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::5/64", "fd00::/64"),
            ("::/0", "::/0"),
            ("fd00::5", "fd00::5/128"),
        ] {
            assert_eq!(subnet(text).to_string(), shown);
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "x/8",
        ] {
            assert!(Subnet::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn inside_and_outside() {
        let net = subnet("10.1.0.0/24");
        assert!(net.contains("10.1.0.255".parse().unwrap()));
        assert!(!net.contains("10.1.1.0".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        assert_eq!(net.nth(5), Some("10.1.0.5".parse().unwrap()));
        assert_eq!(net.nth(256), None);
        assert_eq!(net.index_of("10.1.0.7".parse().unwrap()), Some(7));
        assert_eq!(net.size(), 256);
        assert!(subnet("10.0.0.0/8").overlaps(&net) && net.overlaps(&subnet("10.0.0.0/8")));
        assert!(!net.overlaps(&subnet("10.1.1.0/24")));
        assert!(!net.overlaps(&subnet("::/0")));
        assert!(subnet("::/0").contains("fd00::1".parse().unwrap()));
        assert_eq!(subnet("fd00::/64").nth(3), Some("fd00::3".parse().unwrap()));
    }
}
