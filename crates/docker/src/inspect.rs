//! Containers as `inspect` and `ps` show them.

mod network;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::mount::{Access, Mount};

pub use network::networks;
use network::{network_mode, network_settings, ports};

use crate::status::{self, Extra};
use crate::stored::Stored;

/// Docker's word for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What dockerd fills in. Source: dockerd 26.1, an inspected container.
const HOST_CONFIG_DEFAULTS: &str = r#"{
    "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}}, "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "VolumeDriver": "", "VolumesFrom": null,
    "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "private", "Dns": [], "DnsOptions": [],
    "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null, "IpcMode": "private", "Cgroup": "", "Links": null,
    "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false, "SecurityOpt": null, "UTSMode": "",
    "UsernsMode": "", "ShmSize": 67108864, "Runtime": "runc", "Isolation": "", "CpuShares": 0, "Memory": 0,
    "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0,
    "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
    "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
    "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null, "Ulimits": [], "CpuCount": 0,
    "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0
}"#;

/// `GET /containers/{id}/json`. `image_config` is the `config` of the image's document.
pub fn container(
    info: &SandboxInfo,
    stored: &Stored,
    extra: &Extra,
    image_config: &Value,
) -> Value {
    let argv = &info.argv;
    json!({
        "Id": info.id,
        "Created": info.created_at,
        "Path": argv.first().map_or("", String::as_str),
        "Args": argv.get(1..).unwrap_or_default(),
        "State": state(info, extra),
        "Image": image_id(info),
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": format!("{}/log", info.dir),
        "Name": format!("/{}", info.name),
        "RestartCount": extra.kept.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(info, stored, extra),
        "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": format!("{}/live/upper", info.dir)}},
        "Mounts": mounts(info, stored),
        "Config": config(info, stored, image_config),
        "NetworkSettings": network_settings(info, image_config, stored),
    })
}

fn image_id(info: &SandboxInfo) -> String {
    info.image
        .as_ref()
        .map_or_else(String::new, ToString::to_string)
}

/// `.State`.
pub fn state(info: &SandboxInfo, extra: &Extra) -> Value {
    let running = matches!(info.status, Status::Running | Status::Paused) || extra.restarting;
    let time = |at: &Option<String>| at.clone().unwrap_or_else(|| NEVER.to_owned());
    let mut state = json!({
        "Status": status::word(info, extra),
        "Running": running,
        "Paused": info.status == Status::Paused,
        "Restarting": extra.restarting,
        "OOMKilled": info.oom_killed,
        "Dead": false,
        "Pid": info.init_pid.filter(|_| running).unwrap_or(0),
        "ExitCode": if running && !extra.restarting { 0 } else { status::exit_code(info, extra) },
        "Error": status::error(info, extra),
        "StartedAt": time(&info.started_at),
        "FinishedAt": time(&info.finished_at),
    });
    if let Some(health) = &extra.health {
        state["Health"] = json!({
            "Status": health.status,
            "FailingStreak": health.failing_streak,
            "Log": health.log,
        });
    }
    state
}

/// `.Config`.
pub fn config(info: &SandboxInfo, stored: &Stored, image: &Value) -> Value {
    let spec = &info.spec;
    let of_image = |name: &str| image.get(name).cloned().unwrap_or(Value::Null);
    let own = |name: &str| stored.get(&format!("/{name}")).cloned();
    let union = |name: &str| {
        let mut all = of_image(name).as_object().cloned().unwrap_or_default();
        all.extend(stored.object(&format!("/{name}")));
        if all.is_empty() {
            Value::Null
        } else {
            Value::Object(all)
        }
    };
    let mut exposed = union("ExposedPorts");
    for port in &spec.ports {
        let key = format!("{}/{}", port.container, port.protocol);
        if exposed.is_null() {
            exposed = json!({});
        }
        exposed[key] = json!({});
    }
    // What is in force: an entrypoint of the request takes the image's command away.
    let (entrypoint, cmd) = match &spec.entrypoint {
        Some(own) => (
            json!(own),
            if spec.command.is_empty() && own.is_empty() {
                of_image("Cmd")
            } else {
                list(&spec.command)
            },
        ),
        None => (
            of_image("Entrypoint"),
            if spec.command.is_empty() {
                of_image("Cmd")
            } else {
                list(&spec.command)
            },
        ),
    };
    let mut config = json!({
        "Hostname": spec.hostname.clone().unwrap_or_else(|| info.id.short().to_owned()),
        "Domainname": own("Domainname").unwrap_or_else(|| json!("")),
        "User": info.user,
        "AttachStdin": stored.flag("/AttachStdin"),
        "AttachStdout": stored.flag("/AttachStdout"),
        "AttachStderr": stored.flag("/AttachStderr"),
        "Tty": spec.tty,
        "OpenStdin": stored.flag("/OpenStdin"),
        "StdinOnce": stored.flag("/StdinOnce"),
        "Env": env(info, stored, image),
        "Cmd": cmd,
        "Image": spec.source.to_string(),
        "Volumes": union("Volumes"),
        "WorkingDir": workdir(info, image),
        "Entrypoint": entrypoint,
        "OnBuild": null,
        "Labels": info.labels,
    });
    if let Value::Object(fields) = &mut config {
        if !exposed.is_null() {
            fields.insert("ExposedPorts".to_owned(), exposed);
        }
        let signal = spec
            .stop_signal
            .clone()
            .map_or_else(|| of_image("StopSignal"), Value::from);
        for (name, value) in [
            ("StopSignal", signal),
            ("Shell", of_image("Shell")),
            (
                "Healthcheck",
                own("Healthcheck").unwrap_or_else(|| of_image("Healthcheck")),
            ),
            ("StopTimeout", own("StopTimeout").unwrap_or(Value::Null)),
        ] {
            if !value.is_null() {
                fields.insert(name.to_owned(), value);
            }
        }
    }
    config
}

fn list(words: &[String]) -> Value {
    if words.is_empty() {
        Value::Null
    } else {
        json!(words)
    }
}

/// `/` stands for none.
fn workdir(info: &SandboxInfo, image: &Value) -> Value {
    match (
        &info.spec.workdir,
        image.get("WorkingDir").and_then(Value::as_str),
    ) {
        (Some(own), _) => json!(own),
        (None, Some(of_image)) => json!(of_image),
        (None, None) => json!(""),
    }
}

/// The request's, with the defaults that dockerd fills in.
fn host_config(info: &SandboxInfo, stored: &Stored, extra: &Extra) -> Value {
    let mut config = stored.object("/HostConfig");
    // A constant of this file, and valid: a test reads it.
    let defaults: Map<String, Value> =
        serde_json::from_str(HOST_CONFIG_DEFAULTS).unwrap_or_default();
    let own = [
        ("NetworkMode", json!(network_mode(info))),
        ("AutoRemove", json!(info.spec.auto_remove)),
        ("ReadonlyRootfs", json!(info.spec.read_only)),
        ("MaskedPaths", json!(shedbox_spec::security::MASKED_PATHS)),
        (
            "ReadonlyPaths",
            json!(shedbox_spec::security::READ_ONLY_PATHS),
        ),
    ];
    let own = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    for (name, value) in own.chain(defaults) {
        config.entry(name).or_insert(value);
    }
    // Words that stand for a default are shown as what they stand for.
    if let Some(mode) = config.get_mut("NetworkMode")
        && matches!(mode.as_str(), Some("" | "default"))
    {
        *mode = json!(network_mode(info));
    }
    if config["LogConfig"]["Type"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        config["LogConfig"]["Type"] = json!("json-file");
    }
    if config["RestartPolicy"]["Name"]
        .as_str()
        .is_none_or(str::is_empty)
    {
        config["RestartPolicy"] = json!({"Name": "no", "MaximumRetryCount": 0});
    }
    if let Some(policy) = &extra.kept.restart_policy {
        config.insert("RestartPolicy".to_owned(), json!(policy));
    }
    for (name, value) in updated(info) {
        config.insert(name.to_owned(), value);
    }
    for name in ["CgroupnsMode", "IpcMode"] {
        if config[name].as_str() == Some("") {
            config.insert(name.to_owned(), json!("private"));
        }
    }
    if config["Runtime"].as_str() == Some("") {
        config.insert("Runtime".to_owned(), json!("runc"));
    }
    if config["ShmSize"].as_i64() == Some(0) {
        config.insert(
            "ShmSize".to_owned(),
            json!(shedbox_spec::sandbox::DEFAULT_SHM_SIZE),
        );
    }
    Value::Object(config)
}

/// Limits in force, which an update may have changed.
fn updated(info: &SandboxInfo) -> Vec<(&'static str, Value)> {
    let limits = &info.spec.limits;
    [
        ("Memory", limits.memory.map(Value::from)),
        ("MemorySwap", limits.memory_swap.map(Value::from)),
        ("MemoryReservation", limits.memory_low.map(Value::from)),
        ("NanoCpus", limits.nano_cpus.map(Value::from)),
        ("CpuQuota", limits.cpu_quota_us.map(Value::from)),
        ("CpuPeriod", limits.cpu_period_us.map(Value::from)),
        ("CpuShares", limits.cpu_shares.map(Value::from)),
        ("CpusetCpus", limits.cpuset_cpus.clone().map(Value::from)),
        ("PidsLimit", limits.pids.map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn mounts(info: &SandboxInfo, stored: &Stored) -> Value {
    info.spec
        .mounts
        .iter()
        .map(|mount| match mount {
            Mount::Bind {
                source,
                target,
                access,
            } => {
                let volume = stored.volumes.get(target);
                json!({
                    "Type": if volume.is_some() { "volume" } else { "bind" },
                    "Name": volume.map_or("", |volume| volume.name.as_str()),
                    "Source": source,
                    "Destination": target,
                    "Driver": if volume.is_some() { "local" } else { "" },
                    "Mode": match access { Access::Rw => "", other => other.as_str() },
                    "RW": *access != Access::Ro,
                    "Propagation": if volume.is_some() { "" } else { "rprivate" },
                })
            }
            Mount::Tmpfs {
                target, read_only, ..
            } => json!({
                "Type": "tmpfs", "Source": "", "Destination": target, "Mode": "", "RW": !read_only, "Propagation": "",
            }),
        })
        .collect()
}

/// Variables of image and request: that of the host's name is the runtime's.
fn env<'a>(info: &'a SandboxInfo, stored: &Stored, image: &Value) -> Vec<&'a str> {
    let names_host = |list: &Value| {
        list.as_array().is_some_and(|list| {
            list.iter().any(|entry| {
                entry
                    .as_str()
                    .is_some_and(|entry| entry.starts_with("HOSTNAME="))
            })
        })
    };
    let asked = stored.get("/Env").is_some_and(names_host) || names_host(&image["Env"]);
    info.env
        .iter()
        .map(String::as_str)
        .filter(|entry| asked || !entry.starts_with("HOSTNAME="))
        .collect()
}

/// Words with a space in them are quoted. Source: moby `container/view.go`.
fn command(argv: &[String]) -> String {
    let quoted = argv.iter().enumerate().map(|(at, word)| {
        if at > 0 && word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// An element of `GET /containers/json`.
pub fn summary(
    info: &SandboxInfo,
    stored: &Stored,
    extra: &Extra,
    image_config: &Value,
    now: Timestamp,
) -> Value {
    let mut listed = Vec::new();
    for (key, bindings) in ports(info, image_config, stored) {
        let Some((port, protocol)) = key.split_once('/') else {
            continue;
        };
        let port: u16 = port.parse().unwrap_or(0);
        match bindings {
            Value::Array(bindings) => listed.extend(bindings.iter().map(|binding| json!({
                "IP": binding["HostIp"],
                "PrivatePort": port,
                "PublicPort": binding["HostPort"].as_str().and_then(|port| port.parse::<u16>().ok()),
                "Type": protocol,
            }))),
            _ => listed.push(json!({"PrivatePort": port, "Type": protocol})),
        }
    }
    if !matches!(info.status, Status::Running | Status::Paused) {
        listed.clear();
    }
    json!({
        "Id": info.id,
        "Names": [format!("/{}", info.name)],
        "Image": info.spec.source.to_string(),
        "ImageID": image_id(info),
        "Command": command(&info.argv),
        "Created": seconds(&info.created_at),
        "Ports": listed,
        "Labels": info.labels,
        "State": status::word(info, extra),
        "Status": status::sentence(info, extra, now),
        "HostConfig": {"NetworkMode": network_mode(info)},
        "NetworkSettings": {"Networks": networks(info)},
        "Mounts": mounts(info, stored),
    })
}

/// Seconds since 1970 of a time as we write it; 0 for anything else.
pub fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_are_quoted() {
        let argv = ["sh", "-c", "echo a b"].map(str::to_owned);
        assert_eq!(command(&argv), "sh -c 'echo a b'");
        assert_eq!(command(&["a b".to_owned()]), "a b");
    }

    #[test]
    fn the_defaults_are_json() {
        let defaults: Map<String, Value> = serde_json::from_str(HOST_CONFIG_DEFAULTS).unwrap();
        assert_eq!(defaults["ShmSize"], shedbox_spec::sandbox::DEFAULT_SHM_SIZE);
    }
}
