//! `docker run` and `docker create`: flags in, the body of a create out.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result, anyhow};
use clap::ArgAction;
use serde_json::{Map, Value, json};
use shedbox_client::{Client, Kind, Target};
use shedbox_spec::network::port::{parse as parse_port, parse_exposed};
use shedbox_spec::{mount, size, ulimit::Ulimit};

use super::output;
use crate::commands::run::{follow, settle};
use crate::create_options::current_dir;
use crate::exec_env;
use crate::foreground::{self, Ending, Foreground};
use crate::render;

/// Flags of both. Texts are as Docker's.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[arg(long)]
    name: Option<String>,
    #[arg(short, long)]
    interactive: bool,
    #[arg(short, long)]
    tty: bool,
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    #[arg(short, long)]
    user: Option<String>,
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    #[arg(long)]
    domainname: Option<String>,
    #[arg(short, long, value_name = "SOURCE:TARGET")]
    volume: Vec<String>,
    #[arg(long, value_name = "FIELDS")]
    mount: Vec<String>,
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    #[arg(long)]
    volumes_from: Vec<String>,
    #[arg(long)]
    read_only: bool,
    #[arg(long)]
    entrypoint: Option<String>,
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    #[arg(long, value_name = "FILE")]
    label_file: Vec<String>,
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    init: Option<bool>,
    #[arg(long)]
    stop_signal: Option<String>,
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<i64>,
    #[arg(long, visible_alias = "net")]
    network: Vec<String>,
    #[arg(long, visible_alias = "net-alias")]
    network_alias: Vec<String>,
    #[arg(long)]
    ip: Option<String>,
    #[arg(long)]
    ip6: Option<String>,
    #[arg(long)]
    mac_address: Option<String>,
    #[arg(short, long, value_name = "[IP:][HOST:]CONTAINER")]
    publish: Vec<String>,
    #[arg(short = 'P', long)]
    publish_all: bool,
    #[arg(long)]
    expose: Vec<String>,
    #[arg(long)]
    dns: Vec<String>,
    #[arg(long)]
    dns_search: Vec<String>,
    #[arg(long, visible_alias = "dns-opt")]
    dns_option: Vec<String>,
    #[arg(long)]
    add_host: Vec<String>,
    #[arg(long)]
    link: Vec<String>,
    #[arg(short, long)]
    memory: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<String>,
    #[arg(long)]
    memory_reservation: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    memory_swappiness: Option<i64>,
    #[arg(long)]
    cpus: Option<String>,
    #[arg(short = 'c', long)]
    cpu_shares: Option<i64>,
    #[arg(long)]
    cpu_period: Option<i64>,
    #[arg(long, allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    #[arg(long)]
    cpuset_cpus: Option<String>,
    #[arg(long)]
    cpuset_mems: Option<String>,
    #[arg(long, allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    #[arg(long)]
    oom_kill_disable: bool,
    #[arg(long, allow_hyphen_values = true)]
    oom_score_adj: Option<i64>,
    #[arg(long)]
    cap_add: Vec<String>,
    #[arg(long)]
    cap_drop: Vec<String>,
    #[arg(long)]
    security_opt: Vec<String>,
    #[arg(long)]
    privileged: bool,
    #[arg(long)]
    group_add: Vec<String>,
    #[arg(long)]
    pid: Option<String>,
    #[arg(long)]
    ipc: Option<String>,
    #[arg(long)]
    uts: Option<String>,
    #[arg(long)]
    userns: Option<String>,
    #[arg(long)]
    cgroupns: Option<String>,
    #[arg(long)]
    sysctl: Vec<String>,
    #[arg(long)]
    device: Vec<String>,
    #[arg(long)]
    gpus: Option<String>,
    #[arg(long)]
    runtime: Option<String>,
    #[arg(long)]
    storage_opt: Vec<String>,
    #[arg(long)]
    restart: Option<String>,
    #[arg(long)]
    log_driver: Option<String>,
    #[arg(long)]
    log_opt: Vec<String>,
    #[arg(long)]
    health_cmd: Option<String>,
    #[arg(long)]
    health_interval: Option<String>,
    #[arg(long)]
    health_timeout: Option<String>,
    #[arg(long)]
    health_start_period: Option<String>,
    #[arg(long)]
    health_start_interval: Option<String>,
    #[arg(long)]
    health_retries: Option<i64>,
    #[arg(long)]
    no_healthcheck: bool,
    #[arg(long)]
    rm: bool,
    #[arg(long)]
    platform: Option<String>,
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pull: String,
    #[arg(long, value_name = "FILE")]
    cidfile: Option<String>,
    #[arg(short, long)]
    quiet: bool,
    /// Accepted and without effect
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide = true)]
    disable_content_trust: Option<bool>,
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Image, then the command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct RunArgs {
    /// Leave it running and print its id
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave a terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Accepted: signals are passed on
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    sig_proxy: Option<bool>,
    /// Streams to join: stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct CreateArgs {
    /// Streams to join
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<String>,
    #[command(flatten)]
    options: Options,
}

pub(super) fn create(args: &CreateArgs) -> Result<u8> {
    let id = make(&args.options, false)?;
    render::line(&id)?;
    Ok(0)
}

pub(super) fn run(args: &RunArgs) -> Result<u8> {
    let options = &args.options;
    let keys = foreground::keys(args.detach_keys.as_deref())?;
    if args.detach {
        if args.options.rm
            && args
                .options
                .restart
                .as_deref()
                .is_some_and(|policy| policy != "no")
        {
            return Err(anyhow!(
                "conflicting options: cannot specify both --restart and --rm"
            ));
        }
        let id = make(options, true)?;
        start(&id)?;
        render::line(&id)?;
        return Ok(0);
    }
    drop(Foreground::prepare(options.tty, options.interactive)?);
    let id = make(options, false)?;
    let sandbox = Client::shared().sandbox(&id)?;
    sandbox.start_with(true)?;
    let ending = match follow(&sandbox, options.tty, options.interactive, keys) {
        Ok(ending) => ending,
        Err(error) => {
            // The client that made it is told why; the container stays, as Docker's does, unless it was to go.
            let kept = if options.rm {
                sandbox.remove_with(true)
            } else {
                sandbox.stop(Some(std::time::Duration::ZERO))
            };
            return Err(refused(error, &options.words).context_of(kept));
        }
    };
    if let Ending::Ended(_) = &ending {
        if options.rm {
            // As soon as we are gone its name must be free.
            let _ = sandbox.wait_removed();
        } else {
            settle(&sandbox, &ending);
        }
    }
    Ok(foreground::status(&ending))
}

/// An error that keeps what came of tidying up to itself: the first one counts.
trait ContextOf {
    fn context_of<T, E: std::fmt::Display>(self, outcome: Result<T, E>) -> Self;
}

impl ContextOf for anyhow::Error {
    fn context_of<T, E: std::fmt::Display>(self, outcome: Result<T, E>) -> Self {
        match outcome {
            Ok(_) => self,
            Err(error) => self.context(format!("and it was not tidied up: {error}")),
        }
    }
}

/// A main process that was not started, in runc's words.
fn refused(error: anyhow::Error, words: &[String]) -> anyhow::Error {
    let program = words.get(1).map_or("", String::as_str);
    match error.downcast::<shedbox_client::Error>() {
        Ok(shedbox_client::Error::NotStarted { code, message }) => {
            shedbox_client::Error::NotStarted {
                code,
                message: shedbox_docker::exec::main_not_started(code, &message, program),
            }
            .into()
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// Starts a container; one that cannot be started is removed when it was to be.
fn start(id: &str) -> Result<()> {
    output::post(&Target::docker(["containers", id, "start"]), None).map(drop)
}

/// Creates it, with its image; its id.
fn make(options: &Options, detached: bool) -> Result<String> {
    let mut id_file = match &options.cidfile {
        None => None,
        Some(path) => Some(std::fs::File::create_new(path).map_err(|_| {
            anyhow!("container ID file found, make sure the other container isn't running or delete {path}")
        })?),
    };
    let body = body(options, detached)?;
    let image = options.words.first().map_or("", String::as_str);
    let platform = options.platform.as_deref();
    if options.pull == "always" {
        super::image::fetch(image, platform, options.quiet)?;
    }
    let mut target = Target::docker(["containers", "create"]);
    if let Some(name) = &options.name {
        target = target.query("name", name);
    }
    if let Some(platform) = platform {
        target = target.query("platform", platform);
    }
    let created = match output::post(&target, Some(&body)) {
        Err(error)
            if options.pull != "never"
                && super::from_daemon(&error).is_some_and(|refused| {
                    refused.kind == Kind::NotFound && refused.message.starts_with("No such image")
                }) =>
        {
            crate::report::say(&format!(
                "Unable to find image '{}' locally",
                with_tag(image)
            ));
            super::image::fetch(image, platform, options.quiet)?;
            output::post(&target, Some(&body))?
        }
        other => other.inspect_err(|_| {
            if let Some(path) = &options.cidfile {
                // An empty file of ours.
                let _ = std::fs::remove_file(path);
            }
        })?,
    };
    for warning in created["Warnings"].as_array().into_iter().flatten() {
        crate::report::say(&format!(
            "WARNING: {}",
            warning.as_str().unwrap_or_default()
        ));
    }
    let id = created["Id"].as_str().unwrap_or_default().to_owned();
    if let Some(file) = &mut id_file {
        file.write_all(id.as_bytes())
            .context("cannot write the id file")?;
    }
    Ok(id)
}

fn with_tag(image: &str) -> String {
    shedbox_spec::reference::Reference::parse(image)
        .map_or_else(|_| image.to_owned(), |reference| reference.familiar())
}

fn body(options: &Options, detached: bool) -> Result<Value> {
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
        "ExposedPorts": exposed(options)?,
        "Healthcheck": healthcheck(options)?,
        "MacAddress": some(&options.mac_address),
    });
    let (volumes, binds) = volumes(options)?;
    body["Volumes"] = volumes;
    body["HostConfig"] = host_config(options, binds)?;
    let (mode, endpoints) = networks(options)?;
    body["HostConfig"]["NetworkMode"] = json!(mode);
    body["NetworkingConfig"] = json!({"EndpointsConfig": endpoints});
    Ok(body)
}

fn bytes(text: &Option<String>) -> Result<i64> {
    match text.as_deref() {
        None => Ok(0),
        Some("-1") => Ok(-1),
        Some(text) => Ok(i64::try_from(size::parse_bytes(text)?)?),
    }
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
    let nano_cpus = options
        .cpus
        .as_deref()
        .map(shedbox_spec::limits::cpus)
        .transpose()?;
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
        "Mounts": mounts(options)?,
        "Tmpfs": tmpfs,
        "VolumesFrom": options.volumes_from,
        "ReadonlyRootfs": options.read_only,
        "AutoRemove": options.rm,
        "Init": options.init,
        "ShmSize": bytes(&options.shm_size)?,
        "Ulimits": ulimits,
        "PortBindings": bindings(options)?,
        "PublishAllPorts": options.publish_all,
        "Dns": options.dns,
        "DnsSearch": options.dns_search,
        "DnsOptions": options.dns_option,
        "ExtraHosts": options.add_host,
        "Links": options.link,
        "Memory": bytes(&options.memory)?,
        "MemorySwap": bytes(&options.memory_swap)?,
        "MemoryReservation": bytes(&options.memory_reservation)?,
        "NanoCpus": nano_cpus.unwrap_or(0),
        "CpuShares": options.cpu_shares.unwrap_or(0),
        "CpuPeriod": options.cpu_period.unwrap_or(0),
        "CpuQuota": options.cpu_quota.unwrap_or(0),
        "CpusetCpus": some(&options.cpuset_cpus),
        "CpusetMems": some(&options.cpuset_mems),
        "PidsLimit": options.pids_limit.unwrap_or(0),
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
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
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

/// Anonymous volumes, and binds with their sources made absolute.
fn volumes(options: &Options) -> Result<(Value, Vec<String>)> {
    let mut anonymous = Map::new();
    let mut binds = Vec::new();
    let cwd = current_dir()?;
    for text in &options.volume {
        match text.split_once(':') {
            None => drop(anonymous.insert(text.clone(), json!({}))),
            Some((source, rest)) if source.starts_with('.') || source.starts_with('~') => {
                let source = source.strip_prefix('~').map_or_else(
                    || source.to_owned(),
                    |rest| format!("{}{rest}", std::env::var("HOME").unwrap_or_default()),
                );
                let arg = mount::VolumeArg {
                    source,
                    target: String::new(),
                    access: mount::Access::Rw,
                };
                let mount::Mount::Bind { source, .. } = arg.resolve(&cwd) else {
                    continue;
                };
                binds.push(format!("{source}:{rest}"));
            }
            Some(_) => binds.push(text.clone()),
        }
    }
    Ok((Value::Object(anonymous), binds))
}

/// `--mount`: comma-separated fields.
fn mounts(options: &Options) -> Result<Vec<Value>> {
    options.mount.iter().map(|text| one_mount(text)).collect()
}

fn one_mount(text: &str) -> Result<Value> {
    let mut mount = json!({"Type": "volume"});
    let (mut labels, cwd) = (Map::new(), current_dir()?);
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        let flag = || matches!(value, "true" | "1" | "");
        match key.to_ascii_lowercase().as_str() {
            "type" => mount["Type"] = json!(value),
            "source" | "src" if value.starts_with('.') => {
                let path = std::path::Path::new(&cwd).join(value);
                mount["Source"] = json!(path.canonicalize().unwrap_or(path));
            }
            "source" | "src" => mount["Source"] = json!(value),
            "target" | "dst" | "destination" => mount["Target"] = json!(value),
            "readonly" | "ro" => mount["ReadOnly"] = json!(flag()),
            "volume-nocopy" => mount["VolumeOptions"]["NoCopy"] = json!(flag()),
            "volume-label" => {
                let (name, label) = value.split_once('=').unwrap_or((value, ""));
                labels.insert(name.to_owned(), json!(label));
            }
            "tmpfs-size" => mount["TmpfsOptions"]["SizeBytes"] = json!(size::parse_bytes(value)?),
            "tmpfs-mode" => {
                mount["TmpfsOptions"]["Mode"] = json!(
                    u32::from_str_radix(value, 8)
                        .map_err(|_| anyhow!("invalid value for tmpfs-mode: {value}"))?
                );
            }
            "consistency" | "bind-propagation" => {}
            other => {
                return Err(anyhow!(
                    "invalid argument \"{text}\" for \"--mount\" flag: unexpected key '{other}' in '{field}'"
                ));
            }
        }
    }
    if !labels.is_empty() {
        mount["VolumeOptions"]["Labels"] = Value::Object(labels);
    }
    if mount["Target"].is_null() {
        return Err(anyhow!(
            "invalid argument \"{text}\" for \"--mount\" flag: target is required"
        ));
    }
    Ok(mount)
}

fn exposed(options: &Options) -> Result<Map<String, Value>> {
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

fn bindings(options: &Options) -> Result<Map<String, Value>> {
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
fn networks(options: &Options) -> Result<(String, Map<String, Value>)> {
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
