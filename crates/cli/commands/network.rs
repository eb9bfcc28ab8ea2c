//! `shedbox network`: as Docker's.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use shedbox_client::{Client, Kind};
use shedbox_spec::Error;
use shedbox_spec::api::network::{NetworkConnect, NetworkCreate, NetworkDisconnect, NetworkInfo};
use shedbox_spec::network::subnet::Subnet;
use shedbox_spec::network::{Attachment, name, parse_ip, parse_ip6};

use crate::render::{self, Format, Table};
use crate::report;

/// Manage networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a network
    Create(CreateArgs),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Show everything about networks, as one JSON array
    Inspect {
        /// Names or ids
        #[arg(required = true, value_name = "NETWORK")]
        names: Vec<String>,
    },
    /// Remove networks that nobody is on
    #[command(visible_alias = "remove")]
    Rm {
        /// Those that are not there are no error
        #[arg(short, long)]
        force: bool,
        /// Names or ids
        #[arg(required = true, value_name = "NETWORK")]
        names: Vec<String>,
    },
    /// Connect a sandbox to one more network
    Connect {
        /// IPv4 address
        #[arg(long, value_name = "ADDRESS")]
        ip: Option<String>,
        /// IPv6 address
        #[arg(long, value_name = "ADDRESS")]
        ip6: Option<String>,
        /// Further name on the network
        #[arg(long, value_name = "NAME")]
        alias: Vec<String>,
        /// Name or id
        network: String,
        /// Name or id
        sandbox: String,
    },
    /// Disconnect a sandbox from a network
    Disconnect {
        /// One that is not connected is no error
        #[arg(short, long)]
        force: bool,
        /// Name or id
        network: String,
        /// Name or id
        sandbox: String,
    },
    /// Remove all networks that nobody is on
    Prune {
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Driver; `bridge` is the only one
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// Subnet; one that is free when absent
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<String>,
    /// Address of the gateway; the first one of the subnet when absent
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<String>,
    /// IPv6 addresses as well
    #[arg(long)]
    ipv6: bool,
    /// No way out
    #[arg(long)]
    internal: bool,
    /// Accepted for Docker's sake: sandboxes can always be connected later
    #[arg(long)]
    attachable: bool,
    /// Attach a label
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Set an option of the driver
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// Name
    name: String,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Only those that fit: `name=`, `id=`, `driver=`, `label=`, `type=custom|builtin`
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub(crate) fn run(args: Args) -> Result<u8> {
    let client = Client::shared();
    match args.command {
        Command::Create(args) => {
            let made = client.create_network(&args.request()?)?;
            render::line(&made.id)?;
        }
        Command::Ls(args) => list(&args)?,
        Command::Inspect { names } => return inspect(&names),
        Command::Rm { force, names } => {
            return super::for_each(&names, |name| match client.remove_network(name) {
                Err(error) if force && error.kind() == Kind::NotFound => Ok(()),
                other => Ok(other?),
            });
        }
        Command::Connect {
            ip,
            ip6,
            alias,
            network,
            sandbox,
        } => {
            let attachment = Attachment {
                network: network.clone(),
                ip: ip.as_deref().map(parse_ip).transpose()?,
                ip6: ip6.as_deref().map(parse_ip6).transpose()?,
                aliases: alias
                    .iter()
                    .map(|text| name::alias(text))
                    .collect::<Result<_, _>>()?,
            };
            let request = NetworkConnect {
                sandbox,
                attachment,
            };
            client.connect_network(&network, &request)?;
        }
        Command::Disconnect {
            force,
            network,
            sandbox,
        } => client.disconnect_network(&network, &NetworkDisconnect { sandbox, force })?,
        Command::Prune { force } => {
            if !force && !report::confirm("This removes every network that no sandbox is on.")? {
                return Ok(1);
            }
            let pruned = client.prune_networks()?;
            if !pruned.is_empty() {
                render::line("Deleted Networks:")?;
            }
            for name in pruned {
                render::line(&name)?;
            }
        }
    }
    Ok(0)
}

impl CreateArgs {
    fn request(&self) -> Result<NetworkCreate> {
        let pairs = |texts: &[String]| -> BTreeMap<String, String> {
            texts
                .iter()
                .map(|text| text.split_once('=').unwrap_or((text, "")))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        Ok(NetworkCreate {
            name: self.name.clone(),
            driver: self.driver.clone(),
            subnets: self
                .subnet
                .iter()
                .map(|text| Subnet::parse(text))
                .collect::<Result<_, _>>()?,
            gateway: self.gateway.as_deref().map(parse_ip).transpose()?,
            ipv6: self.ipv6,
            internal: self.internal,
            labels: pairs(&self.label),
            options: pairs(&self.opt),
        })
    }
}

fn list(args: &ListArgs) -> Result<()> {
    let mut networks = Client::shared().networks()?;
    for filter in &args.filter {
        let filter = Filter::parse(filter)?;
        networks.retain(|network| filter.fits(network));
    }
    let id = |network: &NetworkInfo| {
        let short = network.id.get(..12).filter(|_| !args.no_trunc);
        short.unwrap_or(&network.id).to_owned()
    };
    if args.quiet {
        for network in &networks {
            render::line(&id(network))?;
        }
    } else if args.format == Format::Json {
        render::json(&networks)?;
    } else {
        let mut table = Table::new(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
        for network in &networks {
            table.row([
                id(network),
                network.name.clone(),
                network.driver.clone(),
                "local".to_owned(),
            ]);
        }
        table.print()?;
    }
    Ok(())
}

/// One `--filter`.
enum Filter {
    Name(String),
    Id(String),
    Driver(String),
    Label(String, Option<String>),
    Custom(bool),
}

impl Filter {
    fn parse(text: &str) -> Result<Self> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let value = value.to_owned();
        Ok(match (key, value.as_str()) {
            ("name", _) => Self::Name(value),
            ("id", _) => Self::Id(value),
            ("driver", _) => Self::Driver(value),
            ("label", _) => match value.split_once('=') {
                Some((label, value)) => Self::Label(label.to_owned(), Some(value.to_owned())),
                None => Self::Label(value, None),
            },
            ("type", "custom") => Self::Custom(true),
            ("type", "builtin") => Self::Custom(false),
            _ => {
                return Err(Error::invalid(format!("unknown filter `{text}`"))
                    .with_hint("use name=, id=, driver=, label= or type=custom|builtin")
                    .into());
            }
        })
    }

    fn fits(&self, network: &NetworkInfo) -> bool {
        match self {
            Self::Name(part) => network.name.contains(part.as_str()),
            Self::Id(start) => network.id.starts_with(start.as_str()),
            Self::Driver(driver) => network.driver == *driver,
            Self::Label(label, value) => match (network.labels.get(label), value) {
                (Some(found), Some(value)) => found == value,
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            },
            Self::Custom(custom) => {
                let builtin = matches!(network.name.as_str(), "bridge" | "host" | "none");
                builtin != *custom
            }
        }
    }
}

fn inspect(names: &[String]) -> Result<u8> {
    let client = Client::shared();
    let mut found = Vec::new();
    let mut status = 0;
    for name in names {
        match client.network(name) {
            Ok(network) => found.push(as_docker(&network)),
            Err(error) => status = report::report(&error.into(), 1),
        }
    }
    render::json(&found)?;
    Ok(status)
}

/// In the shape of Docker's API. Source: Docker Engine API, `NetworkInspect`.
fn as_docker(network: &NetworkInfo) -> serde_json::Value {
    let mut config = Vec::new();
    if let (Some(subnet), Some(gateway)) = (network.subnet, network.gateway) {
        config.push(json!({"Subnet": subnet, "Gateway": gateway}));
    }
    if let (Some(subnet), Some(gateway)) = (network.subnet6, network.gateway6) {
        config.push(json!({"Subnet": subnet, "Gateway": gateway}));
    }
    let containers: serde_json::Map<_, _> = network
        .sandboxes
        .iter()
        .map(|member| {
            let endpoint = &member.endpoint;
            let ip6 = endpoint.ip6.map(|ip| format!("{ip}/{}", endpoint.prefix6));
            let entry = json!({
                "Name": member.name,
                "EndpointID": "",
                "MacAddress": endpoint.mac,
                "IPv4Address": format!("{}/{}", endpoint.ip, endpoint.prefix),
                "IPv6Address": ip6.unwrap_or_default(),
            });
            (member.id.clone(), entry)
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created_at,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": network.subnet6.is_some(),
        "IPAM": {"Driver": "default", "Options": {}, "Config": config},
        "Internal": network.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": containers,
        "Options": network.options,
        "Labels": network.labels,
    })
}
