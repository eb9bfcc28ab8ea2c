//! Keys of sets and maps, as the kernel compares them: each part padded to four bytes.

use std::net::IpAddr;

/// Length of the name of an interface in the kernel.
pub(super) const IFNAMSIZ: usize = 16;

/// Keys of sets and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Name of an interface.
    Interface,
    /// Two device groups.
    Groups,
    /// One device group.
    Group,
    /// An address.
    Address {
        /// IPv6.
        v6: bool,
    },
    /// An address and a protocol number.
    AddressProtocol {
        /// IPv6.
        v6: bool,
    },
    /// An address, a protocol number and a port.
    AddressPort {
        /// IPv6.
        v6: bool,
    },
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// Name of an interface.
    Interface(String),
    /// Two device groups.
    Groups(u32, u32),
    /// One device group.
    Group(u32),
    /// An address.
    Address(IpAddr),
    /// An address and a protocol number.
    AddressProtocol(IpAddr, u8),
    /// An address, a protocol number and a port.
    AddressPort(IpAddr, u8, u16),
}

impl KeyType {
    /// Lengths of the parts, each a multiple of four.
    pub(super) fn parts(self) -> Vec<u32> {
        let address = |v6| if v6 { 16 } else { 4 };
        match self {
            Self::Interface => vec![IFNAMSIZ as u32],
            Self::Groups => vec![4, 4],
            Self::Group => vec![4],
            Self::Address { v6 } => vec![address(v6)],
            Self::AddressProtocol { v6 } => vec![address(v6), 4],
            Self::AddressPort { v6 } => vec![address(v6), 4, 4],
        }
    }

    /// What nft(8) calls the type when it lists the set; the kernel does not look at it.
    pub(super) fn type_number(self) -> u32 {
        const IPV4: u32 = 7;
        const IPV6: u32 = 8;
        const PROTOCOL: u32 = 12;
        const SERVICE: u32 = 13;
        const DEVGROUP: u32 = 35;
        const IFNAME: u32 = 41;
        let address = |v6| if v6 { IPV6 } else { IPV4 };
        match self {
            Self::Interface => IFNAME,
            Self::Groups => DEVGROUP << 6 | DEVGROUP,
            Self::Group => DEVGROUP,
            Self::Address { v6 } => address(v6),
            Self::AddressProtocol { v6 } => address(v6) << 6 | PROTOCOL,
            Self::AddressPort { v6 } => (address(v6) << 6 | PROTOCOL) << 6 | SERVICE,
        }
    }
}

impl Key {
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Interface(name) => interface(name).to_vec(),
            Self::Groups(a, b) => [a.to_ne_bytes(), b.to_ne_bytes()].concat(),
            Self::Group(group) => group.to_ne_bytes().to_vec(),
            Self::Address(address) => octets(*address),
            Self::AddressProtocol(address, protocol) => {
                let mut bytes = octets(*address);
                bytes.extend([*protocol, 0, 0, 0]);
                bytes
            }
            Self::AddressPort(address, protocol, port) => {
                let mut bytes = octets(*address);
                bytes.extend([*protocol, 0, 0, 0]);
                bytes.extend(port.to_be_bytes());
                bytes.extend([0, 0]);
                bytes
            }
        }
    }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) fn interface(name: &str) -> [u8; IFNAMSIZ] {
    let mut bytes = [0; IFNAMSIZ];
    let length = name.len().min(IFNAMSIZ - 1);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
