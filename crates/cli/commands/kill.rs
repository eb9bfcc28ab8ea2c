//! `shedbox kill`.

use anyhow::Result;
use shedbox_spec::signal;

use super::for_each_sandbox;

/// Send a signal to the main process of sandboxes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal by name or number
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let signal = signal::parse(&args.signal)?;
    for_each_sandbox(&args.sandboxes, |sandbox| Ok(sandbox.kill(signal)?))
}
