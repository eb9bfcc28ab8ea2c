//! `shedbox restore`.

use anyhow::Result;
use shedbox_client::Client;

use crate::render;

/// Go back to a snapshot of a sandbox: what was written since and every process go
///
/// As a reset, but to other files. A reset afterwards goes back to what the sandbox was made or forked from, not to the
/// snapshot. A sandbox that does not run is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id
    sandbox: String,
    /// Name of the snapshot
    tag: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    Client::shared()
        .sandbox(&args.sandbox)?
        .restore(&args.tag)?;
    render::line(&args.sandbox)?;
    Ok(0)
}
