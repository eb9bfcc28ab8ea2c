//! `shedbox keeper`: what `shedbox-keeper` does, for a single binary.

/// Own the user namespace and clone generations; started by the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs it.
pub(crate) fn run(Args {}: &Args) -> u8 {
    u8::from(shedbox_runtime::keeper::main() != 0)
}
