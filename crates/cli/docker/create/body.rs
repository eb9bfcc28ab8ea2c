//! The body of a create.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use shedbox_spec::{size, ulimit::Ulimit};

use super::{Options, mounts, network};
use crate::docker::limits::bytes;
use crate::exec_env;

pub(super) fn body(options: &Options, detached: bool) -> Result<Value> {
    let (image, command) = options
        .words
        .split_first()
        .ok_or_else(|| anyhow!("no image was given"))?;
    let some = |text: &Option<String>| text.clone().unwrap_or_default();
    let attach = !detached;
    let mut body = json!({
        "Hostname": some(&options.hostname),
        "Domainname": some(&options.domainname),
        "User": some(&options.user),
        "AttachStdin": attach && options.interactive,
        "AttachStdout": attach,
        "AttachStderr": attach,
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "StdinOnce": attach && options.interactive,
        "Env": exec_env::collect(&options.env_file, &options.env, exec_env::own)?,
        "Cmd": if command.is_empty() { Value::Null } else { json!(command) },
        "Image": image,
        "WorkingDir": some(&options.workdir),
        "Entrypoint": options.entrypoint.as_ref().map(|program| vec![program]),
        "Labels": labels(options)?,
        "StopSignal": some(&options.stop_signal),
        "StopTimeout": options.stop_timeout,
        "ExposedPorts": network::exposed(options)?,
        "Healthcheck": healthcheck(options)?,
        "MacAddress": some(&options.mac_address),
    });
    let (volumes, binds) = mounts::volumes(options)?;
    body["Volumes"] = volumes;
    body["HostConfig"] = host_config(options, binds)?;
    let (mode, endpoints) = network::networks(options)?;
    body["HostConfig"]["NetworkMode"] = json!(mode);
    body["NetworkingConfig"] = json!({"EndpointsConfig": endpoints});
    Ok(body)
}

fn host_config(options: &Options, binds: Vec<String>) -> Result<Value> {
    let some = |text: &Option<String>| text.clone().unwrap_or_default();
    let pairs = |list: &[String], what: &str| -> Result<BTreeMap<String, String>> {
        list.iter()
            .map(|text| {
                text.split_once('=')
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .ok_or_else(|| anyhow!("invalid {what} {text}: write NAME=VALUE"))
            })
            .collect()
    };
    let tmpfs: BTreeMap<&str, &str> = options
        .tmpfs
        .iter()
        .map(|text| text.split_once(':').unwrap_or((text, "")))
        .collect();
    let ulimits = options
        .ulimit
        .iter()
        .map(|text| {
            let limit = Ulimit::parse(text)?;
            let number = |value: u64| i64::try_from(value).unwrap_or(-1);
            Ok(json!({"Name": limit.resource.as_str(), "Soft": number(limit.soft), "Hard": number(limit.hard)}))
        })
        .collect::<Result<Vec<_>>>()?;
    let (policy, retries) = match options.restart.as_deref() {
        None => ("no", 0),
        Some(text) => match text.split_once(':') {
            Some((policy, count)) => (
                policy,
                count.parse().map_err(|_| {
                    anyhow!("invalid restart policy format: maximum retry count must be an integer")
                })?,
            ),
            None => (text, 0),
        },
    };
    let mut config = json!({
        "Binds": binds,
        "Mounts": mounts::mounts(options)?,
        "Tmpfs": tmpfs,
        "VolumesFrom": options.volumes_from,
        "ReadonlyRootfs": options.read_only,
        "AutoRemove": options.rm,
        "Init": options.init,
        "ShmSize": bytes(options.shm_size.as_deref())?,
        "Ulimits": ulimits,
        "PortBindings": network::bindings(options)?,
        "PublishAllPorts": options.publish_all,
        "Dns": options.dns,
        "DnsSearch": options.dns_search,
        "DnsOptions": options.dns_option,
        "ExtraHosts": options.add_host,
        "Links": options.link,
        "CpusetMems": some(&options.cpuset_mems),
        "OomKillDisable": options.oom_kill_disable,
        "OomScoreAdj": options.oom_score_adj.unwrap_or(0),
    });
    let more = json!({
        "MemorySwappiness": options.memory_swappiness.unwrap_or(-1),
        "CapAdd": options.cap_add,
        "CapDrop": options.cap_drop,
        "SecurityOpt": security(&options.security_opt)?,
        "Privileged": options.privileged,
        "GroupAdd": options.group_add,
        "PidMode": some(&options.pid),
        "IpcMode": some(&options.ipc),
        "UTSMode": some(&options.uts),
        "UsernsMode": some(&options.userns),
        "CgroupnsMode": some(&options.cgroupns),
        "Sysctls": pairs(&options.sysctl, "sysctl")?,
        "Devices": options.device,
        "DeviceRequests": options.gpus.as_ref().map(|gpus| vec![json!({"Count": gpus})]),
        "Runtime": some(&options.runtime),
        "StorageOpt": pairs(&options.storage_opt, "storage option")?,
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": retries},
        "LogConfig": {"Type": some(&options.log_driver), "Config": pairs(&options.log_opt, "log option")?},
    });
    for more in [more, options.limits.host_config()?] {
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
    }
    Ok(config)
}

/// A seccomp profile is a file of ours; its text is what is sent.
fn security(list: &[String]) -> Result<Vec<String>> {
    list.iter()
        .map(|option| match option.strip_prefix("seccomp=") {
            Some(path) if shedbox_spec::security::Seccomp::named(path).is_none() => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("opening seccomp profile ({path}) failed"))?;
                Ok(format!("seccomp={text}"))
            }
            _ => Ok(option.clone()),
        })
        .collect()
}

fn labels(options: &Options) -> Result<BTreeMap<String, String>> {
    let mut all = Vec::new();
    for path in &options.label_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        all.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    all.extend(options.label.iter().cloned());
    Ok(all
        .iter()
        .map(|label| label.split_once('=').unwrap_or((label, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

fn healthcheck(options: &Options) -> Result<Value> {
    let nanos = |text: &Option<String>| -> Result<u64> {
        Ok(text
            .as_deref()
            .map(size::parse_duration)
            .transpose()?
            .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    };
    if options.no_healthcheck {
        return Ok(json!({"Test": ["NONE"]}));
    }
    let check = json!({
        "Test": options.health_cmd.as_ref().map(|command| vec!["CMD-SHELL", command]),
        "Interval": nanos(&options.health_interval)?,
        "Timeout": nanos(&options.health_timeout)?,
        "StartPeriod": nanos(&options.health_start_period)?,
        "StartInterval": nanos(&options.health_start_interval)?,
        "Retries": options.health_retries.unwrap_or(0),
    });
    Ok(if shedbox_docker::body::means_something(&check) {
        check
    } else {
        Value::Null
    })
}
