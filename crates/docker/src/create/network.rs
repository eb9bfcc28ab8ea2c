//! Networks, ports and names.

use std::net::IpAddr;

use shedbox_spec::hosts;
use shedbox_spec::network::default::DefaultNetwork;
use shedbox_spec::network::port::{PortSpec, parse_exposed};
use shedbox_spec::network::{Attachment, BRIDGE, Network, name, parse_ip, parse_ip6};
use shedbox_spec::{Error, Result, SandboxSpec};

use crate::body::{ContainerCreate, Endpoint};

pub(super) fn apply(
    body: &ContainerCreate,
    spec: &mut SandboxSpec,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let host = &body.host_config;
    let mode = match host.network_mode.as_str() {
        _ if body.network_disabled => "none",
        "" | "default" => BRIDGE,
        other => other,
    };
    spec.network = match Network::parse(mode)? {
        Network::Bridge(first) => Network::Bridge(attachments(body, first)?),
        other => other,
    };
    let bridged = matches!(spec.network, Network::Bridge(_));
    let wants_ports = !host.port_bindings.is_empty() || host.publish_all_ports;
    if bridged {
        spec.ports = ports(body)?;
        spec.publish_all = host.publish_all_ports;
    } else if wants_ports {
        if matches!(spec.network, Network::Container(_)) {
            return Err(Error::invalid(
                "conflicting options: port publishing and the container type network mode",
            ));
        }
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    if bridged {
        spec.dns.servers = host
            .dns
            .iter()
            .map(|text| text.parse::<IpAddr>())
            .collect::<Result<_, _>>()
            .map_err(|_| Error::invalid(format!("invalid DNS server in {:?}", host.dns)))?;
        spec.dns.search.clone_from(&host.dns_search);
        spec.dns.options.clone_from(&host.dns_options);
    }
    if !host.links.is_empty() {
        warnings.push(
            "Links are not supported and were ignored: on a network of the user's, containers find each other by name"
                .to_owned(),
        );
    }
    if !body.mac_address.is_empty() {
        warnings.push("MacAddress is not supported and was ignored".to_owned());
    }
    Ok(())
}

/// Names the network of a body that names none, when the configuration says which; Docker's own default is `bridge`. A
/// body that asks for what only a network can give gets one.
pub fn apply_default_network(body: &mut ContainerCreate, setting: &DefaultNetwork) {
    let others = &body.networking_config.endpoints_config;
    let host = &mut body.host_config;
    if body.network_disabled || !matches!(host.network_mode.as_str(), "" | "default") {
        return;
    }
    let needs_network = !host.port_bindings.is_empty()
        || host.publish_all_ports
        || hosts::name_gateway(&host.extra_hosts)
        || others.keys().any(|name| name != "default");
    host.network_mode = setting.mode(needs_network);
}

/// The network of the mode, then the others of the request. The key `default` stands for the first.
fn attachments(body: &ContainerCreate, first: Vec<Attachment>) -> Result<Vec<Attachment>> {
    let endpoints = &body.networking_config.endpoints_config;
    let mut all = Vec::new();
    let of_mode = first
        .into_iter()
        .next()
        .unwrap_or_else(|| Attachment::to(BRIDGE));
    let own = endpoints
        .iter()
        .find(|(name, _)| **name == of_mode.network || *name == "default");
    all.push(match own {
        Some((_, endpoint)) => attachment(&of_mode.network, endpoint)?,
        None => of_mode,
    });
    for (network, endpoint) in endpoints {
        if network != "default" && *network != all[0].network {
            all.push(attachment(network, endpoint)?);
        }
    }
    Ok(all)
}

/// Membership as an endpoint says it.
pub fn attachment(network: &str, endpoint: &Endpoint) -> Result<Attachment> {
    let ipam = &endpoint.ipam_config;
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    if network == BRIDGE && !(ipam.ipv4_address.is_empty() && ipam.ipv6_address.is_empty()) {
        return Err(Error::invalid(
            "user specified IP address is supported on user defined networks only",
        ));
    }
    Ok(Attachment {
        network: network.to_owned(),
        ip: some(&ipam.ipv4_address)
            .map(|text| parse_ip(&text))
            .transpose()?,
        ip6: some(&ipam.ipv6_address)
            .map(|text| parse_ip6(&text))
            .transpose()?,
        aliases: endpoint
            .aliases
            .iter()
            .map(|alias| name::alias(alias))
            .collect::<Result<_>>()?,
    })
}

fn ports(body: &ContainerCreate) -> Result<Vec<PortSpec>> {
    let mut ports = Vec::new();
    for (container, bindings) in &body.host_config.port_bindings {
        for (port, protocol) in parse_exposed(container)? {
            for binding in bindings {
                let host_ip = match binding.host_ip.as_str() {
                    "" | "0.0.0.0" if binding.host_ip.is_empty() => None,
                    text => Some(
                        text.parse()
                            .map_err(|_| Error::invalid(format!("invalid IP address: {text}")))?,
                    ),
                };
                let host = binding.host_port.to_string();
                let host = match host.as_str() {
                    "" | "0" => None,
                    text => Some(range(text)?),
                };
                ports.push(PortSpec {
                    host_ip,
                    host,
                    container: port,
                    protocol,
                });
            }
        }
    }
    Ok(ports)
}

fn range(text: &str) -> Result<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last && first > 0 => Ok((first, last)),
        _ => Err(Error::invalid(format!(
            "invalid port specification: \"{text}\""
        ))),
    }
}
