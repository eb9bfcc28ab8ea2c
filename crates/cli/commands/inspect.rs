//! `shedbox inspect`.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use shedbox_client::{Client, Kind, Sandbox};
use shedbox_spec::Error;
use shedbox_spec::api::{ImageDetail, SandboxInfo};
use shedbox_spec::features::Features;

use crate::{render, report};

/// What a name may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    Sandbox,
    Image,
}

/// Output formats, for symmetry with the listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
}

/// Show everything about sandboxes or images, as one JSON array
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Look only for these
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    what: Option<What>,
    /// How to show it; JSON is all there is
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Names, references or ids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// What a name stood for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Found {
    Sandbox(Box<Inspected>),
    Image(Box<ImageDetail>),
}

/// A sandbox, and when it runs what is really in force in it.
#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(flatten)]
    info: SandboxInfo,
    features: Option<Features>,
    #[serde(rename = "NetworkSettings")]
    network_settings: serde_json::Value,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let Format::Json = args.format;
    let mut found = Vec::new();
    let mut status = 0;
    for name in &args.names {
        match inspect(name, args.what) {
            Ok(value) => found.push(value),
            Err(error) => status = report::report(&error, 1),
        }
    }
    render::json(&found)?;
    Ok(status)
}

fn look(sandbox: &Sandbox) -> shedbox_client::Result<Inspected> {
    let info = sandbox.info()?;
    let features = match sandbox.features() {
        Ok(features) => Some(features),
        // It does not run, or has just ended.
        Err(error) if error.kind() == Kind::Conflict => None,
        Err(error) => return Err(error),
    };
    let network_settings = network_settings(&info);
    Ok(Inspected {
        info,
        features,
        network_settings,
    })
}

/// As Docker has it. Source: Docker Engine API, `ContainerInspect`.
fn network_settings(info: &SandboxInfo) -> serde_json::Value {
    let mut ports = serde_json::Map::new();
    for port in &info.ports {
        let key = format!("{}/{}", port.container, port.protocol);
        let binding = json!({"HostIp": port.host_ip, "HostPort": port.host_port.to_string()});
        if let Some(bindings) = ports.entry(key).or_insert_with(|| json!([])).as_array_mut() {
            bindings.push(binding);
        }
    }
    let networks: serde_json::Map<_, _> = info
        .networks
        .iter()
        .map(|endpoint| {
            let entry = json!({
                "NetworkID": endpoint.network_id,
                "Gateway": endpoint.gateway,
                "IPAddress": endpoint.ip,
                "IPPrefixLen": endpoint.prefix,
                "IPv6Gateway": text(endpoint.gateway6),
                "GlobalIPv6Address": text(endpoint.ip6),
                "GlobalIPv6PrefixLen": endpoint.prefix6,
                "MacAddress": endpoint.mac,
                "Aliases": endpoint.aliases,
            });
            (endpoint.network.clone(), entry)
        })
        .collect();
    let first = info.networks.first();
    json!({
        "IPAddress": text(first.map(|endpoint| endpoint.ip)),
        "IPPrefixLen": first.map_or(0, |endpoint| endpoint.prefix),
        "Gateway": text(first.map(|endpoint| endpoint.gateway)),
        "MacAddress": text(first.map(|endpoint| &endpoint.mac)),
        "Ports": ports,
        "Networks": networks,
    })
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A sandbox of that name, else an image.
fn inspect(name: &str, what: Option<What>) -> Result<Found> {
    let client = Client::shared();
    if what != Some(What::Image) {
        match client.sandbox(name).and_then(|sandbox| look(&sandbox)) {
            Ok(inspected) => return Ok(Found::Sandbox(Box::new(inspected))),
            Err(error)
                if what.is_none() && matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match client.image(name) {
        Ok(image) => Ok(Found::Image(Box::new(image))),
        Err(error) if what.is_none() && error.kind() == Kind::NotFound => Err(Error::not_found(
            format!("no sandbox or image named `{name}`"),
        )
        .with_hint("`shedbox ps -a` and `shedbox images` list what there is")
        .into()),
        Err(error) => Err(error.into()),
    }
}
