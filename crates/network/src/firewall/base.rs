//! The table as it is without any sandbox.

use std::net::IpAddr;

use shedbox_linux::nft::{ChainType, Hook, KeyType, Step, Transaction, Verdict};
use shedbox_spec::gateway::HOST_ADDRESS;

use super::{
    HOST_PROXY_PORT, NOWHERE, PROXY_ADDRESS, SANDBOX_PREFIX, TABLE, TCP, UDP, UPLINK, chains,
};
use crate::policy;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What makes it.
pub(super) fn table() -> Transaction {
    use Step::{
        DestinationChanged, Established, InputInterface, Masquerade, OutputInterface, Ports,
        Protocol, SourceFalse,
    };
    let accept = || Step::Verdict(Verdict::Accept);
    let drop = || Step::Verdict(Verdict::Drop);
    let uplink_in = || InputInterface(UPLINK.to_owned());
    let uplink_out = || OutputInterface(UPLINK.to_owned());
    let mut table = Transaction::on(TABLE);
    table
        .add_table()
        .add_set("peers", KeyType::Groups, false)
        .add_set("outward", KeyType::Group, false)
        .add_set("host_access", KeyType::Interface, false)
        .add_set("policies", KeyType::Interface, true)
        .add_set("answers", KeyType::Interface, true)
        .add_set("redirects", KeyType::Interface, true)
        .add_chain("refuse")
        .add_chain("open")
        .add_base_chain(
            "source",
            ChainType::Filter,
            Hook::Prerouting,
            -300,
            &Verdict::Accept,
        )
        .add_base_chain(
            "redirect",
            ChainType::Nat,
            Hook::Prerouting,
            -100,
            &Verdict::Accept,
        )
        .add_base_chain("input", ChainType::Filter, Hook::Input, 0, &Verdict::Drop)
        .add_base_chain(
            "forward",
            ChainType::Filter,
            Hook::Forward,
            0,
            &Verdict::Drop,
        )
        .add_base_chain(
            "nowhere",
            ChainType::Filter,
            Hook::Forward,
            10,
            &Verdict::Accept,
        )
        .add_base_chain(
            "leave",
            ChainType::Nat,
            Hook::Postrouting,
            100,
            &Verdict::Accept,
        );

    table
        .add_rule("source", &[InputInterface("lo".to_owned()), accept()])
        .add_rule("source", &[uplink_in(), accept()])
        // Neighbour discovery of IPv6 comes from link-local addresses, which every interface has.
        .add_rule("source", &[Protocol(ICMPV6), accept()])
        .add_rule("source", &[SourceFalse, drop()]);

    let host = [
        Step::Destination(IpAddr::V4(HOST_ADDRESS), 32),
        Protocol(TCP),
    ];
    let mut to_host = vec![Step::InputInterfaceIn("host_access".to_owned())];
    to_host.extend(host);
    to_host.push(Step::To(PROXY_ADDRESS, HOST_PROXY_PORT));
    table
        .add_rule(
            "redirect",
            &[Step::InputInterfaceDecides("redirects".to_owned())],
        )
        .add_rule("redirect", &to_host);

    table
        .add_rule("input", &[InputInterface("lo".to_owned()), accept()])
        .add_rule("input", &[Established, accept()])
        .add_rule("input", &[uplink_in(), Protocol(ICMPV6), accept()])
        .add_rule("input", &[uplink_in(), drop()])
        .add_rule("input", &[DestinationChanged, accept()])
        .add_rule("input", &[Protocol(UDP), Ports(53, 53), accept()])
        .add_rule("input", &[Protocol(TCP), Ports(53, 53), accept()])
        .add_rule("input", &[Protocol(ICMP), accept()])
        .add_rule("input", &[Protocol(ICMPV6), accept()])
        .add_rule(
            "input",
            &[Step::Verdict(Verdict::Jump("refuse".to_owned()))],
        );

    table
        .add_rule("forward", &[Step::GroupsIn("peers".to_owned()), accept()])
        .add_rule(
            "forward",
            &[
                uplink_in(),
                Step::OutputInterfaceDecides("answers".to_owned()),
            ],
        )
        .add_rule("forward", &[uplink_in(), Established, accept()])
        .add_rule("forward", &[uplink_in(), drop()])
        // To another sandbox that is no neighbour.
        .add_rule(
            "forward",
            &[
                Step::OutputInterfacePrefix(SANDBOX_PREFIX.to_owned()),
                Step::Verdict(Verdict::Goto("refuse".to_owned())),
            ],
        )
        .add_rule(
            "forward",
            &[
                Step::InputGroupIn("outward".to_owned()),
                Step::InputInterfaceDecides("policies".to_owned()),
            ],
        )
        .add_rule(
            "forward",
            &[
                Step::InputGroupIn("outward".to_owned()),
                Step::Verdict(Verdict::Goto("open".to_owned())),
            ],
        )
        .add_rule(
            "forward",
            &[Step::Verdict(Verdict::Jump("refuse".to_owned()))],
        );

    for (address, prefix) in policy::never() {
        table.add_rule(
            "open",
            &[
                Step::Destination(*address, *prefix),
                Step::Verdict(Verdict::Goto("refuse".to_owned())),
            ],
        );
    }
    table.add_rule("open", &[accept()]);

    chains::refuse(&mut table, "refuse", None);
    // What was let pass above has nowhere to go without an uplink.
    for v6 in [false, true] {
        table.add_rule(
            "nowhere",
            &[
                OutputInterface(NOWHERE.to_owned()),
                Step::RejectNoRoute { v6 },
            ],
        );
    }
    table.add_rule("leave", &[uplink_out(), Masquerade]);
    table
}
