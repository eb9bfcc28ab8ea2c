//! Steps of rules: lists of expressions that load something, compare it and decide.

use std::net::IpAddr;

use super::expression::{
    AT_LEAST, AT_MOST, CT_MARK, CT_STATE, CT_STATUS, EQUAL, META_IIFGROUP, META_IIFNAME,
    META_L4PROTO, META_OIFGROUP, META_OIFNAME, NOT_EQUAL, REGISTER, SECOND, THIRD,
    TRANSPORT_HEADER, VERDICT_REGISTER, compare, connection, destination, expression, family, load,
    look_up, mask, meta, payload, reject, state, write_verdict,
};
use super::key::{interface, octets};
use crate::netlink::Attributes;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this hook.
    Accept,
    /// It is thrown away.
    Drop,
    /// Another chain decides, and nothing comes back.
    Goto(String),
    /// Another chain, then the next rule.
    Jump(String),
    /// The calling chain goes on.
    Return,
}

/// One step of a rule. Matches end the rule for packets that they do not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The packet came in by this interface.
    InputInterface(String),
    /// It goes out by this interface.
    OutputInterface(String),
    /// It goes out by an interface whose name begins so.
    OutputInterfacePrefix(String),
    /// The groups of both interfaces are in a set of [`KeyType::Groups`].
    GroupsIn(String),
    /// The group of the interface it came in by is in a set of [`KeyType::Group`].
    InputGroupIn(String),
    /// The interface it came in by is in a set of [`KeyType::Interface`].
    InputInterfaceIn(String),
    /// A map from the interface it came in by says what happens.
    InputInterfaceDecides(String),
    /// A map from the interface it goes out by says what happens.
    OutputInterfaceDecides(String),
    /// It is IPv4, or IPv6.
    Family {
        /// IPv6.
        v6: bool,
    },
    /// Number of its transport protocol.
    Protocol(u8),
    /// Its destination is in a range.
    Destination(IpAddr, u8),
    /// Its destination is in a set of [`KeyType::Address`].
    DestinationIn {
        /// The set.
        set: String,
        /// Of IPv6 addresses.
        v6: bool,
    },
    /// Destination and protocol are in a set of [`KeyType::AddressProtocol`].
    DestinationProtocolIn {
        /// The set.
        set: String,
        /// Of IPv6 addresses.
        v6: bool,
    },
    /// Destination, protocol and port are in a set of [`KeyType::AddressPort`].
    DestinationPortIn {
        /// The set.
        set: String,
        /// Of IPv6 addresses.
        v6: bool,
    },
    /// Its destination port is one of these, first and last. After a match of the protocol.
    Ports(u16, u16),
    /// It is a TCP segment that does not begin a connection. After a match of the protocol.
    NotSyn,
    /// Its connection is known: established, or related to one that is.
    Established,
    /// Its destination was changed by a rule of ours.
    DestinationChanged,
    /// The mark of its connection.
    Mark(u32),
    /// Marks its connection.
    SetMark(u32),
    /// Nothing leads back to its source by the interface it came in by: the source is false.
    SourceFalse,
    /// Tells a group of listeners, with a prefix. Source: `NFLOG`.
    Log(u16, String),
    /// To a port of the interface it came in by, which has an address. In a [`ChainType::Nat`] chain.
    Redirect(u16),
    /// To an address and a port; IPv4 alone. In a [`ChainType::Nat`] chain.
    To(std::net::Ipv4Addr, u16),
    /// Its source becomes the address of the interface it goes out by. In a [`ChainType::Nat`] chain.
    Masquerade,
    /// The sender is told: administratively prohibited.
    RejectProhibited,
    /// The sender is told: the network cannot be reached.
    RejectNoRoute {
        /// Of IPv6 packets.
        v6: bool,
    },
    /// The sender is told: the connection is reset. TCP only.
    RejectReset,
    /// What becomes of it.
    Verdict(Verdict),
}

impl Step {
    #[expect(clippy::too_many_lines, reason = "a table: an arm for each step")]
    pub(super) fn write(&self, list: &mut Attributes<'_>) {
        match self {
            Self::InputInterface(name) => {
                meta(list, REGISTER, META_IIFNAME);
                compare(list, EQUAL, &interface(name));
            }
            Self::OutputInterface(name) => {
                meta(list, REGISTER, META_OIFNAME);
                compare(list, EQUAL, &interface(name));
            }
            Self::OutputInterfacePrefix(prefix) => {
                meta(list, REGISTER, META_OIFNAME);
                compare(list, EQUAL, prefix.as_bytes());
            }
            Self::GroupsIn(set) => {
                meta(list, REGISTER, META_IIFGROUP);
                meta(list, SECOND, META_OIFGROUP);
                look_up(list, set, false);
            }
            Self::InputGroupIn(set) => {
                meta(list, REGISTER, META_IIFGROUP);
                look_up(list, set, false);
            }
            Self::InputInterfaceIn(set) => {
                meta(list, REGISTER, META_IIFNAME);
                look_up(list, set, false);
            }
            Self::InputInterfaceDecides(map) => {
                meta(list, REGISTER, META_IIFNAME);
                look_up(list, map, true);
            }
            Self::OutputInterfaceDecides(map) => {
                meta(list, REGISTER, META_OIFNAME);
                look_up(list, map, true);
            }
            Self::Family { v6 } => family(list, *v6),
            Self::Protocol(number) => {
                meta(list, REGISTER, META_L4PROTO);
                compare(list, EQUAL, &[*number]);
            }
            Self::Destination(address, prefix) => write_destination(list, *address, *prefix),
            Self::DestinationIn { set, v6 } => {
                destination(list, *v6);
                look_up(list, set, false);
            }
            Self::DestinationProtocolIn { set, v6 } => {
                let next = destination(list, *v6);
                meta(list, next, META_L4PROTO);
                look_up(list, set, false);
            }
            Self::DestinationPortIn { set, v6 } => {
                let next = destination(list, *v6);
                meta(list, next, META_L4PROTO);
                payload(list, next + (THIRD - SECOND), TRANSPORT_HEADER, 2, 2);
                look_up(list, set, false);
            }
            Self::Ports(low, high) => {
                payload(list, REGISTER, TRANSPORT_HEADER, 2, 2);
                if low == high {
                    compare(list, EQUAL, &low.to_be_bytes());
                } else {
                    compare(list, AT_LEAST, &low.to_be_bytes());
                    compare(list, AT_MOST, &high.to_be_bytes());
                }
            }
            Self::NotSyn => {
                const SYN_ACK: u8 = 0x12;
                const SYN: u8 = 0x02;
                payload(list, REGISTER, TRANSPORT_HEADER, 13, 1);
                mask(list, &[SYN_ACK]);
                compare(list, NOT_EQUAL, &[SYN]);
            }
            Self::Established => {
                const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
                state(list, CT_STATE, ESTABLISHED_OR_RELATED);
            }
            Self::DestinationChanged => {
                const IPS_DST_NAT: u32 = 1 << 5;
                state(list, CT_STATUS, IPS_DST_NAT);
            }
            Self::Mark(mark) => {
                connection(list, CT_MARK);
                compare(list, EQUAL, &mark.to_ne_bytes());
            }
            Self::SetMark(mark) => {
                load(list, REGISTER, &mark.to_ne_bytes());
                expression(list, "ct", |data| {
                    data.be32(2, CT_MARK).be32(4, REGISTER);
                });
            }
            Self::SourceFalse => {
                const RESULT_OIF: u32 = 1;
                const SOURCE_BY_INPUT: u32 = 1 | 8;
                expression(list, "fib", |data| {
                    data.be32(3, SOURCE_BY_INPUT)
                        .be32(2, RESULT_OIF)
                        .be32(1, REGISTER);
                });
                compare(list, EQUAL, &0u32.to_ne_bytes());
            }
            Self::Log(group, prefix) => {
                const HEADERS: u32 = 128;
                expression(list, "log", |data| {
                    data.bytes(1, &group.to_be_bytes())
                        .text(2, prefix)
                        .be32(3, HEADERS);
                });
            }
            Self::Redirect(port) => {
                load(list, REGISTER, &port.to_be_bytes());
                expression(list, "redir", |data| {
                    data.be32(1, REGISTER);
                });
            }
            Self::To(address, port) => {
                const SECOND_LONG: u32 = 2;
                const DESTINATION_NAT: u32 = 1;
                family(list, false);
                load(list, REGISTER, &address.octets());
                load(list, SECOND_LONG, &port.to_be_bytes());
                expression(list, "nat", |data| {
                    data.be32(1, DESTINATION_NAT)
                        .be32(2, libc::AF_INET as u32)
                        .be32(3, REGISTER)
                        .be32(5, SECOND_LONG);
                });
            }
            Self::Masquerade => expression(list, "masq", |_| {}),
            Self::RejectProhibited => reject(list, 2, 3),
            Self::RejectNoRoute { v6: true } => {
                family(list, true);
                reject(list, 2, 0);
            }
            // Network prohibited: of the two that mean ENETUNREACH the one that UDP sockets are told of as well.
            Self::RejectNoRoute { v6: false } => {
                family(list, false);
                reject(list, 0, 9);
            }
            Self::RejectReset => reject(list, 1, 0),
            Self::Verdict(verdict) => expression(list, "immediate", |data| {
                data.be32(1, VERDICT_REGISTER)
                    .nest(2, |inner| write_verdict(inner, verdict));
            }),
        }
    }
}

fn write_destination(list: &mut Attributes<'_>, address: IpAddr, prefix: u8) {
    destination(list, address.is_ipv6());
    let bytes = octets(address);
    let bits: Vec<u8> = (0..bytes.len())
        .map(|index| {
            let ones = usize::from(prefix).saturating_sub(index * 8).min(8);
            (0xff00u16 >> ones) as u8
        })
        .collect();
    mask(list, &bits);
    compare(list, EQUAL, &bytes);
}
