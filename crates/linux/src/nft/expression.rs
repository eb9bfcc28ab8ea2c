//! Expressions: what the kernel does with a packet and its registers. Source: `linux/netfilter/nf_tables.h`.

use super::LIST_ELEM;
use super::step::Verdict;
use crate::netlink::Attributes;

/// First of the registers of 16 bytes.
pub(super) const REGISTER: u32 = 1;
/// Second of the registers of 4 bytes, behind the first one of [`REGISTER`]: where the second part of a key goes.
pub(super) const SECOND: u32 = 9;
pub(super) const THIRD: u32 = 10;
pub(super) const VERDICT_REGISTER: u32 = 0;

pub(super) fn write_verdict(data: &mut Attributes<'_>, verdict: &Verdict) {
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

pub(super) fn expression(
    list: &mut Attributes<'_>,
    name: &str,
    fill: impl FnOnce(&mut Attributes<'_>),
) {
    list.nest(LIST_ELEM, |expression| {
        expression.text(1, name).nest(2, fill);
    });
}

pub(super) fn value(data: &mut Attributes<'_>, bytes: &[u8]) {
    data.bytes(1, bytes);
}

// Keys of the expression `meta`.
pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const META_IIFGROUP: u32 = 21;
pub(super) const META_OIFGROUP: u32 = 22;
// Keys of the expression `ct`.
pub(super) const CT_STATE: u32 = 0;
pub(super) const CT_STATUS: u32 = 2;
pub(super) const CT_MARK: u32 = 3;
// What comparisons say.
pub(super) const EQUAL: u32 = 0;
pub(super) const NOT_EQUAL: u32 = 1;
pub(super) const AT_MOST: u32 = 3;
pub(super) const AT_LEAST: u32 = 5;
// Where in a packet.
pub(super) const NETWORK_HEADER: u32 = 1;
pub(super) const TRANSPORT_HEADER: u32 = 2;

/// Puts bytes into a register.
pub(super) fn load(list: &mut Attributes<'_>, register: u32, bytes: &[u8]) {
    expression(list, "immediate", |data| {
        data.be32(1, register).nest(2, |inner| value(inner, bytes));
    });
}

pub(super) fn meta(list: &mut Attributes<'_>, register: u32, key: u32) {
    expression(list, "meta", |data| {
        data.be32(2, key).be32(1, register);
    });
}

pub(super) fn connection(list: &mut Attributes<'_>, key: u32) {
    expression(list, "ct", |data| {
        data.be32(2, key).be32(1, REGISTER);
    });
}

pub(super) fn payload(
    list: &mut Attributes<'_>,
    register: u32,
    base: u32,
    offset: u32,
    length: u32,
) {
    expression(list, "payload", |data| {
        data.be32(1, register)
            .be32(2, base)
            .be32(3, offset)
            .be32(4, length);
    });
}

pub(super) fn compare(list: &mut Attributes<'_>, relation: u32, bytes: &[u8]) {
    expression(list, "cmp", |data| {
        data.be32(1, REGISTER)
            .be32(2, relation)
            .nest(3, |inner| value(inner, bytes));
    });
}

pub(super) fn mask(list: &mut Attributes<'_>, mask: &[u8]) {
    let zero = vec![0; mask.len()];
    expression(list, "bitwise", |data| {
        data.be32(1, REGISTER)
            .be32(2, REGISTER)
            .be32(3, mask.len() as u32)
            .nest(4, |inner| value(inner, mask))
            .nest(5, |inner| value(inner, &zero));
    });
}

pub(super) fn look_up(list: &mut Attributes<'_>, set: &str, decides: bool) {
    expression(list, "lookup", |data| {
        data.text(1, set).be32(2, REGISTER);
        if decides {
            data.be32(3, VERDICT_REGISTER);
        }
    });
}

pub(super) fn family(list: &mut Attributes<'_>, v6: bool) {
    meta(list, REGISTER, META_NFPROTO);
    compare(
        list,
        EQUAL,
        &[if v6 { libc::AF_INET6 } else { libc::AF_INET } as u8],
    );
}

/// Loads the destination address; gives the number of the register of 4 bytes behind it.
pub(super) fn destination(list: &mut Attributes<'_>, v6: bool) -> u32 {
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

pub(super) fn state(list: &mut Attributes<'_>, key: u32, bits: u32) {
    connection(list, key);
    mask(list, &bits.to_ne_bytes());
    compare(list, NOT_EQUAL, &0u32.to_ne_bytes());
}

pub(super) fn reject(list: &mut Attributes<'_>, kind: u32, code: u8) {
    expression(list, "reject", |data| {
        data.be32(1, kind).bytes(2, &[code]);
    });
}
