//! The chains of one version of one sandbox's policy.
//!
//! `policy<v>` judges packets to the uplink, `pass<v>` and `deny<v>` carry the verdict out, `answer<v>` lets packets of
//! marked connections in, `names<v>` sends connections to the proxy that reads names.

use std::net::IpAddr;

use shedbox_linux::nft::{Key, KeyType, Step, Transaction, Verdict};
use shedbox_spec::gateway::HOST_ADDRESS;
use shedbox_spec::network::egress::{Egress, EgressRule, Target, Verdict as Policy};
use shedbox_spec::network::port::Protocol;

use super::{HOST_PROXY_PORT, LOG_GROUP, NAME_PROXY_PORT, PROXY_ADDRESS, TCP, UDP};
use crate::policy;

const KINDS: [(&str, bool); 6] = [
    ("any", false),
    ("any", true),
    ("protocol", false),
    ("protocol", true),
    ("port", false),
    ("port", true),
];
/// Ports at which streams say the name of whom they want: HTTP, and TLS for it.
const NAMED_PORTS: [u16; 2] = [80, 443];

/// Name of a set of addresses that names have led to.
pub(super) fn set(kind: &str, v6: bool, version: u32) -> String {
    format!("{kind}{}_{version}", if v6 { 6 } else { 4 })
}

fn goto(chain: &str, version: u32) -> Step {
    Step::Verdict(Verdict::Goto(format!("{chain}{version}")))
}

/// Interfaces lead to the chains of a version.
pub(super) fn link(change: &mut Transaction, version: u32, interfaces: &[String]) {
    for interface in interfaces {
        let key = Key::Interface(interface.clone());
        for (map, chain) in [
            ("policies", "policy"),
            ("answers", "answer"),
            ("redirects", "names"),
        ] {
            change.map(map, &key, &Verdict::Goto(format!("{chain}{version}")));
        }
    }
}

/// They no longer do.
pub(super) fn unlink(change: &mut Transaction, interfaces: &[String]) {
    for interface in interfaces {
        let key = [Key::Interface(interface.clone())];
        for map in ["policies", "answers", "redirects"] {
            change.remove_keys(map, &key);
        }
    }
}

/// Takes the chains and sets of a version away.
pub(super) fn remove(change: &mut Transaction, version: u32) {
    for chain in ["policy", "answer", "names", "pass", "deny"] {
        change.remove_chain(&format!("{chain}{version}"));
    }
    for (kind, v6) in KINDS {
        change.remove_set(&set(kind, v6, version));
    }
}

/// Makes them.
pub(super) fn make(change: &mut Transaction, version: u32, egress: &Egress) {
    for (kind, v6) in KINDS {
        let key = match kind {
            "any" => KeyType::Address { v6 },
            "protocol" => KeyType::AddressProtocol { v6 },
            _ => KeyType::AddressPort { v6 },
        };
        change.add_set(&set(kind, v6, version), key, false);
    }
    for chain in ["pass", "deny", "policy", "answer", "names"] {
        change.add_chain(&format!("{chain}{version}"));
    }
    let pass = format!("pass{version}");
    change.add_rule(
        &pass,
        &[
            Step::SetMark(version),
            Step::Log(LOG_GROUP, format!("a{version}")),
            Step::Verdict(Verdict::Accept),
        ],
    );
    refuse(change, &format!("deny{version}"), Some(version));
    let answer = format!("answer{version}");
    change
        .add_rule(
            &answer,
            &[
                Step::Mark(version),
                Step::Established,
                Step::Verdict(Verdict::Accept),
            ],
        )
        .add_rule(&answer, &[Step::Verdict(Verdict::Drop)]);
    judge(change, version, egress);
    names(change, version, egress);
}

fn judge(change: &mut Transaction, version: u32, egress: &Egress) {
    let chain = format!("policy{version}");
    change.add_rule(
        &chain,
        &[Step::Mark(version), Step::Verdict(Verdict::Accept)],
    );
    for rule in &egress.deny {
        by_address(change, &chain, rule, &goto("deny", version));
    }
    // Rules that name an address open even what is refused to everybody; `*` does not.
    for rule in egress.allow.iter().filter(|rule| names_addresses(rule)) {
        by_address(change, &chain, rule, &goto("pass", version));
    }
    for (address, prefix) in policy::never() {
        change.add_rule(
            &chain,
            &[Step::Destination(*address, *prefix), goto("deny", version)],
        );
    }
    if checks_names(egress) {
        // These go through the proxy; what comes here began before, or is QUIC, which the proxy does not read.
        for port in NAMED_PORTS {
            for protocol in [TCP, UDP] {
                if egress.default == Policy::Allow {
                    change.add_rule(
                        &chain,
                        &[
                            Step::Protocol(protocol),
                            Step::Ports(port, port),
                            goto("deny", version),
                        ],
                    );
                } else {
                    for (kind, v6) in KINDS {
                        change.add_rule(
                            &chain,
                            &[
                                Step::Protocol(protocol),
                                Step::Ports(port, port),
                                in_set(kind, v6, version),
                                goto("deny", version),
                            ],
                        );
                    }
                }
            }
        }
    }
    for rule in egress.allow.iter().filter(|rule| !names_addresses(rule)) {
        by_address(change, &chain, rule, &goto("pass", version));
    }
    for (kind, v6) in KINDS {
        change.add_rule(&chain, &[in_set(kind, v6, version), goto("pass", version)]);
    }
    let last = match egress.default {
        Policy::Allow => "pass",
        Policy::Deny => "deny",
    };
    change.add_rule(&chain, &[goto(last, version)]);
}

/// The rule means these addresses, and not just everybody: `0.0.0.0/0` is as wide as `*`.
fn names_addresses(rule: &EgressRule) -> bool {
    const WIDE: u8 = 8;
    matches!(&rule.target, Target::Net(subnet) if subnet.prefix() >= WIDE)
}

/// Names can only be held to where streams say them.
fn checks_names(egress: &Egress) -> bool {
    match egress.default {
        Policy::Deny => egress
            .allow
            .iter()
            .any(|rule| matches!(rule.target, Target::Name(_))),
        Policy::Allow => egress
            .deny
            .iter()
            .any(|rule| matches!(rule.target, Target::Name(_))),
    }
}

fn names(change: &mut Transaction, version: u32, egress: &Egress) {
    let chain = format!("names{version}");
    let back = Step::Verdict(Verdict::Return);
    for rule in &egress.deny {
        by_address(change, &chain, rule, &back);
    }
    to_host(change, &chain, version, egress);
    if !checks_names(egress) {
        return;
    }
    for rule in &egress.allow {
        by_address(change, &chain, rule, &back);
    }
    for (address, prefix) in policy::never() {
        change.add_rule(
            &chain,
            &[Step::Destination(*address, *prefix), back.clone()],
        );
    }
    for port in NAMED_PORTS {
        let stream = [Step::Protocol(TCP), Step::Ports(port, port)];
        let redirect = |v6| {
            if v6 {
                // The interface has a link-local address, as all have.
                vec![Step::Family { v6 }, Step::Redirect(NAME_PROXY_PORT)]
            } else {
                vec![Step::To(PROXY_ADDRESS, NAME_PROXY_PORT)]
            }
        };
        if egress.default == Policy::Allow {
            for v6 in [false, true] {
                change.add_rule(&chain, &[&stream[..], &redirect(v6)].concat());
            }
        } else {
            for (kind, v6) in KINDS {
                let steps = [&stream[..], &[in_set(kind, v6, version)], &redirect(v6)].concat();
                change.add_rule(&chain, &steps);
            }
        }
    }
}

/// The host itself, for those that may reach it, as far as the policy lets them.
fn to_host(change: &mut Transaction, chain: &str, version: u32, egress: &Egress) {
    let host = IpAddr::V4(HOST_ADDRESS);
    let begin = [
        Step::InputInterfaceIn("host_access".to_owned()),
        Step::Destination(host, 32),
        Step::Protocol(TCP),
    ];
    let redirect = Step::To(PROXY_ADDRESS, HOST_PROXY_PORT);
    let log = Step::Log(LOG_GROUP, format!("a{version}"));
    if egress.default == Policy::Allow {
        change.add_rule(chain, &[&begin[..], &[log, redirect]].concat());
        return;
    }
    for rule in &egress.allow {
        let about_host = match &rule.target {
            Target::Any => true,
            Target::Net(subnet) => subnet.contains(host),
            Target::Name(_) => false,
        };
        if !about_host || !rule.matches_protocol(Protocol::Tcp) {
            continue;
        }
        let ports = rule.ports.map(|(first, last)| Step::Ports(first, last));
        let steps: Vec<Step> = begin
            .iter()
            .cloned()
            .chain(ports)
            .chain([log.clone(), redirect.clone()])
            .collect();
        change.add_rule(chain, &steps);
    }
}

fn in_set(kind: &str, v6: bool, version: u32) -> Step {
    let set = set(kind, v6, version);
    match kind {
        "any" => Step::DestinationIn { set, v6 },
        "protocol" => Step::DestinationProtocolIn { set, v6 },
        _ => Step::DestinationPortIn { set, v6 },
    }
}

/// Adds what a rule says of addresses; nothing for names.
fn by_address(change: &mut Transaction, chain: &str, rule: &EgressRule, verdict: &Step) {
    let mut steps = match &rule.target {
        Target::Any => Vec::new(),
        Target::Net(subnet) => vec![Step::Destination(subnet.address(), subnet.prefix())],
        Target::Name(_) => return,
    };
    let protocols = match (rule.protocol, rule.ports) {
        (Some(Protocol::Tcp), _) => vec![TCP],
        (Some(Protocol::Udp), _) => vec![UDP],
        // Ports are the matter of these two.
        (None, Some(_)) => vec![TCP, UDP],
        (None, None) => {
            steps.push(verdict.clone());
            change.add_rule(chain, &steps);
            return;
        }
    };
    for protocol in protocols {
        let mut steps = steps.clone();
        steps.push(Step::Protocol(protocol));
        if let Some((first, last)) = rule.ports {
            steps.push(Step::Ports(first, last));
        }
        steps.push(verdict.clone());
        change.add_rule(chain, &steps);
    }
}

/// A chain that refuses everything, so that the sender knows at once; with a version it tells the log as well.
pub(super) fn refuse(change: &mut Transaction, chain: &str, version: Option<u32>) {
    if let Some(version) = version {
        change.add_rule(chain, &[Step::Log(LOG_GROUP, format!("d{version}"))]);
    }
    change
        .add_rule(
            chain,
            &[Step::Protocol(TCP), Step::NotSyn, Step::RejectReset],
        )
        .add_rule(chain, &[Step::RejectProhibited]);
}
