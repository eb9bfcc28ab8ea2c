//! `shedbox version`.

use anyhow::Result;
use serde::Serialize;
use shedbox_client::Client;
use shedbox_spec::api::Version;

use crate::render::{self, Format, Table};

/// Show the versions of this program and of the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Versions {
    client: &'static str,
    /// Absent when none runs.
    daemon: Option<Version>,
}

/// Runs it. A daemon that does not run is not started for this.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let client = Client::shared();
    let daemon = if client.daemon_is_running()? {
        Some(client.version()?)
    } else {
        None
    };
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        daemon,
    };
    if args.format == Format::Json {
        render::json(&versions)?;
        return Ok(0);
    }
    let mut table = Table::new(&["PART", "VERSION", "NOTES"]);
    table.row(["client", versions.client, ""]);
    match &versions.daemon {
        Some(daemon) => {
            let notes = format!(
                "pid {}, kernel {}, {}, root {}",
                daemon.pid, daemon.kernel, daemon.platform, daemon.root
            );
            table.row(["daemon", &daemon.version, &notes]);
        }
        None => table.row(["daemon", "-", "not running"]),
    }
    table.print()?;
    Ok(0)
}
