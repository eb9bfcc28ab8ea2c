//! nf_tables: tables, chains, sets, rules, as one transaction. Source: `linux/netfilter/nf_tables.h`, nft(8).
//!
//! The subset that the gateway needs. Rules are lists of expressions that work on registers: load something, compare it,
//! decide. Numbers of packets are in network order, those of the kernel (interface groups, connection marks) in the
//! machine's.

use crate::errno::Result;
use crate::netlink::{Attributes, Batch, F_APPEND, F_CREATE, Netlink};

mod expression;
mod key;
mod step;

pub use key::{Key, KeyType};
pub use step::{Step, Verdict};

use expression::write_verdict;

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

    /// Adds keys to a set in which they are not, or takes them out of one in which they are.
    pub fn set_keys(&mut self, set: &str, keys: &[Key], there: bool) -> &mut Self {
        if there {
            self.add_keys(set, keys)
        } else {
            self.remove_keys(set, keys)
        }
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
