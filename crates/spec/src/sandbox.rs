//! The spec of a sandbox: what was asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::exec::StdinMode;
use crate::limits::Limits;
use crate::mount::Mount;
use crate::network::egress::Egress;
use crate::network::port::PortSpec;
use crate::network::{DnsOptions, Network};
use crate::security::Security;
use crate::ulimit::Ulimit;

/// Default size of `/dev/shm`, in bytes: Docker's 64 MiB.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;
/// Default grace between the stop signal and SIGKILL, in milliseconds: Docker's 10 s.
pub const DEFAULT_STOP_TIMEOUT_MS: u64 = 10_000;

/// What a sandbox is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An OCI image by reference, image id or digest.
    Image(String),
    /// A host directory as the lower layer, by absolute path.
    Rootfs(String),
    /// The host's own programs: the container-free mode.
    Host,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Image(reference) => reference,
            Source::Rootfs(path) => path,
            Source::Host => "host",
        })
    }
}

/// What was asked for. Fields left out take the image's values, then Docker's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxSpec {
    /// Image, directory or host.
    pub source: Source,
    /// Name; generated when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Replaces the image's Cmd when not empty.
    pub command: Vec<String>,
    /// Replaces the image's Entrypoint; an empty list removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// No main process at all: the sandbox stays up until it is stopped, and only execs run in it.
    pub idle: bool,
    /// Environment, `NAME=VALUE`, on top of the image's; `NAME` alone takes a variable away.
    pub env: Vec<String>,
    /// Working directory; created when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// `name|uid[:group|gid]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Groups of every command besides its user's own: `group|gid`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Host name; the first 12 digits of the id when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Volumes and tmpfs, in mount order.
    pub mounts: Vec<Mount>,
    /// The rootfs is read-only (volumes and tmpfs are not).
    pub read_only: bool,
    /// Texts of clients that are kept with it and mean nothing to us; the Docker API keeps there what it was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels, on top of the image's.
    pub labels: BTreeMap<String, String>,
    /// Size of `/dev/shm` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// Resource limits of every process inside.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of its own namespaces, `net.core.somaxconn` and the like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Signal that asks the main process to end; name or number. The image's StopSignal, else SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Milliseconds between that signal and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout_ms: Option<u64>,
    /// Network mode; what the configuration says when none is named.
    pub network: Network,
    /// Ports that are reached through the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortSpec>,
    /// Every port that the image exposes is published at a random port of the host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub publish_all: bool,
    /// How names are looked up.
    #[serde(skip_serializing_if = "DnsOptions::is_empty")]
    pub dns: DnsOptions,
    /// What it may reach outside of its networks; everything that its networks can when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// The main process gets a pseudo terminal.
    pub tty: bool,
    /// Standard input of the main process is kept open for an attached client.
    pub stdin: StdinMode,
    /// Removed as soon as the main process has ended, or its owner has died.
    pub auto_remove: bool,
    /// Milliseconds after which the sandbox is removed, whoever has forgotten it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// While it runs, the next one with an equal spec is prepared.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recycle: bool,
    /// Accepted for Docker's sake: there always is an init that reaps.
    pub init: bool,
    /// Platform to choose from an index, `os/arch[/variant]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Cap on the log of the main process in bytes, all rotated files together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_max_bytes: Option<u64>,
    /// Added to /etc/hosts, `name:address`.
    pub extra_hosts: Vec<String>,
    /// Its walls.
    pub security: Security,
    /// Its share of the host.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

impl Default for SandboxSpec {
    fn default() -> Self {
        Self {
            source: Source::Host,
            name: None,
            command: Vec::new(),
            entrypoint: None,
            idle: false,
            env: Vec::new(),
            workdir: None,
            user: None,
            groups: Vec::new(),
            hostname: None,
            mounts: Vec::new(),
            read_only: false,
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            shm_size: None,
            ulimits: Vec::new(),
            sysctls: BTreeMap::new(),
            stop_signal: None,
            stop_timeout_ms: None,
            network: Network::Default,
            ports: Vec::new(),
            publish_all: false,
            dns: DnsOptions::default(),
            egress: None,
            tty: false,
            stdin: StdinMode::Null,
            auto_remove: false,
            ttl_ms: None,
            recycle: false,
            init: false,
            platform: None,
            log_max_bytes: None,
            extra_hosts: Vec::new(),
            security: Security::default(),
            limits: Limits::default(),
        }
    }
}
