//! Volumes.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use shedbox_client::Target;

use super::output::{self, ListFlags, Listing, for_each, post};
use super::{inspect, list, network, system};
use crate::render;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a volume
    Create(CreateArgs),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(ListFlags),
    /// Show volumes as JSON
    Inspect(inspect::OneKindArgs),
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    /// Remove volumes that nothing uses
    Prune(system::PruneArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    #[arg(short, long, default_value = "local")]
    driver: String,
    #[arg(long)]
    label: Vec<String>,
    #[arg(short, long)]
    opt: Vec<String>,
    #[arg(long = "name", hide = true)]
    named: Option<String>,
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,
}

const VOLUMES: Listing = Listing {
    headers: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Size", "SIZE"),
        ("Links", "LINKS"),
    ],
    default: "{{.Driver}}\t{{.Name}}",
    quiet: "{{.Name}}",
};

pub(super) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Create(args) => {
            let name = args.name.or(args.named).unwrap_or_default();
            let body = json!({
                "Name": name, "Driver": args.driver, "DriverOpts": network::pairs(&args.opt),
                "Labels": network::pairs(&args.label),
            });
            let made = post(&Target::docker(["volumes", "create"]), Some(&body))?;
            render::line(made["Name"].as_str().unwrap_or_default())?;
            Ok(0)
        }
        Command::Ls(args) => show(&args),
        Command::Inspect(args) => inspect::of("volume", &args),
        Command::Rm(args) => for_each(&args.names, |name| {
            let target = Target::docker(["volumes", name]);
            let target = if args.force {
                target.query("force", 1)
            } else {
                target
            };
            output::delete(&target).map(drop)
        }),
        Command::Prune(args) => system::prune(system::Kind::Volumes, &args),
    }
}

fn show(flags: &ListFlags) -> Result<u8> {
    let answer = flags.fetch(Target::docker(["volumes"]), &[])?;
    let rows: Vec<Value> = answer["Volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| {
            json!({
                "Name": volume["Name"], "Driver": volume["Driver"], "Scope": volume["Scope"],
                "Mountpoint": volume["Mountpoint"], "Labels": list::labels(&volume["Labels"]), "Size": "N/A",
                "Links": "N/A", "Label": volume["Labels"],
            })
        })
        .collect();
    flags.print(&VOLUMES, &rows)
}
