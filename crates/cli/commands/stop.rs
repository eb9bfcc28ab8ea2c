//! `shedbox stop`.

use anyhow::Result;
use shedbox_spec::size;

use super::for_each_sandbox;

/// Stop sandboxes: their processes end, what they have written stays
///
/// The main process gets its stop signal, and SIGKILL after the timeout; one that does not handle the signal is killed
/// at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Time between the stop signal and SIGKILL, in seconds or as `1m30s`; the sandbox's own when absent
    #[arg(short, long, value_name = "TIME", visible_alias = "timeout")]
    time: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let timeout = args.time.as_deref().map(size::parse_duration).transpose()?;
    for_each_sandbox(&args.sandboxes, |sandbox| Ok(sandbox.stop(timeout)?))
}
