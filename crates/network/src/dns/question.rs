//! What of a sandbox's query goes on to the servers of the world: the question and nothing else.
//!
//! Those servers trust the host that asks. What else a query may carry, from updates of a zone to data in options, would be
//! the sandbox's own words in the host's name.

use simple_dns::{OPCODE, Packet, QTYPE, Question};

/// Room for replies that we say we have. Source: RFC 9715.
const ROOM: u16 = 1232;
const OPT: u16 = 41;
const IN: u16 = 1;

/// It asks for records of a name. Others are updates, transfers of zones and the like. Source: RFC 6895, section 3.1.
pub(super) fn is_plain(query: &Packet<'_>, kind: QTYPE) -> bool {
    let kind = u16::from(kind);
    query.opcode() == OPCODE::StandardQuery && kind != OPT && !(128..255).contains(&kind)
}

/// The same question as a query of our own, with an id that is still to be set. `bytes` are those of the query.
pub(super) fn ours(query: &Packet<'_>, question: &Question<'_>, bytes: &[u8]) -> Vec<u8> {
    // RD; and AD and CD, who validates, as the client has it. Source: RFC 4035, section 3.2.
    let validation = bytes.get(3).map_or(0, |flags| flags & 0x30);
    let mut ours = vec![0, 0, 1, validation, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in question.qname.as_bytes() {
        // A parsed label is no longer than 63 bytes: RFC 1035, section 2.3.4.
        ours.push(u8::try_from(label.len()).unwrap_or(0));
        ours.extend_from_slice(label);
    }
    ours.push(0);
    ours.extend_from_slice(&u16::from(question.qtype).to_be_bytes());
    ours.extend_from_slice(&IN.to_be_bytes());
    if query.opt().is_some() {
        // DO, which the parser does not tell, is in the record behind the question. Source: RFC 6891, section 6.1.
        let opt = bytes.get(ours.len()..).unwrap_or_default();
        let wants_signatures =
            opt.starts_with(&[0, 0, 41]) && opt.get(7).is_some_and(|flags| flags & 0x80 != 0);
        ours[11] = 1;
        ours.push(0);
        ours.extend_from_slice(&OPT.to_be_bytes());
        ours.extend_from_slice(&ROOM.to_be_bytes());
        ours.extend_from_slice(&[0, 0, u8::from(wants_signatures) << 7, 0, 0, 0]);
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_validates_is_kept() {
        // A query for `a.b`, type A, with AD, CD and an OPT that has DO and an option.
        let bytes = [
            &[9, 9, 0, 0x30, 0, 1, 0, 0, 0, 0, 0, 1][..],
            b"\x01a\x01b\0\0\x01\0\x01",
            &[0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 5, 0, 65, 0, 1, 7],
        ]
        .concat();
        let query = Packet::parse(&bytes).unwrap();
        let expected = [
            &[0, 0, 1, 0x30, 0, 1, 0, 0, 0, 0, 0, 1][..],
            b"\x01a\x01b\0\0\x01\0\x01",
            &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0],
        ]
        .concat();
        assert_eq!(ours(&query, &query.questions[0], &bytes), expected);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_ours_can_be_read(
            labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            kind in any::<u16>(),
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
            for label in &labels {
                bytes.push(label.len() as u8);
                bytes.extend(label);
            }
            bytes.push(0);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(rest);
            let Ok(query) = Packet::parse(&bytes) else { return Ok(()) };
            let ours = ours(&query, &query.questions[0], &bytes);
            let read = Packet::parse(&ours).unwrap();
            prop_assert_eq!(&read.questions[0].qname, &query.questions[0].qname);
            prop_assert_eq!(read.questions[0].qtype, query.questions[0].qtype);
        }
    }
}
