//! `shedbox reset`.

use anyhow::Result;

use super::for_each_sandbox;

/// Shed everything that was written in sandboxes and every process: a fresh start under the same name
///
/// Volumes keep what was written to them, except `cow` ones, which show the host's state again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    for_each_sandbox(&args.sandboxes, |sandbox| {
        sandbox.reset()?;
        Ok(())
    })
}
