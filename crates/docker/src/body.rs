//! Bodies of requests. Clients leave out, send null, or send the zero value for what they do not mean: [`read`] makes no
//! difference between the first two.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shedbox_spec::{Error, Result};

/// Reads a body. An empty one is `{}`.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let value = if bytes.iter().all(u8::is_ascii_whitespace) {
        Value::Object(Map::new())
    } else {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid(format!("invalid JSON: {error}")))?
    };
    from_value(value)
}

/// The same for a value that was read already.
pub fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T> {
    drop_nulls(&mut value);
    serde_json::from_value(value)
        .map_err(|error| Error::invalid(format!("invalid request body: {error}")))
}

/// The parser has bounded the depth.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Whether a value says anything: the zero values of Go do not.
pub fn means_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(means_something),
        Value::Object(fields) => fields.values().any(means_something),
    }
}

/// A command: a list of words, or one word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// `["a", "b"]`.
    List(Vec<String>),
    /// `"a"`.
    One(String),
}

impl Words {
    /// As a list.
    pub fn into_list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::One(word) => vec![word],
        }
    }
}

/// `POST /containers/create`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct ContainerCreate {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub exposed_ports: BTreeMap<String, Value>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: Vec<String>,
    pub cmd: Option<Words>,
    pub healthcheck: Option<Healthcheck>,
    pub image: String,
    pub volumes: BTreeMap<String, Value>,
    pub working_dir: String,
    pub entrypoint: Option<Words>,
    pub network_disabled: bool,
    pub labels: BTreeMap<String, String>,
    pub stop_signal: String,
    pub stop_timeout: Option<i64>,
    pub shell: Vec<String>,
    pub on_build: Vec<String>,
    pub args_escaped: bool,
    /// Per container before API 1.44.
    pub mac_address: String,
    pub host_config: HostConfig,
    pub networking_config: NetworkingConfig,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// A health check; times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Healthcheck {
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// `HostConfig`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct HostConfig {
    pub binds: Vec<String>,
    pub mounts: Vec<Mount>,
    pub tmpfs: BTreeMap<String, String>,
    pub network_mode: String,
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    pub publish_all_ports: bool,
    pub auto_remove: bool,
    pub init: Option<bool>,
    pub memory: i64,
    pub memory_swap: i64,
    pub memory_reservation: i64,
    pub memory_swappiness: Option<i64>,
    pub nano_cpus: i64,
    pub cpu_quota: i64,
    pub cpu_period: i64,
    pub cpu_shares: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub pids_limit: Option<i64>,
    pub blkio_device_read_bps: Vec<DeviceRate>,
    pub blkio_device_write_bps: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Vec<DeviceRate>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Vec<DeviceRate>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: i32,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    pub privileged: bool,
    pub readonly_rootfs: bool,
    pub shm_size: i64,
    pub ulimits: Vec<Ulimit>,
    pub extra_hosts: Vec<String>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    pub restart_policy: RestartPolicy,
    pub log_config: LogConfig,
    pub group_add: Vec<String>,
    pub pid_mode: String,
    pub ipc_mode: String,
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    pub userns_mode: String,
    pub cgroupns_mode: String,
    pub sysctls: BTreeMap<String, String>,
    pub devices: Vec<Value>,
    pub device_requests: Vec<Value>,
    pub device_cgroup_rules: Vec<String>,
    pub runtime: String,
    pub storage_opt: BTreeMap<String, String>,
    pub volumes_from: Vec<String>,
    pub volume_driver: String,
    pub links: Vec<String>,
    pub console_size: Vec<u32>,
    pub isolation: String,
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    pub annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// An entry of `Mounts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Mount {
    pub target: String,
    pub source: String,
    #[serde(rename = "Type")]
    pub kind: String,
    pub read_only: bool,
    pub bind_options: BindOptions,
    pub volume_options: VolumeOptions,
    pub tmpfs_options: TmpfsOptions,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct BindOptions {
    pub create_mountpoint: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct VolumeOptions {
    pub no_copy: bool,
    pub labels: BTreeMap<String, String>,
    pub subpath: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct TmpfsOptions {
    pub size_bytes: i64,
    pub mode: u32,
}

/// A port of the host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: PortText,
}

/// A port as text; some clients send a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "what was sent")]
pub enum PortText {
    Text(String),
    Number(u16),
}

impl Default for PortText {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl std::fmt::Display for PortText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct DeviceRate {
    pub path: String,
    pub rate: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// When a container is started again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct RestartPolicy {
    pub name: String,
    pub maximum_retry_count: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub kind: String,
    pub config: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct NetworkingConfig {
    pub endpoints_config: BTreeMap<String, Endpoint>,
}

/// Membership in a network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct Endpoint {
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: EndpointIpam,
    pub aliases: Vec<String>,
    pub links: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are Docker's")]
pub struct EndpointIpam {
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_absent_and_zero_values_mean_nothing() {
        let body: ContainerCreate =
            read(br#"{"Image":"x","Env":null,"Cmd":null,"HostConfig":{"PortBindings":{"80/tcp":null},"Binds":null}}"#)
                .unwrap();
        assert!(body.env.is_empty() && body.cmd.is_none());
        assert!(read::<ContainerCreate>(b"").unwrap().image.is_empty());
        assert!(read::<ContainerCreate>(b"[").is_err());
        for nothing in ["null", "0", "\"\"", "[]", "{}", "[0,0]", "{\"a\":false}"] {
            assert!(
                !means_something(&serde_json::from_str(nothing).unwrap()),
                "{nothing}"
            );
        }
        assert!(means_something(&serde_json::json!({"a": [1]})));
    }
}
