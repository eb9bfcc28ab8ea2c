//! Networks and ports of a container.

use serde_json::{Map, Value, json};
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::network::port::parse_exposed;
use shedbox_spec::network::{Network, mode_id};

use crate::stored::Stored;

/// `HostConfig.NetworkMode`.
pub(super) fn network_mode(info: &SandboxInfo) -> String {
    info.spec.network.to_string()
}

/// `.NetworkSettings.Ports`: `null` for what is exposed and not published.
pub(super) fn ports(info: &SandboxInfo, image: &Value, stored: &Stored) -> Map<String, Value> {
    let mut ports = Map::new();
    let images = image
        .get("ExposedPorts")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for key in images.keys().chain(stored.object("/ExposedPorts").keys()) {
        for (port, protocol) in parse_exposed(key).unwrap_or_default() {
            ports.insert(format!("{port}/{protocol}"), Value::Null);
        }
    }
    for port in &info.ports {
        let key = format!("{}/{}", port.container, port.protocol);
        let binding = json!({"HostIp": port.host_ip, "HostPort": port.host_port.to_string()});
        match ports.entry(key).or_insert(Value::Null) {
            Value::Array(bindings) => bindings.push(binding),
            none => *none = json!([binding]),
        }
    }
    ports
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// `.NetworkSettings.Networks`.
pub fn networks(info: &SandboxInfo) -> Map<String, Value> {
    let connected = matches!(info.status, Status::Running | Status::Paused);
    let mut networks: Map<String, Value> = info
        .networks
        .iter()
        .map(|endpoint| {
            let on = |value: Value| if connected { value } else { json!("") };
            let entry = json!({
                "IPAMConfig": null,
                "Links": null,
                "Aliases": endpoint.aliases,
                "DriverOpts": null,
                "NetworkID": endpoint.network_id,
                "EndpointID": if connected { format!("{:0<64}", endpoint.mac.replace(':', "")) } else { String::new() },
                "Gateway": on(json!(endpoint.gateway)),
                "IPAddress": on(json!(endpoint.ip)),
                "IPPrefixLen": if connected { endpoint.prefix } else { 0 },
                "IPv6Gateway": on(json!(text(endpoint.gateway6))),
                "GlobalIPv6Address": on(json!(text(endpoint.ip6))),
                "GlobalIPv6PrefixLen": if connected { endpoint.prefix6 } else { 0 },
                "MacAddress": on(json!(endpoint.mac)),
                "DNSNames": endpoint.aliases,
            });
            (endpoint.network.clone(), entry)
        })
        .collect();
    let mode = match info.spec.network {
        Network::None => Some("none"),
        Network::Host => Some("host"),
        _ => None,
    };
    if let Some(mode) = mode {
        networks.insert(mode.to_owned(), json!({
            "IPAMConfig": null, "Links": null, "Aliases": null, "NetworkID": mode_id(mode), "EndpointID": "", "Gateway": "",
            "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            "MacAddress": "", "DriverOpts": null,
        }));
    }
    networks
}

pub(super) fn network_settings(info: &SandboxInfo, image: &Value, stored: &Stored) -> Value {
    let connected = matches!(info.status, Status::Running | Status::Paused);
    let first = info
        .networks
        .iter()
        .find(|endpoint| endpoint.network == "bridge" && connected);
    json!({
        "Bridge": "",
        "SandboxID": if connected { info.id.as_str() } else { "" },
        "SandboxKey": "",
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": "",
        "IPAddress": text(first.map(|endpoint| endpoint.ip)),
        "IPPrefixLen": first.map_or(0, |endpoint| endpoint.prefix),
        "Gateway": text(first.map(|endpoint| endpoint.gateway)),
        "GlobalIPv6Address": text(first.and_then(|endpoint| endpoint.ip6)),
        "GlobalIPv6PrefixLen": first.map_or(0, |endpoint| endpoint.prefix6),
        "IPv6Gateway": text(first.and_then(|endpoint| endpoint.gateway6)),
        "MacAddress": text(first.map(|endpoint| &endpoint.mac)),
        "Ports": if connected { ports(info, image, stored) } else { Map::new() },
        "Networks": networks(info),
    })
}
