//! `shedbox reclaim`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::size::{format_bytes_binary, parse_bytes};

use crate::{render, report};

/// Have a sandbox give memory back, page cache first, without ending anything
///
/// Prints how many bytes less it has afterwards. The exit status is 1 when there was less to find than was asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id
    sandbox: String,
    /// How much, for example `64m`
    bytes: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let bytes = parse_bytes(&args.bytes)?;
    let found = Client::shared().sandbox(&args.sandbox)?.reclaim(bytes)?;
    render::line(&found.bytes.to_string())?;
    if found.complete {
        return Ok(0);
    }
    report::say(&format!(
        "warning: only {} of {} could be taken back: the rest is in use and there is no swap for it",
        format_bytes_binary(found.bytes),
        format_bytes_binary(bytes)
    ));
    Ok(1)
}
