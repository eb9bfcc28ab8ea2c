//! The whole: versions, events, pruning, contexts.

use anyhow::{Result, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};
use shedbox_client::{Client, Target};
use shedbox_spec::size::format_bytes;
use shedbox_template::MissingKey;

use super::output::{self, ENGINE_VERSION, Listing, post};
use crate::{render, report};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how much room is taken
    Df(DfArgs),
    /// Show what there is
    Info(InfoArgs),
    /// Show what happens
    Events(EventsArgs),
    /// Remove what nothing uses
    Prune(PruneArgs),
}

pub(super) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Df(args) => disk_usage(&args),
        Command::Info(args) => info(&args),
        Command::Events(args) => events(&args),
        Command::Prune(args) => prune_all(&args),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {
    #[arg(short, long)]
    format: Option<String>,
}

pub(super) fn version(args: &VersionArgs) -> Result<u8> {
    let server = output::get(["version"])?;
    let client = json!({
        "Version": ENGINE_VERSION, "ApiVersion": server["ApiVersion"], "DefaultAPIVersion": server["ApiVersion"],
        "GitCommit": server["GitCommit"], "GoVersion": "none", "Os": "linux", "Arch": server["Arch"], "BuildTime": "",
        "Context": "default", "Platform": {"Name": server["Platform"]["Name"]},
    });
    let both = json!({"Client": client, "Server": server});
    if let Some(format) = &args.format {
        output::template(format, &both, MissingKey::Error)?;
        return Ok(0);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    render::line(&format!(
        "Client: shedbox {}\n Version:           {}\n API version:       {}\n OS/Arch:           linux/{}\n Context:           default\n\nServer: {}\n Engine:\n  Version:          {}\n  API version:      {} (minimum version {})\n  OS/Arch:          linux/{}\n  Experimental:     false",
        env!("CARGO_PKG_VERSION"),
        ENGINE_VERSION,
        text(&server["ApiVersion"]),
        text(&server["Arch"]),
        text(&server["Platform"]["Name"]),
        text(&server["Version"]),
        text(&server["ApiVersion"]),
        text(&server["MinAPIVersion"]),
        text(&server["Arch"]),
    ))?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    #[arg(short, long)]
    format: Option<String>,
}

pub(super) fn info(args: &InfoArgs) -> Result<u8> {
    let mut info = output::get(["info"])?;
    info["ClientInfo"] =
        json!({"Debug": false, "Context": "default", "Plugins": [], "Warnings": null});
    if let Some(format) = &args.format {
        output::template(format, &info, MissingKey::Error)?;
        return Ok(0);
    }
    let text = |name: &str| match &info[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![
        "Client:".to_owned(),
        " Context:    default".to_owned(),
        String::new(),
        "Server:".to_owned(),
    ];
    for (title, name) in [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Server Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Name", "Name"),
        ("ID", "ID"),
        ("Docker Root Dir", "DockerRootDir"),
    ] {
        lines.push(format!(" {title}: {}", text(name)));
    }
    render::line(&lines.join("\n"))?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    #[arg(long)]
    format: Option<String>,
    #[arg(long)]
    since: Option<String>,
    #[arg(long)]
    until: Option<String>,
}

pub(super) fn events(args: &EventsArgs) -> Result<u8> {
    let mut target = Target::docker(["events"]);
    for (key, value) in [("since", &args.since), ("until", &args.until)] {
        if let Some(value) = value {
            target = target.query(key, value);
        }
    }
    let body = Client::shared().docker("GET", &output::filtered(target, &args.filter)?, None)?;
    output::lines(body, |event| {
        if let Some(format) = &args.format {
            return output::template(format, event, MissingKey::Error);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let attributes = super::list::labels(&event["Actor"]["Attributes"]).replace(',', ", ");
        let at =
            jiff::Timestamp::from_nanosecond(i128::from(event["timeNano"].as_i64().unwrap_or(0)))?;
        render::line(&format!(
            "{at} {} {} {} ({attributes})",
            text(&event["Type"]),
            text(&event["Action"]),
            text(&event["Actor"]["ID"]),
        ))
    })?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct DfArgs {
    #[arg(long)]
    format: Option<String>,
    #[arg(short, long)]
    verbose: bool,
}

const DF: Listing = Listing {
    headers: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    default: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    quiet: "{{.Type}}",
};

fn disk_usage(args: &DfArgs) -> Result<u8> {
    let usage = output::get(["system", "df"])?;
    let list = |name: &str| usage[name].as_array().cloned().unwrap_or_default();
    let sum = |list: &[Value], pointer: &str| -> u64 {
        list.iter()
            .filter_map(|item| item.pointer(pointer)?.as_u64())
            .sum()
    };
    let (images, containers, volumes) = (list("Images"), list("Containers"), list("Volumes"));
    let running = containers
        .iter()
        .filter(|container| container["State"] == "running")
        .count();
    let used: std::collections::BTreeSet<&str> = containers
        .iter()
        .filter_map(|container| container["ImageID"].as_str())
        .collect();
    let in_use = volumes
        .iter()
        .filter(|volume| volume["UsageData"]["RefCount"].as_u64() > Some(0))
        .count();
    let row = |kind: &str, total: usize, active: usize, size: u64| {
        json!({
            "Type": kind, "TotalCount": total.to_string(), "Active": active.to_string(), "Size": format_bytes(size),
            "Reclaimable": if active == total { "0B".to_owned() } else { format_bytes(size) },
        })
    };
    let rows = [
        row(
            "Images",
            images.len(),
            used.len(),
            usage["LayersSize"].as_u64().unwrap_or(0),
        ),
        row(
            "Containers",
            containers.len(),
            running,
            sum(&containers, "/SizeRw"),
        ),
        row(
            "Local Volumes",
            volumes.len(),
            in_use,
            sum(&volumes, "/UsageData/Size"),
        ),
        row("Build Cache", 0, 0, 0),
    ];
    DF.print(args.format.as_deref(), false, &rows)?;
    Ok(0)
}

/// What is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Containers,
    Images,
    Networks,
    Volumes,
}

#[derive(Debug, clap::Args)]
pub(super) struct PruneArgs {
    /// Also what has a name and is not used
    #[arg(short, long)]
    all: bool,
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// With `system prune`: anonymous volumes as well
    #[arg(long)]
    volumes: bool,
}

pub(super) fn prune(kind: Kind, args: &PruneArgs) -> Result<u8> {
    let what = match kind {
        Kind::Containers => "WARNING! This will remove all stopped containers.",
        Kind::Images => {
            "WARNING! This will remove images without at least one container associated to them."
        }
        Kind::Networks => {
            "WARNING! This will remove all custom networks not used by at least one container."
        }
        Kind::Volumes => "WARNING! This will remove volumes not used by at least one container.",
    };
    if !args.force && !report::confirm(what)? {
        return Ok(0);
    }
    let bytes = prune_one(kind, args)?;
    if kind != Kind::Networks {
        render::line(&format!("Total reclaimed space: {}", format_bytes(bytes)))?;
    }
    Ok(0)
}

fn prune_one(kind: Kind, args: &PruneArgs) -> Result<u64> {
    let mut filters = args.filter.clone();
    let (path, title, field) = match kind {
        Kind::Containers => ("containers", "Deleted Containers:", "ContainersDeleted"),
        Kind::Images => ("images", "Deleted Images:", "ImagesDeleted"),
        Kind::Networks => ("networks", "Deleted Networks:", "NetworksDeleted"),
        Kind::Volumes => ("volumes", "Deleted Volumes:", "VolumesDeleted"),
    };
    match kind {
        Kind::Images => filters.push(format!("dangling={}", !args.all)),
        Kind::Volumes if args.all => filters.push("all=true".to_owned()),
        _ => {}
    }
    let target = output::filtered(Target::docker([path, "prune"]), &filters)?;
    let answer = post(&target, None)?;
    let removed = answer[field].as_array().cloned().unwrap_or_default();
    if !removed.is_empty() {
        render::line(title)?;
        for item in &removed {
            match item {
                Value::String(name) => render::line(name)?,
                Value::Object(pairs) => {
                    for (word, value) in pairs {
                        render::line(&format!(
                            "{}: {}",
                            word.to_lowercase(),
                            value.as_str().unwrap_or_default()
                        ))?;
                    }
                }
                _ => {}
            }
        }
        render::line("")?;
    }
    Ok(answer["SpaceReclaimed"].as_u64().unwrap_or(0))
}

fn prune_all(args: &PruneArgs) -> Result<u8> {
    if !args.force
        && !report::confirm(
            "WARNING! This will remove all stopped containers, networks and images that nothing uses.",
        )?
    {
        return Ok(0);
    }
    let mut bytes = prune_one(Kind::Containers, args)?;
    prune_one(Kind::Networks, args)?;
    if args.volumes {
        bytes += prune_one(Kind::Volumes, args)?;
    }
    bytes += prune_one(Kind::Images, args)?;
    render::line(&format!("Total reclaimed space: {}", format_bytes(bytes)))?;
    Ok(0)
}

/// There is one: this daemon.
#[derive(Debug, Subcommand)]
pub(super) enum Context {
    /// Show its name
    Show,
    /// List it
    #[command(visible_alias = "list")]
    Ls {
        #[arg(long)]
        format: Option<String>,
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show it as JSON
    Inspect {
        #[arg(short, long)]
        format: Option<String>,
        names: Vec<String>,
    },
    /// Accepted for `default`
    Use { name: String },
}

const CONTEXTS: Listing = Listing {
    headers: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
    ],
    default: "{{.Name}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    quiet: "{{.Name}}",
};

pub(super) fn context(command: &Context) -> Result<u8> {
    let host = format!("unix://{}", Client::shared().paths().api_socket().display());
    match command {
        Context::Show => render::line("default")?,
        Context::Ls { format, quiet } => {
            let row = json!({
                "Name": "default", "Description": "shedbox", "DockerEndpoint": host, "Error": "", "Current": true,
            });
            CONTEXTS.print(format.as_deref(), *quiet, &[row])?;
        }
        Context::Inspect { format, .. } => {
            let value = json!({"Name": "default", "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": false}}});
            match format {
                Some(format) => output::template(format, &value, MissingKey::Error)?,
                None => render::json(&[value])?,
            }
        }
        Context::Use { name } if name == "default" => render::line("default")?,
        Context::Use { name } => {
            return Err(anyhow!(
                "context \"{name}\" does not exist: there is one, `default`"
            ));
        }
    }
    Ok(0)
}
