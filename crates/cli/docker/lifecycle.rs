//! What is done to containers that are there.

use std::io::Write;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use shedbox_client::{Client, Target};

use super::limits::Limits;
use super::output::{self, for_each, post};
use crate::{commands, render, report};

fn of(name: &str, action: &str) -> Target {
    Target::docker(["containers", name, action])
}

/// Names alone.
#[derive(Debug, clap::Args)]
pub(super) struct NamesArgs {
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

pub(super) fn each(args: &NamesArgs, action: &str) -> Result<u8> {
    for_each(&args.names, |name| post(&of(name, action), None).map(drop))
}

#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    /// Stay with the main process
    #[arg(short, long)]
    attach: bool,
    /// Pass on standard input
    #[arg(short, long)]
    interactive: bool,
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

pub(super) fn start(args: StartArgs) -> Result<u8> {
    if args.attach || args.interactive {
        return commands::start::run(commands::start::Args::attached(
            args.interactive,
            args.detach_keys,
            args.names,
        ));
    }
    let status = for_each(&args.names, |name| post(&of(name, "start"), None).map(drop))?;
    if status != 0 {
        report::say("Error: failed to start containers");
    }
    Ok(status)
}

#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// Seconds before the main process is killed; -1 for never
    #[arg(
        short,
        long,
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    time: Option<i64>,
    /// Signal to send
    #[arg(short, long)]
    signal: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

/// `stop` and `restart`.
pub(super) fn stop(args: &StopArgs, action: &str) -> Result<u8> {
    for_each(&args.names, |name| {
        let mut target = of(name, action);
        if let Some(seconds) = args.time {
            target = target.query("t", seconds);
        }
        if let Some(signal) = &args.signal {
            target = target.query("signal", signal);
        }
        post(&target, None).map(drop)
    })
}

#[derive(Debug, clap::Args)]
pub(super) struct KillArgs {
    /// Signal to send
    #[arg(short, long)]
    signal: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

pub(super) fn kill(args: &KillArgs) -> Result<u8> {
    for_each(&args.names, |name| {
        let mut target = of(name, "kill");
        if let Some(signal) = &args.signal {
            target = target.query("signal", signal);
        }
        post(&target, None).map(drop)
    })
}

pub(super) fn wait(args: &NamesArgs) -> Result<u8> {
    let mut status = 0;
    for name in &args.names {
        match post(&of(name, "wait"), None) {
            Ok(value) => render::line(&value["StatusCode"].to_string())?,
            Err(error) => status = output::report(&error, 1, ""),
        }
    }
    Ok(status)
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// Also one that runs
    #[arg(short, long)]
    force: bool,
    /// Its anonymous volumes as well
    #[arg(short, long)]
    volumes: bool,
    #[arg(short, long, hide = true)]
    link: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

pub(super) fn remove(args: &RemoveArgs) -> Result<u8> {
    for_each(&args.names, |name| {
        let mut target = Target::docker(["containers", name]);
        for (key, set) in [
            ("force", args.force),
            ("v", args.volumes),
            ("link", args.link),
        ] {
            if set {
                target = target.query(key, 1);
            }
        }
        match output::delete(&target) {
            // One that is not there is no failure of a removal by force, but it is said.
            Err(error) if args.force && is_missing(&error) => {
                output::report(&error, 1, "");
                Ok(())
            }
            other => other.map(drop),
        }
    })
}

fn is_missing(error: &anyhow::Error) -> bool {
    super::from_daemon(error).is_some_and(|error| error.kind == shedbox_spec::Kind::NotFound)
}

#[derive(Debug, clap::Args)]
pub(super) struct RenameArgs {
    #[arg(value_name = "CONTAINER")]
    name: String,
    #[arg(value_name = "NEW_NAME")]
    new: String,
}

pub(super) fn rename(args: &RenameArgs) -> Result<u8> {
    post(&of(&args.name, "rename").query("name", &args.new), None)?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    limits: Limits,
    #[arg(long)]
    restart: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

pub(super) fn update(args: &UpdateArgs) -> Result<u8> {
    let policy = args.restart.as_deref().map(|text| {
        let (name, count) = text.split_once(':').unwrap_or((text, "0"));
        json!({"Name": name, "MaximumRetryCount": count.parse::<i64>().unwrap_or(0)})
    });
    let mut body = args.limits.host_config()?;
    body["RestartPolicy"] = json!(policy);
    for_each(&args.names, |name| {
        let answer = post(&of(name, "update"), Some(&body))?;
        for warning in answer["Warnings"].as_array().into_iter().flatten() {
            report::say(warning.as_str().unwrap_or_default());
        }
        Ok(())
    })
}

#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    #[arg(short, long)]
    follow: bool,
    #[arg(short = 'n', long, default_value = "all")]
    tail: String,
    #[arg(long)]
    since: Option<String>,
    #[arg(long)]
    until: Option<String>,
    #[arg(short, long)]
    timestamps: bool,
    #[arg(long, hide = true)]
    details: bool,
    #[arg(value_name = "CONTAINER")]
    name: String,
}

pub(super) fn logs(args: &LogsArgs) -> Result<u8> {
    let info = output::get(["containers", &args.name, "json"])?;
    let mut target = of(&args.name, "logs")
        .query("stdout", 1)
        .query("stderr", 1)
        .query("tail", &args.tail);
    for (key, set) in [("follow", args.follow), ("timestamps", args.timestamps)] {
        if set {
            target = target.query(key, 1);
        }
    }
    for (key, value) in [("since", &args.since), ("until", &args.until)] {
        if let Some(value) = value {
            target = target.query(key, value);
        }
    }
    let body = Client::shared().docker("GET", &target, None)?;
    output::streams(body, info["Config"]["Tty"].as_bool().unwrap_or(false))?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct DiffArgs {
    #[arg(value_name = "CONTAINER")]
    name: String,
}

pub(super) fn diff(args: &DiffArgs) -> Result<u8> {
    let changes = output::get(["containers", &args.name, "changes"])?;
    for change in changes.as_array().into_iter().flatten() {
        let kind = match change["Kind"].as_u64() {
            Some(0) => 'C',
            Some(1) => 'A',
            _ => 'D',
        };
        render::line(&format!(
            "{kind} {}",
            change["Path"].as_str().unwrap_or_default()
        ))?;
    }
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    #[arg(value_name = "CONTAINER")]
    name: String,
    /// Options of ps, which have no effect
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(super) fn top(args: &TopArgs) -> Result<u8> {
    let target = of(&args.name, "top").query("ps_args", args.options.join(" "));
    let answer = output::fetch(&target)?;
    let words = |list: &Value| -> Vec<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|word| word.as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let titles = words(&answer["Titles"]);
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let mut table = render::Table::new(&titles);
    for process in answer["Processes"].as_array().into_iter().flatten() {
        table.row(words(process));
    }
    table.print()?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct StatsArgs {
    #[arg(short, long)]
    all: bool,
    #[arg(long)]
    format: Option<String>,
    /// Look once
    #[arg(long)]
    no_stream: bool,
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

pub(super) fn stats(args: &StatsArgs) -> Result<u8> {
    loop {
        let names = if args.names.is_empty() {
            let target = Target::docker(["containers", "json"]).query("all", u8::from(args.all));
            let list = output::fetch(&target)?;
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(|container| container["Id"].as_str().map(str::to_owned))
                .collect()
        } else {
            args.names.clone()
        };
        let rows = names
            .iter()
            .map(|name| usage(name, args.no_trunc))
            .collect::<Result<Vec<_>>>()?;
        super::list::STATS.print(args.format.as_deref(), false, &rows)?;
        if args.no_stream {
            return Ok(0);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the display is renewed by the clock"
        )]
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn usage(name: &str, whole: bool) -> Result<Value> {
    let stats = output::fetch(&of(name, "stats").query("stream", 0))?;
    let number = |pointer: &str| {
        stats
            .pointer(pointer)
            .and_then(Value::as_f64)
            .unwrap_or(0.0)
    };
    let used =
        number("/cpu_stats/cpu_usage/total_usage") - number("/precpu_stats/cpu_usage/total_usage");
    let passed = number("/cpu_stats/system_cpu_usage") - number("/precpu_stats/system_cpu_usage");
    let cpus = number("/cpu_stats/online_cpus");
    let percent = if passed > 0.0 {
        used / passed * cpus * 100.0
    } else {
        0.0
    };
    let memory = number("/memory_stats/usage") - number("/memory_stats/stats/inactive_file");
    let limit = number("/memory_stats/limit");
    let bytes = |value: f64| shedbox_spec::size::format_bytes_binary(value.max(0.0) as u64);
    let id = stats["id"].as_str().unwrap_or_default();
    Ok(json!({
        "Container": name,
        "Name": stats["name"].as_str().unwrap_or_default().trim_start_matches('/'),
        "ID": if whole { id } else { output::short(id) },
        "CPUPerc": format!("{percent:.2}%"),
        "MemUsage": format!("{} / {}", bytes(memory), bytes(limit)),
        "MemPerc": format!("{:.2}%", if limit > 0.0 { memory / limit * 100.0 } else { 0.0 }),
        "NetIO": "0B / 0B",
        "BlockIO": "0B / 0B",
        "PIDs": stats["pids_stats"]["current"].to_string(),
    }))
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// File to write instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    #[arg(value_name = "CONTAINER")]
    name: String,
}

pub(super) fn export(args: &ExportArgs) -> Result<u8> {
    let body = Client::shared().docker("GET", &of(&args.name, "export"), None)?;
    output::archive(body, args.output.as_deref())?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct CommitArgs {
    #[arg(short, long)]
    author: Option<String>,
    #[arg(short, long)]
    change: Vec<String>,
    #[arg(short, long)]
    message: Option<String>,
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", default_value = "true", require_equals = true)]
    pause: bool,
    #[arg(value_name = "CONTAINER")]
    name: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

pub(super) fn commit(args: &CommitArgs) -> Result<u8> {
    let mut target = Target::docker(["commit"])
        .query("container", &args.name)
        .query("pause", args.pause);
    if let Some(reference) = &args.reference {
        let (repository, tag) = super::image::split(reference);
        target = target.query("repo", repository).query("tag", tag);
    }
    for (key, value) in [("author", &args.author), ("comment", &args.message)] {
        if let Some(value) = value {
            target = target.query(key, value);
        }
    }
    for change in &args.change {
        target = target.query("changes", change);
    }
    let answer = post(&target, None)?;
    let id = answer["Id"]
        .as_str()
        .ok_or_else(|| anyhow!("the daemon gave no id"))?;
    render::line(id)?;
    std::io::stdout().flush()?;
    Ok(0)
}
