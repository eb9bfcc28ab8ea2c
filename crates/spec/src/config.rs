//! The configuration file: what it may say. Reading it is the daemon's business.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::network::default::DefaultNetwork;

/// `config.toml`. Every field may be left out; unknown fields are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Registry that short names belong to. Docker's own by default (see [`crate::reference`]).
    pub default_registry: Option<String>,
    /// By registry host (with port): how to reach it.
    pub registries: BTreeMap<String, Registry>,
    /// Layers fetched and extracted at once, over all pulls.
    pub pull_jobs: usize,
    /// Largest extracted size of one layer in bytes: the guard against compression bombs.
    pub max_layer_bytes: u64,
    /// Most entries of one layer.
    pub max_layer_entries: u64,
    /// Cap on the log of a main process in bytes.
    pub log_max_bytes: u64,
    /// Seconds without a sandbox and without a request after which the daemon leaves.
    pub idle_exit_s: u64,
    /// Build a spare generation for sandboxes that are idle.
    pub spares: bool,
    /// Seconds after which a registry that does not answer counts as failed.
    pub registry_timeout_s: u64,
    /// Attempts per request to a registry.
    pub registry_attempts: u32,
    /// Processes and threads of a sandbox that asked for no number; 0 or -1 for no limit.
    pub pids_limit: i64,
    /// Free bytes below which pulls and creates are refused.
    pub min_free_bytes: u64,
    /// Networks.
    pub network: NetworkConfig,
    /// The Docker API.
    pub docker: DockerConfig,
}

/// `[docker]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerConfig {
    /// Address of this host, loopback alone, at which the Docker API is served by TCP as well: `127.0.0.1:2375`. Whoever
    /// can connect to it has all sandboxes; the socket is for the user alone.
    pub tcp: Option<std::net::SocketAddr>,
    /// Prepare the successor of every container, not only of those with the label `shedbox.recycle=true`.
    pub recycle: bool,
}

/// `[network]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// IPv4 ranges that subnets are taken from.
    pub pools: Vec<String>,
    /// Network of sandboxes for which none is named: `none`, `host`, `bridge` or a name. `none` when it is left out, and
    /// `bridge` for the Docker API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultNetwork>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_registry: None,
            registries: BTreeMap::new(),
            pull_jobs: 4,
            max_layer_bytes: 64 << 30,
            max_layer_entries: 10_000_000,
            log_max_bytes: 64 << 20,
            idle_exit_s: 60,
            spares: true,
            registry_timeout_s: 30,
            registry_attempts: 5,
            pids_limit: 2048,
            min_free_bytes: 16 << 20,
            network: NetworkConfig::default(),
            docker: DockerConfig::default(),
        }
    }
}

/// One registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Plain HTTP instead of HTTPS. On by default for loopback addresses only, as Docker does.
    pub plain_http: Option<bool>,
    /// HTTPS without checking the certificate.
    pub insecure: bool,
    /// Hosts tried before the registry itself, in order.
    pub mirrors: Vec<String>,
    /// PEM file with an additional root certificate.
    pub ca_file: Option<String>,
}
