//! `shedbox keeper`: what `shedbox-keeper` does, for a single binary.

use anyhow::Result;

/// Own the user namespace and clone generations; started by the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(Args {}: &Args) -> Result<u8> {
    Ok(u8::from(shedbox_runtime::keeper::main() != 0))
}
