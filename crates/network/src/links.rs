//! Interfaces, addresses and routes: what connects a sandbox's network namespace with the gateway's.
//!
//! Networks are routed. Each membership is a veth pair; the gateway has a route to the sandbox's address through its own
//! end, the sandbox one to everything through its end. Both know the other's hardware address beforehand, so nobody asks
//! for it and nobody else can answer.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_linux::netlink::{Batch, Netlink, Protocol};
use shedbox_linux::rtnetlink::{self as rt, End, LOOPBACK, Route};
use shedbox_linux::{Result, net};
use shedbox_spec::gateway::{Endpoint, NetworkSetup};

use crate::firewall::{NOWHERE, PROXY_ADDRESS, SANDBOX_PREFIX};

/// Hardware address of every end in the gateway: each is alone on its wire.
const GATEWAY_MAC: [u8; 6] = [0x02, 0x42, 0x53, 0x00, 0x00, 0x01];
/// The link-local address that the kernel makes of it (RFC 4291, appendix A).
const GATEWAY_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0042, 0x53ff, 0xfe00, 0x0001);
/// First index of our ends here: those below are the kernel's and pasta's.
const FIRST_INDEX: u32 = 1000;

/// Interfaces of the gateway's namespace.
#[derive(Debug)]
pub(crate) struct Links {
    netlink: Netlink,
    next: u32,
    /// Gateway addresses on `lo`.
    addresses: HashSet<IpAddr>,
    pub(crate) has_v6: bool,
}

impl Links {
    /// Sets the namespace of this thread up as a router.
    pub(crate) fn new() -> Result<Self> {
        net::loopback_up()?;
        let set = |name: &str, value: &str| std::fs::write(format!("/proc/sys/net/{name}"), value);
        // Without the first nothing works, and the first attachment says so; the others are absent without IPv6.
        let _ = set("ipv4/ip_forward", "1");
        let has_v6 = Path::new("/proc/sys/net/ipv6").is_dir();
        if has_v6 {
            let _ = set("ipv6/conf/all/forwarding", "1");
            // Our addresses are nobody else's: no second of waiting until they can be used.
            let _ = set("ipv6/conf/default/accept_dad", "0");
        }
        // Every refusal is to be heard: senders are told as often as they ask.
        let _ = set("ipv4/icmp_ratelimit", "0");
        let _ = set("ipv6/icmp/ratelimit", "0");
        let netlink = Netlink::open(Protocol::Route)?;
        add_nowhere(&netlink, has_v6)?;
        Ok(Self {
            netlink,
            next: FIRST_INDEX,
            addresses: HashSet::new(),
            has_v6,
        })
    }

    /// The gateway's addresses of a network.
    pub(crate) fn add_network(&mut self, network: &NetworkSetup) -> Result<()> {
        let mut batch = Batch::new();
        for address in network.gateways() {
            if self.addresses.insert(address) {
                rt::add_address(&mut batch, LOOPBACK, address, width(address));
            }
        }
        // Addresses that nobody has are not looked for in the world.
        for subnet in network.subnets() {
            rt::add_unreachable(&mut batch, subnet.address(), subnet.prefix());
        }
        self.netlink.carry_out(&batch)
    }

    pub(crate) fn remove_network(&mut self, network: &NetworkSetup) -> Result<()> {
        let mut batch = Batch::new();
        for address in network.gateways() {
            if self.addresses.remove(&address) {
                rt::remove_address(&mut batch, LOOPBACK, address, width(address));
            }
        }
        for subnet in network.subnets() {
            rt::remove_unreachable(&mut batch, subnet.address(), subnet.prefix());
        }
        self.netlink.carry_out(&batch)
    }

    /// Connects a namespace to a network. `there` is a socket of that namespace. Gives the index of the end here.
    pub(crate) fn connect(
        &mut self,
        network: &NetworkSetup,
        endpoint: &Endpoint,
        namespace: BorrowedFd<'_>,
        there: &Netlink,
        default_route: bool,
    ) -> Result<Link> {
        let index = self.next;
        self.next = self.next.checked_add(1).unwrap_or(FIRST_INDEX);
        let name = format!("{SANDBOX_PREFIX}{index}");
        let inside = inside_index(&endpoint.interface);
        let here = End {
            name: &name,
            index,
            mac: GATEWAY_MAC,
            group: network.group,
        };
        let peer = End {
            name: &endpoint.interface,
            index: inside,
            mac: endpoint.mac,
            group: 0,
        };
        let mut batch = Batch::new();
        rt::add_veth(&mut batch, here, peer, namespace);
        for address in endpoint.addresses() {
            rt::add_neighbour(&mut batch, index, address, endpoint.mac);
            rt::add_route(
                &mut batch,
                Route {
                    to: address,
                    prefix: width(address),
                    index,
                    via: None,
                    last: false,
                },
            );
        }
        match self.netlink.carry_out(&batch) {
            // The end of an earlier pair: of a gateway that died, whose namespace the kernel still takes down, or of this
            // one, when a namespace is connected anew.
            Err(error) if error.errno == Errno::EEXIST => {
                remove_inside(there, &endpoint.interface, inside)?;
                self.netlink.carry_out(&batch)?;
            }
            other => other?,
        }
        let link = Link { index, name };
        let outcome = configure_inside(there, network, endpoint, inside, default_route);
        if outcome.is_err() {
            self.remove(&link)?;
        }
        outcome.map(|()| link)
    }

    /// Takes an interface away. One that went with its namespace is no error.
    pub(crate) fn remove(&self, link: &Link) -> Result<()> {
        let mut batch = Batch::new();
        rt::remove_link(&mut batch, link.index);
        match self.netlink.carry_out(&batch) {
            Err(error) if error.errno == Errno::ENODEV => Ok(()),
            other => other,
        }
    }

    /// Names of the interfaces that are there.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let links = rt::links(&self.netlink)?;
        Ok(links.into_iter().map(|(name, _)| name).collect())
    }
}

/// Where packets to the world go as long as there is no uplink: through the rules, which refuse what a policy refuses and
/// tell the log, and then the rest.
fn add_nowhere(netlink: &Netlink, has_v6: bool) -> Result<()> {
    let end = |name, index| End {
        name,
        index,
        mac: GATEWAY_MAC,
        group: 0,
    };
    let index = FIRST_INDEX - 2;
    let mut batch = Batch::new();
    rt::add_address(&mut batch, LOOPBACK, PROXY_ADDRESS.into(), 32);
    rt::add_loose_end(&mut batch, end(NOWHERE, index), end("end", FIRST_INDEX - 1));
    rt::set_up(&mut batch, FIRST_INDEX - 1);
    let everywhere = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    for to in everywhere.into_iter().take(1 + usize::from(has_v6)) {
        let route = Route {
            to,
            prefix: 0,
            index,
            via: None,
            last: true,
        };
        rt::add_route(&mut batch, route);
    }
    netlink.carry_out(&batch)
}

/// Our end of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
}

fn remove_inside(there: &Netlink, interface: &str, inside: u32) -> Result<()> {
    let mut batch = Batch::new();
    for (name, index) in rt::links(there)? {
        if name == interface || index == inside {
            rt::remove_link(&mut batch, index);
        }
    }
    match there.carry_out(&batch) {
        // It has gone by itself.
        Err(error) if error.errno == Errno::ENODEV => Ok(()),
        other => other,
    }
}

fn configure_inside(
    there: &Netlink,
    network: &NetworkSetup,
    endpoint: &Endpoint,
    inside: u32,
    default_route: bool,
) -> Result<()> {
    let (subnet, gateway) = network.v4;
    let mut batch = Batch::new();
    rt::set_up(&mut batch, inside);
    rt::add_address(&mut batch, inside, endpoint.v4.into(), subnet.prefix());
    rt::add_neighbour(&mut batch, inside, gateway.into(), GATEWAY_MAC);
    let via = |to, prefix, via| Route {
        to,
        prefix,
        index: inside,
        via: Some(via),
        last: false,
    };
    // The other members are reached through the gateway as well.
    rt::add_route(
        &mut batch,
        via(subnet.address(), subnet.prefix(), gateway.into()),
    );
    if let (Some((subnet, _)), Some(address)) = (network.v6, endpoint.v6) {
        let gateway = IpAddr::V6(GATEWAY_LINK_LOCAL);
        rt::add_address(&mut batch, inside, address.into(), subnet.prefix());
        rt::add_neighbour(&mut batch, inside, gateway, GATEWAY_MAC);
        rt::add_route(&mut batch, via(subnet.address(), subnet.prefix(), gateway));
    }
    if default_route {
        add_default_routes(&mut batch, network, endpoint, inside);
    }
    there.carry_out(&batch)
}

/// The way out leads over an interface that is there.
pub(crate) fn lead_out(there: &Netlink, network: &NetworkSetup, endpoint: &Endpoint) -> Result<()> {
    let mut batch = Batch::new();
    add_default_routes(
        &mut batch,
        network,
        endpoint,
        inside_index(&endpoint.interface),
    );
    there.carry_out(&batch)
}

fn add_default_routes(batch: &mut Batch, network: &NetworkSetup, endpoint: &Endpoint, inside: u32) {
    let mut add = |to, via| {
        let route = Route {
            to,
            prefix: 0,
            index: inside,
            via: Some(via),
            last: false,
        };
        rt::add_route(batch, route);
    };
    add(Ipv4Addr::UNSPECIFIED.into(), network.v4.1.into());
    if network.v6.is_some() && endpoint.v6.is_some() {
        add(Ipv6Addr::UNSPECIFIED.into(), GATEWAY_LINK_LOCAL.into());
    }
}

/// `eth<n>` has index n + 2: `lo` is 1, and nothing else makes interfaces there.
fn inside_index(interface: &str) -> u32 {
    interface
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse::<u32>()
        .map_or(2, |number| number.min(10_000) + 2)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
