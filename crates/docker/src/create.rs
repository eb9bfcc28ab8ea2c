//! What a container is to be, in our own words.
//!
//! Nothing that means something is left out in silence: it is honoured, a warning, or an error where a program would go
//! wrong without it.

mod limits;
mod mounts;
mod network;
mod security;

use std::collections::BTreeMap;

use serde_json::Value;
use shedbox_spec::exec::StdinMode;
use shedbox_spec::sandbox::Source;
use shedbox_spec::{Error, Kind, Result, SandboxSpec};

use crate::body::{self, ContainerCreate, RestartPolicy, Words, means_something};

pub use limits::limits;
pub use mounts::VolumeWanted;
pub use network::{apply_default_network, attachment};

/// A container with this label has its successor prepared, or, with `false`, has not.
pub const RECYCLE_LABEL: &str = "shedbox.recycle";

/// What the daemon makes of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Translated {
    /// The spec; its name is the one that was asked for.
    pub spec: SandboxSpec,
    /// For the answer.
    pub warnings: Vec<String>,
}

/// Reads the body of a create.
pub fn read(bytes: &[u8]) -> Result<(ContainerCreate, Value)> {
    let mut value: Value = body::read(bytes)?;
    if !value.is_object() {
        return Err(Error::invalid("invalid request body: not an object"));
    }
    // `null` for the list of a port is one port that the host chooses; elsewhere null says nothing.
    let mut raw: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if let Some(bindings) = raw
        .pointer_mut("/HostConfig/PortBindings")
        .and_then(Value::as_object_mut)
    {
        for binding in bindings.values_mut().filter(|binding| binding.is_null()) {
            *binding = serde_json::json!([{}]);
        }
        value["HostConfig"]["PortBindings"] = Value::Object(std::mem::take(bindings));
    }
    Ok((body::from_value(value.clone())?, value))
}

/// Whether the successor of a container is to be prepared.
fn recycle(labels: &BTreeMap<String, String>) -> Result<bool> {
    match labels.get(RECYCLE_LABEL).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Error::invalid(format!(
            "invalid value '{}' of label {RECYCLE_LABEL}: use 'true' or 'false'",
            other.escape_debug()
        ))),
    }
}

/// Translates. `volume` finds or makes a volume and gives its directory on the host.
pub fn translate(
    body: &ContainerCreate,
    name: Option<&str>,
    platform: Option<&str>,
    volume: &mut dyn FnMut(&VolumeWanted) -> Result<String>,
) -> Result<Translated> {
    let host = &body.host_config;
    let mut warnings = Vec::new();
    if body.image.is_empty() {
        return Err(Error::invalid("no image was specified"));
    }
    if !body.working_dir.is_empty() && !body.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            body.working_dir
        )));
    }
    let mut spec = SandboxSpec {
        source: Source::Image(body.image.clone()),
        name: name.map(|name| name.trim_start_matches('/').to_owned()),
        command: body.cmd.clone().map(Words::into_list).unwrap_or_default(),
        entrypoint: entrypoint(body),
        env: env(&body.env)?,
        workdir: some(&body.working_dir),
        user: some(&body.user),
        groups: host.group_add.clone(),
        hostname: some(&body.hostname),
        read_only: host.readonly_rootfs,
        labels: body.labels.clone(),
        tty: body.tty,
        stdin: if body.open_stdin {
            StdinMode::Pipe
        } else {
            StdinMode::Null
        },
        auto_remove: host.auto_remove,
        recycle: recycle(&body.labels)?,
        init: host.init.unwrap_or(false),
        platform: platform.filter(|text| !text.is_empty()).map(platform_of),
        stop_signal: some(&body.stop_signal),
        stop_timeout_ms: body.stop_timeout.map(grace),
        extra_hosts: host.extra_hosts.clone(),
        shm_size: positive(host.shm_size),
        limits: limits(host)?,
        sysctls: host.sysctls.clone(),
        ..SandboxSpec::default()
    };
    spec.ulimits = limits::ulimits(&host.ulimits)?;
    spec.security = security::security(host, &mut warnings)?;
    spec.mounts = mounts::mounts(body, volume)?;
    network::apply(body, &mut spec, &mut warnings)?;
    if !body.domainname.is_empty() {
        warnings.push("Domainname is not supported and was ignored".to_owned());
    }
    refuse(body)?;
    log(body, &mut spec, &mut warnings)?;
    restart_policy(&host.restart_policy, host.auto_remove)?;
    for (field, is_there) in [
        ("DeviceCgroupRules", !host.device_cgroup_rules.is_empty()),
        (
            "VolumeDriver",
            !matches!(host.volume_driver.as_str(), "" | "local"),
        ),
    ] {
        if is_there {
            warnings.push(format!("{field} is not supported and was ignored"));
        }
    }
    for (field, value) in body.rest.iter().chain(&host.rest) {
        if means_something(value) && !KNOWN_TO_MEAN_NOTHING.contains(&field.as_str()) {
            warnings.push(format!("{field} is not supported and was ignored"));
        }
    }
    Ok(Translated { spec, warnings })
}

/// Set by clients as a matter of course, or true here anyway.
const KNOWN_TO_MEAN_NOTHING: &[&str] = &[
    "KernelMemory",
    "KernelMemoryTCP",
    "BlkioWeight",
    "Cgroup",
    "ContainerIDFile",
    "ContainerIdFile",
    "CpuCount",
    "CpuPercent",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "NetworkSettings",
];

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

fn grace(seconds: i64) -> u64 {
    // Negative: wait for ever.
    u64::try_from(seconds).map_or(u64::MAX / 2, |seconds| seconds.saturating_mul(1000))
}

/// Docker's words for architectures, which clients take from uname(2).
pub fn platform_of(text: &str) -> String {
    text.split('/')
        .map(|part| match part {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// `[]` and `[""]` take the image's entrypoint away; an entrypoint takes the image's command away.
fn entrypoint(body: &ContainerCreate) -> Option<Vec<String>> {
    let list = body.entrypoint.clone()?.into_list();
    Some(if list == [""] { Vec::new() } else { list })
}

/// Each entry has a name. One without `=` takes a variable of the image away.
fn env(entries: &[String]) -> Result<Vec<String>> {
    match entries
        .iter()
        .find(|entry| entry.is_empty() || entry.starts_with('='))
    {
        Some(entry) => Err(Error::invalid(format!(
            "invalid environment variable: {entry}"
        ))),
        None => Ok(entries.to_vec()),
    }
}

/// What would mislead if it were left out.
fn refuse(body: &ContainerCreate) -> Result<()> {
    let host = &body.host_config;
    let shared = |mode: &str| !matches!(mode, "" | "private" | "shareable" | "none" | "default");
    let unsupported =
        |what: String, hint: &str| Err(Error::new(Kind::Unsupported, what).with_hint(hint));
    for (field, mode) in [
        ("PidMode", &host.pid_mode),
        ("IpcMode", &host.ipc_mode),
        ("UTSMode", &host.uts_mode),
        ("UsernsMode", &host.userns_mode),
        ("CgroupnsMode", &host.cgroupns_mode),
    ] {
        if shared(mode) {
            return unsupported(
                format!("{field} `{mode}` is not supported: each sandbox has its own namespaces"),
                "leave it out",
            );
        }
    }
    if !host.devices.is_empty() || !host.device_requests.is_empty() {
        return unsupported(
            "devices of the host cannot be given to a rootless sandbox".to_owned(),
            "leave out `--device` and `--gpus`",
        );
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return Err(Error::invalid(format!(
            "Invalid isolation: \"{}\" - linux only supports 'default'",
            host.isolation
        )));
    }
    if !matches!(
        host.runtime.as_str(),
        "" | "runc" | "io.containerd.runc.v2" | "shedbox"
    ) {
        return Err(Error::invalid(format!(
            "unknown or invalid runtime name: {}",
            host.runtime
        )));
    }
    Ok(())
}

fn log(body: &ContainerCreate, spec: &mut SandboxSpec, warnings: &mut Vec<String>) -> Result<()> {
    let log = &body.host_config.log_config;
    if !matches!(log.kind.as_str(), "" | "json-file" | "local" | "none") {
        return Err(Error::invalid(format!(
            "logger: no log driver named '{}' is registered",
            log.kind
        ))
        .with_hint("use json-file, local or none"));
    }
    for (name, value) in &log.config {
        match name.as_str() {
            "max-size" if value == "-1" => {}
            "max-size" => {
                let files: u64 = log
                    .config
                    .get("max-file")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(1);
                let size = shedbox_spec::size::parse_bytes(value)?;
                spec.log_max_bytes = Some(size.saturating_mul(files.max(1)));
            }
            "max-file" | "compress" => {}
            other => warnings.push(format!(
                "log option {other} is not supported and was ignored"
            )),
        }
    }
    Ok(())
}

/// Checks a restart policy.
pub fn restart_policy(policy: &RestartPolicy, auto_remove: bool) -> Result<()> {
    match policy.name.as_str() {
        "" | "no" | "always" | "unless-stopped" | "on-failure" => {}
        other => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'"
            )));
        }
    }
    if policy.maximum_retry_count < 0 {
        return Err(Error::invalid(
            "invalid restart policy: maximum retry count cannot be negative",
        ));
    }
    if policy.maximum_retry_count > 0 && policy.name != "on-failure" {
        return Err(Error::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    if auto_remove && !matches!(policy.name.as_str(), "" | "no") {
        return Err(Error::invalid(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    Ok(())
}

/// A copy of `extra` fields that mean something, for warnings of other requests.
pub fn unknown(rest: &BTreeMap<String, Value>) -> Vec<String> {
    rest.iter()
        .filter(|(_, value)| means_something(value))
        .map(|(field, _)| format!("{field} is not supported and was ignored"))
        .collect()
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
