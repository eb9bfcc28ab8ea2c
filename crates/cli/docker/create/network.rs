//! `--network`, `-p` and `--expose`.

use anyhow::Result;
use serde_json::{Map, Value, json};
use shedbox_spec::network::port::{parse as parse_port, parse_exposed};

use super::Options;

pub(super) fn exposed(options: &Options) -> Result<Map<String, Value>> {
    let mut ports = Map::new();
    for text in &options.expose {
        for (port, protocol) in parse_exposed(text)? {
            ports.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    for text in &options.publish {
        for port in parse_port(text)? {
            ports.insert(format!("{}/{}", port.container, port.protocol), json!({}));
        }
    }
    Ok(ports)
}

pub(super) fn bindings(options: &Options) -> Result<Map<String, Value>> {
    let mut bindings = Map::new();
    for text in &options.publish {
        for port in parse_port(text)? {
            let host = match port.host {
                None => String::new(),
                Some((first, last)) if first == last => first.to_string(),
                Some((first, last)) => format!("{first}-{last}"),
            };
            let binding = json!({
                "HostIp": port.host_ip.map_or_else(String::new, |ip| ip.to_string()), "HostPort": host,
            });
            let key = format!("{}/{}", port.container, port.protocol);
            if let Some(list) = bindings
                .entry(key)
                .or_insert_with(|| json!([]))
                .as_array_mut()
            {
                list.push(binding);
            }
        }
    }
    Ok(bindings)
}

/// The mode, and endpoints by network.
pub(super) fn networks(options: &Options) -> Result<(String, Map<String, Value>)> {
    let mut endpoints = Map::new();
    let mut mode = None;
    for text in &options.network {
        let (name, endpoint) = endpoint(text)?;
        mode.get_or_insert_with(|| name.clone());
        endpoints.insert(name, endpoint);
    }
    let mode = mode.unwrap_or_else(|| "default".to_owned());
    if matches!(mode.as_str(), "host" | "none") || mode.starts_with("container:") {
        return Ok((mode, Map::new()));
    }
    let first = endpoints.entry(mode.clone()).or_insert_with(|| json!({}));
    if !options.network_alias.is_empty() {
        first["Aliases"] = json!(options.network_alias);
    }
    if let Some(ip) = &options.ip {
        first["IPAMConfig"]["IPv4Address"] = json!(ip);
    }
    if let Some(ip) = &options.ip6 {
        first["IPAMConfig"]["IPv6Address"] = json!(ip);
    }
    Ok((mode, endpoints))
}

/// `NAME`, or `name=NAME,alias=…,ip=…`.
fn endpoint(text: &str) -> Result<(String, Value)> {
    if !text.contains('=') {
        return Ok((text.to_owned(), json!({})));
    }
    let attachment = shedbox_spec::network::Attachment::parse(text)?;
    let mut endpoint = json!({"Aliases": attachment.aliases});
    if let Some(ip) = attachment.ip {
        endpoint["IPAMConfig"]["IPv4Address"] = json!(ip);
    }
    if let Some(ip) = attachment.ip6 {
        endpoint["IPAMConfig"]["IPv6Address"] = json!(ip);
    }
    Ok((attachment.network, endpoint))
}
