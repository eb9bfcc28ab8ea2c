//! Netlink: requests as they are sent to the kernel, and its answers. Source: netlink(7).
//!
//! No crate covers both rtnetlink and nf_tables without a C library or a licence that binds; both speak the same
//! attributes, and one small writer serves them.

#![allow(
    unsafe_code,
    reason = "options of netlink sockets have no wrapper in nix or rustix"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::errno::{Context, Errno, Error, Result};

/// An answer is expected.
pub const F_REQUEST: u16 = 1;
/// The kernel says how it went.
pub const F_ACK: u16 = 4;
/// Everything, not one.
pub const F_DUMP: u16 = 0x300;
/// Take the place of what is there.
pub const F_REPLACE: u16 = 0x100;
/// Fail when it is there.
pub const F_EXCL: u16 = 0x200;
/// Make it when it is not there.
pub const F_CREATE: u16 = 0x400;
/// Behind what is there.
pub const F_APPEND: u16 = 0x800;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NESTED: u16 = 1 << 15;
const HEADER: usize = 16;
/// More than the kernel puts into one datagram.
const RECEIVE: usize = 64 << 10;

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Interfaces, addresses, routes. Source: rtnetlink(7).
    Route,
    /// nf_tables and packet logs.
    Netfilter,
}

/// Requests that are sent together.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Names of the requests, for errors; the index is the sequence number less one.
    names: Vec<&'static str>,
    acknowledged: usize,
}

impl Batch {
    /// Without requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a request; `name` is for errors. It is whole when the writer is dropped.
    pub fn request(&mut self, name: &'static str, kind: u16, flags: u16) -> Attributes<'_> {
        self.names.push(name);
        self.acknowledged += usize::from(flags & F_ACK != 0);
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | F_REQUEST).to_ne_bytes());
        self.bytes.extend((self.names.len() as u32).to_ne_bytes());
        self.bytes.extend([0; 4]);
        Attributes {
            bytes: &mut self.bytes,
            start,
            length: Length::Message,
        }
    }

    /// Nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many requests it holds.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The bytes as they are sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// How the length in front is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Message,
    Attribute,
}

/// Writes the body of a request or of a nested attribute.
#[derive(Debug)]
pub struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    length: Length,
}

impl Attributes<'_> {
    /// A fixed structure in front of the attributes.
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// An attribute of bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        // Attributes are small; what is larger than their length field can say is a defect that the kernel refuses.
        let length = (value.len() + 4) as u16;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// A number in the machine's order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A number in network order, as nf_tables has them.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Text with a zero behind it.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// An attribute of attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        let mut inner = Attributes {
            bytes: self.bytes,
            start,
            length: Length::Attribute,
        };
        fill(&mut inner);
        drop(inner);
        self
    }

    fn pad(&mut self) {
        while !(self.bytes.len() - self.start).is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        let length = self.bytes.len() - self.start;
        let place = &mut self.bytes[self.start..];
        match self.length {
            Length::Message => place[..4].copy_from_slice(&(length as u32).to_ne_bytes()),
            Length::Attribute => place[..2].copy_from_slice(&(length as u16).to_ne_bytes()),
        }
    }
}

/// A socket to the kernel, in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Netlink {
    /// Opens one in this thread's network namespace.
    pub fn open(protocol: Protocol) -> Result<Self> {
        let number = match protocol {
            // NETLINK_ROUTE is 0, what no protocol means.
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let socket = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            number,
        )
        .call("socket", || format!("AF_NETLINK, {protocol:?}"))?;
        // Better words in errors, and short ones; older kernels do without.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            let on: libc::c_int = 1;
            // SAFETY: the option takes one int, which lives during the call, and its size is given.
            unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_NETLINK,
                    option,
                    (&raw const on).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                );
            }
        }
        Ok(Self { socket })
    }

    /// Sends requests and waits for what the kernel says; the first refusal is the error. Requests after a refused one may
    /// have been carried out (rtnetlink) or not (nf_tables, where a batch is one transaction).
    pub fn carry_out(&self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.send(batch)?;
        // The kernel has dealt with all of it by now: netlink requests are carried out while they are sent.
        let mut outcome = Ok(());
        let mut heard = 0;
        let mut buffer = vec![0; RECEIVE];
        loop {
            let length = match net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => length,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno).call("recv", || "netlink".into()),
            };
            for message in messages(&buffer[..length]) {
                if message.kind != NLMSG_ERROR {
                    continue;
                }
                heard += 1;
                if outcome.is_ok() {
                    outcome = verdict(&message, batch);
                }
            }
        }
        outcome?;
        if heard < batch.acknowledged {
            return Err(Error::new(
                "recv",
                "netlink: answers are missing",
                Errno::EPROTO,
            ));
        }
        Ok(())
    }

    /// Asks for a list; gives the body of each item.
    pub fn dump(&self, batch: &Batch) -> Result<Vec<Vec<u8>>> {
        self.send(batch)?;
        let mut items = Vec::new();
        let mut buffer = vec![0; RECEIVE];
        loop {
            let length = match net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno).call("recv", || "netlink".into()),
            };
            for message in messages(&buffer[..length]) {
                match message.kind {
                    NLMSG_DONE => return Ok(items),
                    NLMSG_ERROR => {
                        verdict(&message, batch)?;
                        return Ok(items);
                    }
                    _ => items.push(message.body.to_vec()),
                }
            }
        }
    }

    /// Waits for one datagram of messages and gives kind and body of each. ENOBUFS: some were lost.
    pub fn receive(&self) -> Result<Vec<(u16, Vec<u8>)>> {
        let mut buffer = vec![0; RECEIVE];
        loop {
            match net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    return Ok(messages(&buffer[..length])
                        .map(|message| (message.kind, message.body.to_vec()))
                        .collect());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).call("recv", || "netlink".into()),
            }
        }
    }

    fn send(&self, batch: &Batch) -> Result<()> {
        loop {
            match net::send(&self.socket, &batch.bytes, SendFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                sent => {
                    return sent.map(drop).call("send", || {
                        batch.names.first().copied().unwrap_or("netlink").to_owned()
                    });
                }
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = number(bytes, 0)? as usize;
        if length < HEADER || length > bytes.len() {
            return None;
        }
        let message = Message {
            kind: u16::from_ne_bytes([bytes[4], bytes[5]]),
            flags: u16::from_ne_bytes([bytes[6], bytes[7]]),
            sequence: number(bytes, 8)?,
            body: &bytes[HEADER..length],
        };
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some(message)
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

/// The attributes of a body, as kind and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        if length < 4 || length > bytes.len() {
            return None;
        }
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = &bytes[4..length];
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        Some((kind, value))
    })
}

/// What an acknowledgement says. Source: netlink(7), NLMSG_ERROR; `NLMSGERR_ATTR_MSG` of extended ones.
fn verdict(message: &Message<'_>, batch: &Batch) -> Result<()> {
    const ACK_TLVS: u16 = 0x200;
    const CAPPED: u16 = 0x100;
    const ATTR_MSG: u16 = 1;
    let code = number(message.body, 0).unwrap_or(0) as i32;
    if code == 0 {
        return Ok(());
    }
    let name = batch
        .names
        .get((message.sequence as usize).wrapping_sub(1))
        .copied()
        .unwrap_or("netlink");
    let original = number(message.body, 4).unwrap_or(0) as usize;
    let behind = if message.flags & CAPPED == 0 {
        4 + original.next_multiple_of(4)
    } else {
        4 + HEADER
    };
    let words = (message.flags & ACK_TLVS != 0)
        .then(|| message.body.get(behind..))
        .flatten()
        .and_then(|tlvs| attributes(tlvs).find(|(kind, _)| *kind == ATTR_MSG))
        .map(|(_, text)| {
            String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned()
        });
    let detail = match words {
        Some(words) => format!("{name}: {words}"),
        None => name.to_owned(),
    };
    Err(Error::new("netlink", detail, Errno::from_raw(-code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_padding() {
        let mut batch = Batch::new();
        {
            let mut request = batch.request("test", 16, F_ACK);
            request.fixed(&[1, 2, 3, 4]).text(3, "ab").nest(5, |inner| {
                inner.be32(1, 7);
            });
        }
        let bytes = batch.bytes();
        assert_eq!(number(bytes, 0), Some(bytes.len() as u32));
        let message = messages(bytes).next().unwrap();
        assert_eq!(
            (message.kind, message.flags, message.sequence),
            (16, F_REQUEST | F_ACK, 1)
        );
        let found: Vec<_> = attributes(&message.body[4..]).collect();
        assert_eq!(found[0], (3, &b"ab\0"[..]));
        assert_eq!(found[1].0, 5);
        assert_eq!(attributes(found[1].1).next(), Some((1, &[0, 0, 0, 7][..])));
    }

    #[test]
    fn loopback_is_listed_and_a_refusal_has_its_name() {
        const GETLINK: u16 = 18;
        const DELLINK: u16 = 17;
        let netlink = Netlink::open(Protocol::Route).unwrap();
        let mut batch = Batch::new();
        batch
            .request("list interfaces", GETLINK, F_DUMP)
            .fixed(&[0; 16]);
        assert!(!netlink.dump(&batch).unwrap().is_empty());
        let mut batch = Batch::new();
        batch
            .request("remove nothing", DELLINK, F_ACK)
            .fixed(&[0; 16]);
        let error = netlink.carry_out(&batch).unwrap_err();
        assert!(error.to_string().contains("remove nothing"), "{error}");
    }

    #[test]
    fn damaged_messages_end_the_list() {
        assert_eq!(messages(&[0; 15]).count(), 0);
        assert_eq!(messages(&[255; 40]).count(), 0);
        assert_eq!(attributes(&[3, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
    }
}
