//! What `run` and `create` have in common: options as typed, and the spec that they mean.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result};
use clap::{ArgAction, ValueEnum};
use shedbox_client::SandboxSpec;
use shedbox_spec::api::PullPolicy;
use shedbox_spec::exec::StdinMode;
use shedbox_spec::hosts::ExtraHost;
use shedbox_spec::mount::{self, Mount};
use shedbox_spec::sandbox::Source;
use shedbox_spec::security::Security;
use shedbox_spec::ulimit::Ulimit;
use shedbox_spec::user::UserSpec;
use shedbox_spec::{Error, signal, size};

use crate::exec_env;
use crate::landlock_options::LandlockOptions;
use crate::limit_options::LimitOptions;
use crate::network_options::NetworkOptions;
use crate::security_options::SecurityOptions;

/// When to ask a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Pull {
    /// When the image is not in the store
    #[default]
    Missing,
    /// Each time
    Always,
    /// Never
    Never,
}

impl From<Pull> for PullPolicy {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::Missing => Self::Missing,
            Pull::Always => Self::Always,
            Pull::Never => Self::Never,
        }
    }
}

/// Options of `run` and `create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateOptions {
    /// Name of the sandbox; generated when absent
    #[arg(long)]
    name: Option<String>,
    /// Use a directory as the lower layer instead of an image
    #[arg(long, value_name = "DIR")]
    rootfs: Option<String>,
    /// Run no main process: the sandbox stays up for commands until it is stopped
    #[arg(long)]
    pub(crate) idle: bool,
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove the sandbox when its main process has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Set an environment variable; a name alone passes on your own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Working directory; created when missing
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]")]
    user: Option<String>,
    /// Set a kernel parameter of the sandbox's own network or IPC namespace
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Give the processes one more group
    #[arg(long, value_name = "GROUP|GID")]
    group_add: Vec<String>,
    /// Host name inside
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Make a host path visible inside; `cow` gives a copy-on-write view that a reset sheds
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro|rw|cow]")]
    volume: Vec<String>,
    /// The same in words, or a tmpfs: `type=bind,source=…,target=…[,readonly|cow]`
    #[arg(long, value_name = "FIELDS")]
    mount: Vec<String>,
    /// Mount an empty memory file system: `size=`, `mode=`, `ro`, `exec`
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Make the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Replace the image's entrypoint; an empty value removes it
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Attach a label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Size of /dev/shm, for example `256m`
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// Set a resource limit, for example `nofile=1024:4096`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Accepted for Docker's sake: there always is an init that reaps
    #[arg(long)]
    init: bool,
    /// Signal that asks the main process to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Time between that signal and SIGKILL, in seconds or as `1m30s`
    #[arg(long, value_name = "TIME")]
    stop_timeout: Option<String>,
    #[command(flatten)]
    network: NetworkOptions,
    /// When to ask a registry for the image
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) pull: Pull,
    /// Platform to choose from an image index, for example `linux/arm64`
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Remove the sandbox after this time, whoever has forgotten it
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// While it runs, prepare the next sandbox with the same options
    #[arg(long)]
    recycle: bool,
    /// Add a line to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Write the id of the sandbox to a file, which must not exist
    #[arg(long, value_name = "FILE")]
    cidfile: Option<String>,
    /// Cap on the log of the main process, for example `10m`
    #[arg(long, value_name = "BYTES")]
    log_max_size: Option<String>,
    #[command(flatten)]
    security: SecurityOptions,
    #[command(flatten)]
    landlock: LandlockOptions,
    #[command(flatten)]
    limits: LimitOptions,
    /// Show no progress of a pull
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Image by reference or id, `host` for the host's own programs; then the command and its arguments, or, with an
    /// entrypoint, its arguments. With `--rootfs` the command alone
    #[arg(
        required_unless_present = "rootfs",
        trailing_var_arg = true,
        value_name = "IMAGE|COMMAND"
    )]
    words: Vec<OsString>,
}

impl CreateOptions {
    /// What was asked for. `cwd` is the caller's directory, `caller` looks up the caller's environment.
    pub(crate) fn spec(
        &self,
        cwd: &str,
        caller: impl Fn(&str) -> Option<String>,
    ) -> Result<SandboxSpec> {
        let (source, command) = self.source(cwd)?;
        if let Some(user) = &self.user {
            UserSpec::parse(user)?;
        }
        if let Some(name) = &self.stop_signal {
            signal::parse(name)?;
        }
        for host in &self.add_host {
            ExtraHost::parse(host)?;
        }
        Ok(SandboxSpec {
            source,
            name: self.name.clone(),
            command,
            // An empty one removes the image's, and its command with it: Docker sends it the same way.
            entrypoint: self.entrypoint.clone().map(|program| vec![program]),
            idle: self.idle,
            env: exec_env::collect(&self.env_file, &self.env, caller)?,
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            groups: self.group_add.clone(),
            sysctls: self.sysctls()?,
            hostname: self.hostname.clone(),
            mounts: self.mounts(cwd)?,
            read_only: self.read_only,
            annotations: std::collections::BTreeMap::new(),
            labels: self.labels()?,
            shm_size: bytes(self.shm_size.as_deref())?,
            ulimits: self
                .ulimit
                .iter()
                .map(|limit| Ulimit::parse(limit))
                .collect::<Result<_, _>>()?,
            stop_signal: self.stop_signal.clone(),
            stop_timeout_ms: millis(self.stop_timeout.as_deref())?,
            network: self.network.mode(&self.add_host)?,
            ports: self.network.ports()?,
            publish_all: self.network.publish_all,
            dns: self.network.dns()?,
            egress: self.network.egress.policy()?,
            tty: self.tty,
            stdin: if self.interactive {
                StdinMode::Pipe
            } else {
                StdinMode::Null
            },
            auto_remove: self.rm,
            ttl_ms: millis(self.ttl.as_deref())?,
            recycle: self.recycle,
            init: self.init,
            platform: self.platform.clone(),
            log_max_bytes: bytes(self.log_max_size.as_deref())?,
            extra_hosts: self.add_host.clone(),
            security: Security {
                landlock: self.landlock.spec()?,
                ..self.security.spec()?
            },
            limits: self.limits.spec()?,
        })
    }

    /// The first word is the image; with `--rootfs` there is none.
    fn source(&self, cwd: &str) -> Result<(Source, Vec<String>)> {
        let text = |word: &OsString| {
            word.to_str().map(str::to_owned).ok_or_else(|| {
                Error::invalid(format!("`{}` is not UTF-8", word.display()))
                    .with_hint("a main process takes text alone; `shedbox exec` takes any bytes")
            })
        };
        let mut words = self.words.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if let Some(dir) = &self.rootfs {
            let dir = if dir.starts_with('/') {
                dir.clone()
            } else {
                format!("{cwd}/{dir}")
            };
            return Ok((Source::Rootfs(dir), words));
        }
        if words.is_empty() {
            return Err(Error::invalid("no image was given").into());
        }
        let command = words.split_off(1);
        let image = words.remove(0);
        Ok((
            if image == "host" {
                Source::Host
            } else {
                Source::Image(image)
            },
            command,
        ))
    }

    /// All mounts, those higher up first, so that none covers one that was mounted before.
    fn mounts(&self, cwd: &str) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for volume in &self.volume {
            mounts.push(mount::parse_volume(volume)?.resolve(cwd));
        }
        for text in &self.mount {
            mounts.push(mount::parse_mount(text)?.resolve(cwd));
        }
        for text in &self.tmpfs {
            mounts.push(mount::parse_tmpfs(text)?);
        }
        mounts.sort_by_key(|mount| mount.target().matches('/').count());
        mount::validate_mounts(&mounts)?;
        Ok(mounts)
    }

    fn sysctls(&self) -> Result<BTreeMap<String, String>> {
        self.sysctl
            .iter()
            .map(|text| match text.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(
                    Error::invalid(format!("invalid sysctl `{text}`: it has no value"))
                        .with_hint("write NAME=VALUE")
                        .into(),
                ),
            })
            .collect()
    }

    fn labels(&self) -> Result<BTreeMap<String, String>> {
        self.label
            .iter()
            .map(|label| {
                let (name, value) = label.split_once('=').unwrap_or((label, ""));
                if name.is_empty() {
                    return Err(
                        Error::invalid(format!("invalid label `{label}`: it has no name")).into(),
                    );
                }
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// `--cidfile` was given.
    pub(crate) fn has_id_file(&self) -> bool {
        self.cidfile.is_some()
    }

    /// Takes the file of `--cidfile` before anything is created: two sandboxes cannot get the same one.
    pub(crate) fn id_file(&self) -> Result<Option<IdFile>> {
        let Some(path) = &self.cidfile else {
            return Ok(None);
        };
        let file =
            File::create_new(path).with_context(|| format!("cannot create the id file {path}"))?;
        Ok(Some(IdFile {
            path: path.clone(),
            file,
            written: false,
        }))
    }
}

/// A file for the id of a sandbox; removed again when there is none.
pub(crate) struct IdFile {
    path: String,
    file: File,
    written: bool,
}

impl IdFile {
    pub(crate) fn write(&mut self, id: &str) -> Result<()> {
        self.file
            .write_all(id.as_bytes())
            .with_context(|| format!("cannot write the id file {}", self.path))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if !self.written {
            // An empty file of ours that is in nobody's way if it stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn bytes(text: Option<&str>) -> Result<Option<u64>> {
    Ok(text.map(size::parse_bytes).transpose()?)
}

/// Milliseconds of a duration as people write it.
pub(crate) fn millis(text: Option<&str>) -> Result<Option<u64>> {
    let duration = text.map(size::parse_duration).transpose()?;
    Ok(duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

/// The caller's directory as text: volumes are named relative to it.
pub(crate) fn current_dir() -> Result<String> {
    let dir = std::env::current_dir().context("cannot find the current directory")?;
    dir.into_os_string().into_string().map_err(|dir| {
        Error::invalid(format!(
            "the current directory {} is not UTF-8",
            dir.display()
        ))
        .into()
    })
}
