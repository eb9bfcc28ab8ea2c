//! `shedbox pause` and `shedbox unpause`.

use anyhow::Result;

use super::for_each_sandbox;

/// Stop all processes of sandboxes where they are
///
/// Files can still be copied, and stop, reset and rm work. New commands are refused until `shedbox unpause`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Let the processes of paused sandboxes go on
#[derive(Debug, clap::Args)]
pub(crate) struct UnpauseArgs {
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    for_each_sandbox(&args.sandboxes, |sandbox| Ok(sandbox.pause()?))
}

/// Runs the other one.
pub(crate) fn run_unpause(args: &UnpauseArgs) -> Result<u8> {
    for_each_sandbox(&args.sandboxes, |sandbox| Ok(sandbox.unpause()?))
}
