//! Packets that rules have told of, for the audit log. Source: `linux/netfilter/nfnetlink_log.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shedbox_linux::Result;
use shedbox_linux::netlink::{Batch, F_ACK, Netlink, Protocol as Part, attributes};

use crate::firewall::{LOG_GROUP, TCP, UDP};

const SUBSYSTEM: u16 = 4;
const CONFIG: u16 = SUBSYSTEM << 8 | 1;
const PACKET: u16 = SUBSYSTEM << 8;

/// What a rule has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The connection was let in, or refused.
    pub(crate) allowed: bool,
    /// Version of the policy that said so.
    pub(crate) version: u32,
    pub(crate) destination: IpAddr,
    /// Number of the transport protocol.
    pub(crate) protocol: u8,
    pub(crate) port: Option<u16>,
}

/// Opens a listener in this thread's network namespace.
pub(crate) fn listen() -> Result<Netlink> {
    const COMMAND: u16 = 1;
    const MODE: u16 = 2;
    const BIND: u8 = 1;
    const COPY_PACKET: u8 = 2;
    let netlink = Netlink::open(Part::Netfilter)?;
    let [high, low] = LOG_GROUP.to_be_bytes();
    let mut batch = Batch::new();
    batch
        .request("listen to a packet log", CONFIG, F_ACK)
        .fixed(&[0, 0, high, low])
        .bytes(COMMAND, &[BIND]);
    batch
        .request("choose what a packet log tells", CONFIG, F_ACK)
        .fixed(&[0, 0, high, low])
        .bytes(MODE, &[0, 0, 0, 128, COPY_PACKET, 0]);
    netlink.carry_out(&batch)?;
    Ok(netlink)
}

/// Reads one message.
pub(crate) fn read(kind: u16, body: &[u8]) -> Option<Seen> {
    const PAYLOAD: u16 = 9;
    const PREFIX: u16 = 10;
    if kind != PACKET {
        return None;
    }
    let (mut prefix, mut payload) = (None, None);
    for (kind, value) in attributes(body.get(4..)?) {
        match kind {
            PREFIX => prefix = std::str::from_utf8(value.strip_suffix(b"\0").unwrap_or(value)).ok(),
            PAYLOAD => payload = Some(value),
            _ => {}
        }
    }
    let (word, version) = prefix?.split_at_checked(1)?;
    let (destination, protocol, transport) = header(payload?)?;
    let port = [TCP, UDP]
        .contains(&protocol)
        .then(|| transport.get(2..4))
        .flatten()
        .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    Some(Seen {
        allowed: word == "a",
        version: version.parse().ok()?,
        destination,
        protocol,
        port,
    })
}

/// Destination, protocol and what is behind the header. Extension headers of IPv6 are not followed: then the protocol is
/// the number of the first one.
fn header(packet: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    match packet.first()? >> 4 {
        4 => {
            let length = usize::from(packet[0] & 15) * 4;
            let four: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some((
                Ipv4Addr::from(four).into(),
                packet[9],
                packet.get(length..)?,
            ))
        }
        6 => {
            let sixteen: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some((Ipv6Addr::from(sixteen).into(), packet[6], packet.get(40..)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(prefix: &str, packet: &[u8]) -> Vec<u8> {
        let mut batch = Batch::new();
        batch
            .request("test", PACKET, 0)
            .fixed(&[0; 4])
            .text(10, prefix)
            .bytes(9, packet);
        batch.bytes()[16..].to_vec()
    }

    #[test]
    fn headers() {
        let mut v4 = vec![
            0x45, 0, 0, 44, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 2, 1, 2, 3, 4,
        ];
        v4.extend([0x80, 0, 0x01, 0xbb]);
        let seen = read(PACKET, &message("d7", &v4)).unwrap();
        assert_eq!(
            seen,
            Seen {
                allowed: false,
                version: 7,
                destination: Ipv4Addr::new(1, 2, 3, 4).into(),
                protocol: TCP,
                port: Some(443),
            }
        );
        let mut v6 = vec![0x60, 0, 0, 0, 0, 8, 58, 64];
        v6.extend([0; 31]);
        v6.extend([1, 128, 0]);
        let seen = read(PACKET, &message("a1", &v6)).unwrap();
        assert_eq!(
            (seen.destination, seen.port, seen.allowed),
            ("::1".parse().unwrap(), None, true)
        );
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        for length in 0..20 {
            assert_eq!(
                read(PACKET, &message("a1", &vec![0x45; length])),
                None,
                "{length}"
            );
        }
        assert_eq!(read(PACKET, &message("", &[0x45; 40])), None);
        assert_eq!(read(PACKET, &message("ax", &[0x45; 40])), None);
        assert_eq!(read(1, &message("a1", &[0x45; 40])), None);
    }
}
