//! Interfaces, addresses, routes and neighbours. Source: rtnetlink(7), `linux/if_link.h`, `linux/rtnetlink.h`.
//!
//! Each function adds one request to a [`Batch`]; interfaces are named by index, and the indices of new ones are chosen
//! by the caller, so that nothing has to be read back.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::errno::Result;
use crate::netlink::{
    Attributes, Batch, F_ACK, F_CREATE, F_DUMP, F_EXCL, F_REPLACE, Netlink, attributes,
};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
const NEWNEIGH: u16 = 28;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTN_UNREACHABLE: u8 = 7;
const RTA_PRIORITY: u16 = 6;
const RTNH_F_ONLINK: u32 = 4;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;

/// Index of `lo` in every network namespace.
pub const LOOPBACK: u32 = 1;

/// One end of a pair.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// Name, at most 15 bytes.
    pub name: &'a str,
    /// Index, free in its namespace.
    pub index: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Device group.
    pub group: u32,
}

/// A veth pair whose ends are both here, the first one up.
pub fn add_loose_end(batch: &mut Batch, end: End<'_>, other: End<'_>) {
    let mut request = batch.request("add interface", NEWLINK, F_ACK | F_CREATE | F_EXCL);
    write_end(&mut request, end, IFF_UP);
    request.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth")
            .nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| write_end(peer, other, 0));
            });
    });
}

/// A veth pair, one end here and up, the other one in the network namespace `there` and still down: the kernel sets an end
/// up only when both are there. Source: veth(4).
pub fn add_veth(batch: &mut Batch, here: End<'_>, peer: End<'_>, there: BorrowedFd<'_>) {
    let namespace = there.as_raw_fd() as u32;
    let mut request = batch.request("add interface", NEWLINK, F_ACK | F_CREATE | F_EXCL);
    write_end(&mut request, here, IFF_UP);
    request.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth")
            .nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |end| {
                    write_end(end, peer, 0);
                    end.u32(IFLA_NET_NS_FD, namespace);
                });
            });
    });
}

fn write_end(request: &mut Attributes<'_>, end: End<'_>, up: u32) {
    // One queue each: more cost memory and time, and one sandbox does not fill one.
    request
        .fixed(&link(end.index, up))
        .text(IFLA_IFNAME, end.name)
        .bytes(IFLA_ADDRESS, &end.mac)
        .u32(IFLA_GROUP, end.group)
        .u32(IFLA_NUM_TX_QUEUES, 1)
        .u32(IFLA_NUM_RX_QUEUES, 1);
}

/// Takes an interface, and with it its other end, away.
pub fn remove_link(batch: &mut Batch, index: u32) {
    batch
        .request("remove interface", DELLINK, F_ACK)
        .fixed(&link(index, 0));
}

/// Sets an interface up.
pub fn set_up(batch: &mut Batch, index: u32) {
    batch
        .request("set interface up", NEWLINK, F_ACK)
        .fixed(&link(index, IFF_UP));
}

/// Adds an address without the route that usually comes with it, and without the search for others who have it.
pub fn add_address(batch: &mut Batch, index: u32, address: IpAddr, prefix: u8) {
    let mut request = batch.request("add address", NEWADDR, F_ACK | F_CREATE | F_REPLACE);
    write_address(&mut request, index, address, prefix);
    request.u32(IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
}

/// Takes an address away.
pub fn remove_address(batch: &mut Batch, index: u32, address: IpAddr, prefix: u8) {
    write_address(
        &mut batch.request("remove address", DELADDR, F_ACK),
        index,
        address,
        prefix,
    );
}

fn write_address(request: &mut Attributes<'_>, index: u32, address: IpAddr, prefix: u8) {
    let mut head = [family(address), prefix, 0, RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
    head[4..].copy_from_slice(&index.to_ne_bytes());
    request.fixed(&head);
    with_bytes(address, |bytes| {
        request.bytes(IFA_LOCAL, bytes).bytes(IFA_ADDRESS, bytes);
    });
}

/// Where packets to a range of addresses go: straight out of an interface, or through a gateway behind it.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// First address of the range.
    pub to: IpAddr,
    /// Length of its prefix; 0 is everywhere.
    pub prefix: u8,
    /// The interface.
    pub index: u32,
    /// The gateway; it need not be in a subnet of the interface.
    pub via: Option<IpAddr>,
    /// Others that lead to the same go first.
    pub last: bool,
}

/// Adds a route, in the place of one that leads there already.
pub fn add_route(batch: &mut Batch, route: Route) {
    let mut request = batch.request("add route", NEWROUTE, F_ACK | F_CREATE | F_REPLACE);
    let (scope, flags) = match route.via {
        Some(_) => (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
        None => (RT_SCOPE_LINK, 0),
    };
    let mut head = [
        family(route.to),
        route.prefix,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    head[8..].copy_from_slice(&flags.to_ne_bytes());
    request.fixed(&head);
    if route.prefix > 0 {
        with_bytes(route.to, |bytes| {
            request.bytes(RTA_DST, bytes);
        });
    }
    if let Some(via) = route.via {
        with_bytes(via, |bytes| {
            request.bytes(RTA_GATEWAY, bytes);
        });
    }
    if route.last {
        request.u32(RTA_PRIORITY, u32::MAX);
    }
    request.u32(RTA_OIF, route.index);
}

/// Addresses of a range that have no route of their own cannot be reached: their senders are told so.
pub fn add_unreachable(batch: &mut Batch, first: IpAddr, prefix: u8) {
    write_unreachable(
        &mut batch.request("close a subnet", NEWROUTE, F_ACK | F_CREATE | F_REPLACE),
        first,
        prefix,
    );
}

/// Takes that back.
pub fn remove_unreachable(batch: &mut Batch, first: IpAddr, prefix: u8) {
    write_unreachable(
        &mut batch.request("open a subnet", DELROUTE, F_ACK),
        first,
        prefix,
    );
}

fn write_unreachable(request: &mut Attributes<'_>, first: IpAddr, prefix: u8) {
    request.fixed(&[
        family(first),
        prefix,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        RT_SCOPE_UNIVERSE,
        RTN_UNREACHABLE,
        0,
        0,
        0,
        0,
    ]);
    with_bytes(first, |bytes| {
        request.bytes(RTA_DST, bytes);
    });
}

/// Says once and for all which hardware address a neighbour has. Such entries do not count against the host-wide limit of
/// neighbours (`gc_thresh3`), which a thousand sandboxes would reach.
pub fn add_neighbour(batch: &mut Batch, index: u32, address: IpAddr, mac: [u8; 6]) {
    let mut request = batch.request("add neighbour", NEWNEIGH, F_ACK | F_CREATE | F_REPLACE);
    let mut head = [family(address), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    request.fixed(&head);
    with_bytes(address, |bytes| {
        request.bytes(NDA_DST, bytes);
    });
    request.bytes(NDA_LLADDR, &mac);
}

/// Name and index of every interface of the socket's namespace.
pub fn links(netlink: &Netlink) -> Result<Vec<(String, u32)>> {
    let mut batch = Batch::new();
    batch
        .request("list interfaces", GETLINK, F_DUMP)
        .fixed(&link(0, 0));
    let found = netlink.dump(&batch)?;
    Ok(found
        .iter()
        .filter_map(|body| {
            let index = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
            let (_, name) = attributes(body.get(16..)?).find(|(kind, _)| *kind == IFLA_IFNAME)?;
            let name = name.strip_suffix(b"\0").unwrap_or(name);
            Some((String::from_utf8_lossy(name).into_owned(), index))
        })
        .collect())
}

fn link(index: u32, up: u32) -> [u8; 16] {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&up.to_ne_bytes());
    head[12..16].copy_from_slice(&up.to_ne_bytes());
    head
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn with_bytes(address: IpAddr, use_them: impl FnOnce(&[u8])) {
    match address {
        IpAddr::V4(address) => use_them(&address.octets()),
        IpAddr::V6(address) => use_them(&address.octets()),
    }
}
