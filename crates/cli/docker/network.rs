//! Networks.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};
use shedbox_client::Target;

use super::output::{self, ListFlags, Listing, for_each, post};
use super::{inspect, list, system};
use crate::render;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a network
    Create(CreateArgs),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Show networks as JSON
    Inspect(inspect::OneKindArgs),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    /// Connect a container
    Connect(ConnectArgs),
    /// Disconnect a container
    Disconnect(DisconnectArgs),
    /// Remove networks that nothing uses
    Prune(system::PruneArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    #[arg(long)]
    attachable: bool,
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    #[arg(long)]
    gateway: Vec<String>,
    #[arg(long)]
    internal: bool,
    #[arg(long)]
    ip_range: Vec<String>,
    #[arg(long)]
    ipv6: bool,
    #[arg(long)]
    label: Vec<String>,
    #[arg(short, long)]
    opt: Vec<String>,
    #[arg(long)]
    subnet: Vec<String>,
    #[arg(value_name = "NETWORK")]
    name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    flags: ListFlags,
    #[arg(long)]
    no_trunc: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "NETWORK")]
    names: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ConnectArgs {
    #[arg(long)]
    alias: Vec<String>,
    #[arg(long)]
    ip: Option<String>,
    #[arg(long)]
    ip6: Option<String>,
    #[arg(long)]
    link: Vec<String>,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct DisconnectArgs {
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

const NETWORKS: Listing = Listing {
    headers: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    default: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    quiet: "{{.ID}}",
};

pub(super) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Create(args) => create(&args),
        Command::Ls(args) => show(&args),
        Command::Inspect(args) => inspect::of("network", &args),
        Command::Rm(args) => for_each(&args.names, |name| {
            match output::delete(&Target::docker(["networks", name])) {
                Err(error)
                    if args.force
                        && super::from_daemon(&error)
                            .is_some_and(|error| error.kind == shedbox_spec::Kind::NotFound) =>
                {
                    Ok(())
                }
                other => other.map(drop),
            }
        }),
        Command::Connect(args) => {
            let body = json!({
                "Container": args.container,
                "EndpointConfig": {
                    "Aliases": args.alias,
                    "Links": args.link,
                    "IPAMConfig": {
                        "IPv4Address": args.ip.unwrap_or_default(), "IPv6Address": args.ip6.unwrap_or_default(),
                    },
                },
            });
            post(
                &Target::docker(["networks", &args.network, "connect"]),
                Some(&body),
            )?;
            Ok(0)
        }
        Command::Disconnect(args) => {
            let body = json!({"Container": args.container, "Force": args.force});
            post(
                &Target::docker(["networks", &args.network, "disconnect"]),
                Some(&body),
            )?;
            Ok(0)
        }
        Command::Prune(args) => system::prune(system::Kind::Networks, &args),
    }
}

/// `name=value` each.
pub(super) fn pairs(list: &[String]) -> BTreeMap<&str, &str> {
    list.iter()
        .map(|text| text.split_once('=').unwrap_or((text, "")))
        .collect()
}

fn create(args: &CreateArgs) -> Result<u8> {
    if args.gateway.len() > args.subnet.len() && !args.subnet.is_empty() {
        return Err(anyhow!("invalid subnet: more gateways than subnets"));
    }
    if args.subnet.is_empty() && !(args.gateway.is_empty() && args.ip_range.is_empty()) {
        return Err(anyhow!(
            "every ip-range or gateway must have a corresponding subnet"
        ));
    }
    let pools: Vec<Value> = args
        .subnet
        .iter()
        .enumerate()
        .map(|(index, subnet)| {
            let at = |list: &[String]| list.get(index).cloned().unwrap_or_default();
            json!({"Subnet": subnet, "Gateway": at(&args.gateway), "IPRange": at(&args.ip_range)})
        })
        .collect();
    let body = json!({
        "Name": args.name, "Driver": args.driver, "Internal": args.internal, "Attachable": args.attachable,
        "EnableIPv6": args.ipv6, "IPAM": {"Driver": "default", "Config": pools}, "Options": pairs(&args.opt),
        "Labels": pairs(&args.label),
    });
    let made = post(&Target::docker(["networks", "create"]), Some(&body))?;
    if let Some(warning) = made["Warning"].as_str().filter(|text| !text.is_empty()) {
        crate::report::say(&format!("WARNING: {warning}"));
    }
    render::line(made["Id"].as_str().unwrap_or_default())?;
    Ok(0)
}

fn show(args: &ListArgs) -> Result<u8> {
    let networks = args.flags.fetch(Target::docker(["networks"]), &[])?;
    let mut rows: Vec<Value> = networks
        .as_array()
        .into_iter()
        .flatten()
        .map(|network| {
            let id = network["Id"].as_str().unwrap_or_default();
            json!({
                "ID": if args.no_trunc { id } else { output::short(id) },
                "Name": network["Name"], "Driver": network["Driver"], "Scope": network["Scope"],
                "IPv6": network["EnableIPv6"].to_string(), "Internal": network["Internal"].to_string(),
                "Labels": list::labels(&network["Labels"]), "CreatedAt": network["Created"], "Label": network["Labels"],
            })
        })
        .collect();
    rows.sort_by(|a, b| a["Name"].as_str().cmp(&b["Name"].as_str()));
    args.flags.print(&NETWORKS, &rows)
}
