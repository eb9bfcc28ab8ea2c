//! Replies, as bytes.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use simple_dns::rdata::{A, AAAA, PTR, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

/// Time to live of our own names, in seconds: sandboxes come and go.
const OWN_TTL: u32 = 1;

/// A reply that is being made.
pub(super) struct Answer<'a> {
    query: &'a Packet<'a>,
    room: u16,
}

impl<'a> Answer<'a> {
    /// To a query; one that does not fit the room says so instead.
    pub(super) fn to(query: &'a Packet<'a>, room: u16) -> Self {
        Self { query, room }
    }

    fn empty(&self) -> Packet<'a> {
        let mut reply = Packet::new_reply(self.query.id());
        *reply.opcode_mut() = self.query.opcode();
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        if self.query.has_flags(PacketFlag::RECURSION_DESIRED) {
            reply.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        reply.questions.clone_from(&self.query.questions);
        reply
    }

    /// Without an answer.
    pub(super) fn code(&self, code: RCODE) -> Option<Vec<u8>> {
        let mut reply = self.empty();
        *reply.rcode_mut() = code;
        encode(&reply, self.room)
    }

    /// Addresses of the name; which one is first changes, so that a name of several sandboxes spreads over them.
    pub(super) fn addresses(&self, addresses: &[IpAddr]) -> Option<Vec<u8>> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let mut reply = self.empty();
        reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        let name = self.query.questions.first()?.qname.clone();
        let mut addresses = addresses.to_vec();
        if !addresses.is_empty() {
            let turn = TURN.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(turn);
        }
        for address in addresses {
            let rdata = match address {
                IpAddr::V4(address) => RData::A(A {
                    address: address.to_bits(),
                }),
                IpAddr::V6(address) => RData::AAAA(AAAA {
                    address: address.to_bits(),
                }),
            };
            let record = ResourceRecord::new(name.clone(), CLASS::IN, OWN_TTL, rdata);
            reply.answers.push(record);
        }
        encode(&reply, self.room)
    }

    /// The name of an address.
    pub(super) fn name(&self, name: &str) -> Option<Vec<u8>> {
        let mut reply = self.empty();
        reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        let asked = self.query.questions.first()?.qname.clone();
        let rdata = RData::PTR(PTR(Name::new(name).ok()?));
        reply
            .answers
            .push(ResourceRecord::new(asked, CLASS::IN, OWN_TTL, rdata));
        encode(&reply, self.room)
    }
}

/// What is told to somebody whose query cannot be read, if it has an id.
pub(super) fn malformed(query: &[u8]) -> Option<Vec<u8>> {
    let (id, rest) = query.split_first_chunk::<2>()?;
    // A reply is not replied to.
    if rest.len() < 10 || rest[0] & 0x80 != 0 {
        return None;
    }
    let mut reply = Packet::new_reply(u16::from_be_bytes(*id));
    *reply.rcode_mut() = RCODE::FormatError;
    reply.build_bytes_vec().ok()
}

/// Takes out addresses of other names than the one that was asked for, and those that it stands for. A server adds them
/// unasked, for a mail exchanger for instance, and the policy may not allow those names.
pub(super) fn hold_to(reply: &mut Packet<'_>, name: &str) {
    let lower = |name: &Name<'_>| name.to_string().to_ascii_lowercase();
    let mut aliases: HashMap<String, String> = reply
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::CNAME(target) => Some((lower(&record.name), lower(&target.0))),
            _ => None,
        })
        .collect();
    let mut names = HashSet::from([name.to_owned()]);
    let mut last = name.to_owned();
    // Each is taken once, so a circle ends.
    while let Some(target) = aliases.remove(&last) {
        names.insert(target.clone());
        last = target;
    }
    reply.answers.retain(|record| {
        let other = address(record).is_some() && !names.contains(&lower(&record.name));
        !other && !is_service_binding(record.rdata.type_code().into())
    });
    reply
        .name_servers
        .retain(|record| address(record).is_none());
    reply.additional_records.clear();
}

/// SVCB and HTTPS: they carry addresses of their own. Source: RFC 9460.
pub(super) fn is_service_binding(kind: u16) -> bool {
    matches!(kind, 64 | 65)
}

/// Takes out the addresses that are not to be known; gives the others with their time to live.
pub(super) fn filter(reply: &mut Packet<'_>, keep: impl Fn(IpAddr) -> bool) -> Vec<(IpAddr, u32)> {
    let mut kept = Vec::new();
    let mut retain = |record: &ResourceRecord<'_>| match address(record) {
        None => true,
        Some(address) if keep(address) => {
            kept.push((address, record.ttl));
            true
        }
        Some(_) => false,
    };
    reply.answers.retain(&mut retain);
    reply.name_servers.retain(&mut retain);
    reply.additional_records.retain(&mut retain);
    kept
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from_bits(a.address).into()),
        RData::AAAA(a) => Some(Ipv6Addr::from_bits(a.address).into()),
        _ => None,
    }
}

/// The reply of somebody else as our own.
pub(super) fn finish(
    found: &Packet<'_>,
    id: u16,
    room: u16,
    query: &Packet<'_>,
) -> Option<Vec<u8>> {
    let mut reply = found.clone();
    reply.set_id(id);
    // Letters in the question are the client's own, who may compare them.
    reply.questions = query
        .questions
        .iter()
        .map(|question| question.clone().into_owned())
        .collect();
    encode(&reply, room)
}

fn encode(reply: &Packet<'_>, room: u16) -> Option<Vec<u8>> {
    let bytes = reply.build_bytes_vec_compressed().ok()?;
    if bytes.len() <= usize::from(room) {
        return Some(bytes);
    }
    let mut short = Packet::new_reply(reply.id());
    short.set_flags(PacketFlag::TRUNCATION | PacketFlag::RECURSION_AVAILABLE);
    short.questions.clone_from(&reply.questions);
    short.build_bytes_vec_compressed().ok()
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for. Source: RFC 1035, RFC 3596.
pub(super) fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0; 4];
        let mut labels = digits.split('.');
        for byte in bytes.iter_mut().rev() {
            *byte = labels.next()?.parse().ok()?;
        }
        return labels
            .next()
            .is_none()
            .then(|| Ipv4Addr::from(bytes).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut count = 0;
    for label in digits.rsplit('.') {
        let digit = u128::from_str_radix(label, 16)
            .ok()
            .filter(|_| label.len() == 1)?;
        bits = bits << 4 | digit;
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses() {
        assert_eq!(
            reverse_address("4.3.2.1.in-addr.arpa"),
            Some("1.2.3.4".parse().unwrap())
        );
        let six = format!("1.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
        assert_eq!(reverse_address(&six), Some("fd00::1".parse().unwrap()));
        for none in [
            "3.2.1.in-addr.arpa",
            "5.4.3.2.1.in-addr.arpa",
            "x.3.2.1.in-addr.arpa",
            "1.ip6.arpa",
            "a.b",
        ] {
            assert_eq!(reverse_address(none), None, "{none}");
        }
    }
}
