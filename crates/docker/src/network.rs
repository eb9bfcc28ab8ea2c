//! Networks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shedbox_spec::api::network::{NetworkCreate, NetworkInfo};
use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::{Error, Result};

use crate::body::Endpoint;

/// `POST /networks/create`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Create {
    pub name: String,
    pub driver: String,
    pub internal: bool,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub attachable: bool,
    pub ingress: bool,
    pub config_only: bool,
    pub scope: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Ipam {
    pub driver: String,
    pub config: Vec<IpamConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct IpamConfig {
    pub subnet: String,
    #[serde(rename = "IPRange")]
    pub ip_range: String,
    pub gateway: String,
}

/// `POST /networks/{id}/connect` and `disconnect`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Connect {
    pub container: String,
    pub endpoint_config: Endpoint,
    pub force: bool,
}

impl Create {
    /// In our own words, and what is to be warned of.
    pub fn translate(self) -> Result<(NetworkCreate, String)> {
        if self.ingress || self.config_only || self.scope == "swarm" || self.driver == "overlay" {
            return Err(Error::new(
                shedbox_spec::Kind::Denied,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
                 to swarm and try again.",
            ));
        }
        if !matches!(self.driver.as_str(), "" | "bridge" | "default") {
            return Err(Error::not_found(format!(
                "plugin \"{}\" not found",
                self.driver
            )));
        }
        let mut warning = String::new();
        let mut subnets = Vec::new();
        let mut gateway = None;
        for config in self.ipam.config {
            if !config.subnet.is_empty() {
                subnets.push(Subnet::parse(&config.subnet)?);
            }
            if !config.ip_range.is_empty() {
                "IPRange is not supported and was ignored".clone_into(&mut warning);
            }
            if let Ok(address) = config.gateway.parse() {
                gateway = Some(address);
            } else if !config.gateway.is_empty() && !config.gateway.contains(':') {
                return Err(Error::invalid(format!(
                    "invalid gateway address {}",
                    config.gateway
                )));
            }
        }
        let request = NetworkCreate {
            name: self.name,
            driver: "bridge".to_owned(),
            ipv6: self.enable_ipv6,
            subnets,
            gateway,
            internal: self.internal,
            labels: self.labels,
            options: self.options,
        };
        Ok((request, warning))
    }
}

/// A network in listings and, with its containers, alone.
pub fn resource(info: &NetworkInfo, with_containers: bool) -> Value {
    let mut pools = Vec::new();
    if let Some(subnet) = &info.subnet {
        pools.push(json!({
            "Subnet": subnet.to_string(),
            "Gateway": info.gateway.map(|address| address.to_string()).unwrap_or_default(),
        }));
    }
    if let Some(subnet) = &info.subnet6 {
        pools.push(json!({
            "Subnet": subnet.to_string(),
            "Gateway": info.gateway6.map(|address| address.to_string()).unwrap_or_default(),
        }));
    }
    let driver = if info.name == "none" {
        "null"
    } else {
        info.driver.as_str()
    };
    let containers: Map<String, Value> = info
        .sandboxes
        .iter()
        .filter(|_| with_containers)
        .map(|member| {
            let endpoint = &member.endpoint;
            let entry = json!({
                "Name": member.name,
                "EndpointID": format!("{:0<64}", endpoint.mac.replace(':', "")),
                "MacAddress": endpoint.mac,
                "IPv4Address": format!("{}/{}", endpoint.ip, endpoint.prefix),
                "IPv6Address": endpoint.ip6.map_or_else(String::new, |ip| format!("{ip}/{}", endpoint.prefix6)),
            });
            (member.id.clone(), entry)
        })
        .collect();
    json!({
        "Name": info.name,
        "Id": info.id,
        "Created": info.created_at,
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": info.subnet.is_some(),
        "EnableIPv6": info.subnet6.is_some(),
        "IPAM": {"Driver": "default", "Options": null, "Config": pools},
        "Internal": info.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": containers,
        "Options": info.options,
        "Labels": info.labels,
    })
}

/// Whether a network is one of the three that are always there.
pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}
