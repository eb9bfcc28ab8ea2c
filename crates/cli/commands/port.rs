//! `shedbox port`.

use std::net::SocketAddr;

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::Error;
use shedbox_spec::network::port::{Protocol, PublishedPort};

use crate::render;

/// Show the published ports of a sandbox, or where one port of it is published
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id
    #[arg(value_name = "SANDBOX")]
    sandbox: String,
    /// Port inside
    #[arg(value_name = "PORT[/udp]")]
    port: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let info = Client::shared().sandbox(&args.sandbox)?.info()?;
    let Some(text) = &args.port else {
        for port in &info.ports {
            render::line(&format!(
                "{}/{} -> {}",
                port.container,
                port.protocol,
                host(port)
            ))?;
        }
        return Ok(0);
    };
    let (number, protocol) = match text.split_once('/') {
        Some((number, protocol)) => (number, Protocol::parse(protocol)?),
        None => (text.as_str(), Protocol::Tcp),
    };
    let number: u16 = number
        .parse()
        .map_err(|_| Error::invalid(format!("`{}` is not a port", text.escape_debug())))?;
    let fitting: Vec<_> = info
        .ports
        .iter()
        .filter(|port| port.container == number && port.protocol == protocol)
        .collect();
    if fitting.is_empty() {
        return Err(Error::not_found(format!(
            "no public port '{number}/{protocol}' published for {}",
            info.name
        ))
        .into());
    }
    for port in fitting {
        render::line(&host(port))?;
    }
    Ok(0)
}

fn host(port: &PublishedPort) -> String {
    SocketAddr::new(port.host_ip, port.host_port).to_string()
}
