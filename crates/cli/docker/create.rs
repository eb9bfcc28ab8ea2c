//! `docker run` and `docker create`: flags in, the body of a create out.

mod body;
mod mounts;
mod network;

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use clap::ArgAction;
use shedbox_client::{Client, Kind, Target};
use shedbox_spec::exec::NotStarted;

use super::limits::Limits;
use super::output;
use crate::commands::run::{follow, settle};
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
    #[command(flatten)]
    limits: Limits,
    #[arg(long, allow_hyphen_values = true)]
    memory_swappiness: Option<i64>,
    #[arg(long)]
    cpuset_mems: Option<String>,
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
        Ok(shedbox_client::Error::NotStarted(why)) => {
            let message = shedbox_docker::exec::main_not_started(&why, program);
            shedbox_client::Error::NotStarted(NotStarted { message, ..why }).into()
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
    let body = body::body(options, detached)?;
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
