//! nf_tables: tables, chains, sets, rules, as one transaction. Source: `linux/netfilter/nf_tables.h`, nft(8).
//!
//! The subset that the gateway needs. Rules are lists of expressions that work on registers: load something, compare it,
//! decide. Numbers of packets are in network order, those of the kernel (interface groups, connection marks) in the
//! machine's.

use std::net::IpAddr;

use crate::errno::Result;
use crate::netlink::{Attributes, Batch, F_APPEND, F_CREATE, Netlink};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = 0;
const NEWCHAIN: u16 = 3;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const DELRULE: u16 = 8;
const NEWSET: u16 = 9;
const DELSET: u16 = 11;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;
/// NFPROTO_INET: IPv4 and IPv6 in one table.
const INET: u8 = 1;
const LIST_ELEM: u16 = 1;

/// Length of the name of an interface in the kernel.
const IFNAMSIZ: usize = 16;
/// First of the registers of 16 bytes.
const REGISTER: u32 = 1;
/// Second of the registers of 4 bytes, behind the first one of [`REGISTER`]: where the second part of a key goes.
const SECOND: u32 = 9;
const THIRD: u32 = 10;
const VERDICT_REGISTER: u32 = 0;

/// One transaction on one table of the family `inet`.
#[derive(Debug)]
pub struct Transaction {
    table: String,
    batch: Batch,
}

/// Where packets pass a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As they come in.
    Prerouting,
    /// To this namespace itself.
    Input,
    /// Through it.
    Forward,
    /// As they go out.
    Postrouting,
}

/// What a base chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// To let pass or not.
    Filter,
    /// To change addresses; sees the first packet of a connection.
    Nat,
}

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
    /// It came in by an interface of this group.
    InputGroup(u32),
    /// It goes out by an interface of this group.
    OutputGroup(u32),
    /// It came in by an interface of another group.
    NotInputGroup(u32),
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

impl Transaction {
    /// Begins one on a table.
    pub fn on(table: &str) -> Self {
        let mut batch = Batch::new();
        batch
            .request("begin", BATCH_BEGIN, 0)
            .fixed(&[0, 0, 0, SUBSYSTEM as u8]);
        Self {
            table: table.to_owned(),
            batch,
        }
    }

    /// Carries it out: all of it, or nothing.
    pub fn commit(mut self, netlink: &Netlink) -> Result<()> {
        self.batch
            .request("end", BATCH_END, 0)
            .fixed(&[0, 0, 0, SUBSYSTEM as u8]);
        netlink.carry_out(&self.batch)
    }

    fn request(&mut self, name: &'static str, kind: u16, flags: u16) -> Attributes<'_> {
        let mut request = self.batch.request(name, SUBSYSTEM << 8 | kind, flags);
        request.fixed(&[INET, 0, 0, 0]);
        request
    }

    /// Makes the table.
    pub fn add_table(&mut self) -> &mut Self {
        let table = self.table.clone();
        self.request("add table", NEWTABLE, F_CREATE)
            .text(1, &table);
        self
    }

    /// A chain that packets pass, with what happens to those that no rule decides on.
    pub fn add_base_chain(
        &mut self,
        name: &str,
        kind: ChainType,
        hook: Hook,
        priority: i32,
        policy: &Verdict,
    ) -> &mut Self {
        const HOOK: u16 = 4;
        const POLICY: u16 = 5;
        const TYPE: u16 = 7;
        let table = self.table.clone();
        let number = match hook {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Postrouting => 4,
        };
        let word = match kind {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
        };
        self.request("add chain", NEWCHAIN, F_CREATE)
            .text(1, &table)
            .text(3, name)
            .nest(HOOK, |hook| {
                hook.be32(1, number).be32(2, priority as u32);
            })
            .be32(POLICY, u32::from(*policy == Verdict::Accept))
            .text(TYPE, word);
        self
    }

    /// A chain that other chains lead to.
    pub fn add_chain(&mut self, name: &str) -> &mut Self {
        let table = self.table.clone();
        self.request("add chain", NEWCHAIN, F_CREATE)
            .text(1, &table)
            .text(3, name);
        self
    }

    /// Takes a chain with its rules away; nothing may lead to it.
    pub fn remove_chain(&mut self, name: &str) -> &mut Self {
        let table = self.table.clone();
        self.request("empty chain", DELRULE, 0)
            .text(1, &table)
            .text(2, name);
        self.request("remove chain", DELCHAIN, 0)
            .text(1, &table)
            .text(3, name);
        self
    }

    /// Adds a rule behind those of a chain.
    pub fn add_rule(&mut self, chain: &str, steps: &[Step]) -> &mut Self {
        const EXPRESSIONS: u16 = 4;
        let table = self.table.clone();
        self.request("add rule", NEWRULE, F_CREATE | F_APPEND)
            .text(1, &table)
            .text(2, chain)
            .nest(EXPRESSIONS, |list| {
                for step in steps {
                    step.write(list);
                }
            });
        self
    }

    /// Makes a set, or, with `decides`, a map from its keys to what happens.
    pub fn add_set(&mut self, name: &str, key: KeyType, decides: bool) -> &mut Self {
        const MAP: u32 = 8;
        const DATA_VERDICT: u32 = 0xffff_ff00;
        let table = self.table.clone();
        let id = self.batch.len() as u32;
        let parts = key.parts();
        // Keys of several parts need no flag: for the kernel they are bytes, as long as they are no ranges.
        let flags = if decides { MAP } else { 0 };
        let mut request = self.request("add set", NEWSET, F_CREATE);
        request
            .text(1, &table)
            .text(2, name)
            .be32(3, flags)
            .be32(4, key.type_number())
            .be32(5, parts.iter().sum());
        if decides {
            request.be32(6, DATA_VERDICT).be32(7, 0);
        }
        request.be32(10, id);
        if matches!(key, KeyType::Interface | KeyType::Groups | KeyType::Group) {
            // A note for nft(8): keys are in the machine's order. Source: libnftnl, NFTNL_UDATA_SET_KEYBYTEORDER.
            const NOTES: u16 = 13;
            request.bytes(NOTES, &[&[0, 4][..], &1u32.to_ne_bytes()].concat());
        }
        drop(request);
        self
    }

    /// Takes a set away; no rule may use it.
    pub fn remove_set(&mut self, name: &str) -> &mut Self {
        let table = self.table.clone();
        self.request("remove set", DELSET, 0)
            .text(1, &table)
            .text(2, name);
        self
    }

    /// Adds keys to a set.
    pub fn add_keys(&mut self, set: &str, keys: &[Key]) -> &mut Self {
        self.keys("add to set", NEWSETELEM, F_CREATE, set, keys)
    }

    /// Takes keys out of a set or map, in which they are.
    pub fn remove_keys(&mut self, set: &str, keys: &[Key]) -> &mut Self {
        self.keys("remove from set", DELSETELEM, 0, set, keys)
    }

    /// Adds a key to a map.
    pub fn map(&mut self, set: &str, key: &Key, verdict: &Verdict) -> &mut Self {
        const ELEMENTS: u16 = 3;
        let table = self.table.clone();
        self.request("add to map", NEWSETELEM, F_CREATE)
            .text(1, &table)
            .text(2, set)
            .nest(ELEMENTS, |list| {
                list.nest(LIST_ELEM, |element| {
                    element
                        .nest(1, |value| {
                            value.bytes(1, &key.bytes());
                        })
                        .nest(2, |data| write_verdict(data, verdict));
                });
            });
        self
    }

    fn keys(
        &mut self,
        name: &'static str,
        kind: u16,
        flags: u16,
        set: &str,
        keys: &[Key],
    ) -> &mut Self {
        const ELEMENTS: u16 = 3;
        // A nested attribute holds 64 KiB.
        for keys in keys.chunks(512) {
            let table = self.table.clone();
            self.request(name, kind, flags)
                .text(1, &table)
                .text(2, set)
                .nest(ELEMENTS, |list| {
                    for key in keys {
                        list.nest(LIST_ELEM, |element| {
                            element.nest(1, |value| {
                                value.bytes(1, &key.bytes());
                            });
                        });
                    }
                });
        }
        self
    }
}

impl KeyType {
    /// Lengths of the parts, each a multiple of four.
    fn parts(self) -> Vec<u32> {
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
    fn type_number(self) -> u32 {
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
    fn bytes(&self) -> Vec<u8> {
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

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn interface(name: &str) -> [u8; IFNAMSIZ] {
    let mut bytes = [0; IFNAMSIZ];
    let length = name.len().min(IFNAMSIZ - 1);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

fn write_verdict(data: &mut Attributes<'_>, verdict: &Verdict) {
    const VERDICT: u16 = 2;
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    data.nest(VERDICT, |inner| {
        inner.be32(1, code as u32);
        if let Some(chain) = chain {
            inner.text(2, chain);
        }
    });
}

fn expression(list: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(LIST_ELEM, |expression| {
        expression.text(1, name).nest(2, fill);
    });
}

fn value(data: &mut Attributes<'_>, bytes: &[u8]) {
    data.bytes(1, bytes);
}

// Keys of the expression `meta`.
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const META_IIFGROUP: u32 = 21;
const META_OIFGROUP: u32 = 22;
// Keys of the expression `ct`.
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
// What comparisons say.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;
// Where in a packet.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

fn meta(list: &mut Attributes<'_>, register: u32, key: u32) {
    expression(list, "meta", |data| {
        data.be32(2, key).be32(1, register);
    });
}

fn connection(list: &mut Attributes<'_>, key: u32) {
    expression(list, "ct", |data| {
        data.be32(2, key).be32(1, REGISTER);
    });
}

fn payload(list: &mut Attributes<'_>, register: u32, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.be32(1, register)
            .be32(2, base)
            .be32(3, offset)
            .be32(4, length);
    });
}

fn compare(list: &mut Attributes<'_>, relation: u32, bytes: &[u8]) {
    expression(list, "cmp", |data| {
        data.be32(1, REGISTER)
            .be32(2, relation)
            .nest(3, |inner| value(inner, bytes));
    });
}

fn mask(list: &mut Attributes<'_>, mask: &[u8]) {
    let zero = vec![0; mask.len()];
    expression(list, "bitwise", |data| {
        data.be32(1, REGISTER)
            .be32(2, REGISTER)
            .be32(3, mask.len() as u32)
            .nest(4, |inner| value(inner, mask))
            .nest(5, |inner| value(inner, &zero));
    });
}

fn look_up(list: &mut Attributes<'_>, set: &str, decides: bool) {
    expression(list, "lookup", |data| {
        data.text(1, set).be32(2, REGISTER);
        if decides {
            data.be32(3, VERDICT_REGISTER);
        }
    });
}

fn family(list: &mut Attributes<'_>, v6: bool) {
    meta(list, REGISTER, META_NFPROTO);
    compare(
        list,
        EQUAL,
        &[if v6 { libc::AF_INET6 } else { libc::AF_INET } as u8],
    );
}

/// Loads the destination address; gives the number of the register of 4 bytes behind it.
fn destination(list: &mut Attributes<'_>, v6: bool) -> u32 {
    family(list, v6);
    if v6 {
        payload(list, REGISTER, NETWORK_HEADER, 24, 16);
        // Four registers of 4 bytes further.
        SECOND + 3
    } else {
        payload(list, REGISTER, NETWORK_HEADER, 16, 4);
        SECOND
    }
}

fn state(list: &mut Attributes<'_>, key: u32, bits: u32) {
    connection(list, key);
    mask(list, &bits.to_ne_bytes());
    compare(list, NOT_EQUAL, &0u32.to_ne_bytes());
}

fn reject(list: &mut Attributes<'_>, kind: u32, code: u8) {
    expression(list, "reject", |data| {
        data.be32(1, kind).bytes(2, &[code]);
    });
}

impl Step {
    fn write(&self, list: &mut Attributes<'_>) {
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
            Self::InputGroup(group) => {
                meta(list, REGISTER, META_IIFGROUP);
                compare(list, EQUAL, &group.to_ne_bytes());
            }
            Self::NotInputGroup(group) => {
                meta(list, REGISTER, META_IIFGROUP);
                compare(list, NOT_EQUAL, &group.to_ne_bytes());
            }
            Self::OutputGroup(group) => {
                meta(list, REGISTER, META_OIFGROUP);
                compare(list, EQUAL, &group.to_ne_bytes());
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
            Self::Ports(first, last) => {
                payload(list, REGISTER, TRANSPORT_HEADER, 2, 2);
                if first == last {
                    compare(list, EQUAL, &first.to_be_bytes());
                } else {
                    compare(list, AT_LEAST, &first.to_be_bytes());
                    compare(list, AT_MOST, &last.to_be_bytes());
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
                expression(list, "immediate", |data| {
                    data.be32(1, REGISTER)
                        .nest(2, |inner| value(inner, &mark.to_ne_bytes()));
                });
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
                expression(list, "immediate", |data| {
                    data.be32(1, REGISTER)
                        .nest(2, |inner| value(inner, &port.to_be_bytes()));
                });
                expression(list, "redir", |data| {
                    data.be32(1, REGISTER);
                });
            }
            Self::To(address, port) => {
                const SECOND_LONG: u32 = 2;
                const DESTINATION_NAT: u32 = 1;
                family(list, false);
                expression(list, "immediate", |data| {
                    data.be32(1, REGISTER)
                        .nest(2, |inner| value(inner, &address.octets()));
                });
                expression(list, "immediate", |data| {
                    data.be32(1, SECOND_LONG)
                        .nest(2, |inner| value(inner, &port.to_be_bytes()));
                });
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
