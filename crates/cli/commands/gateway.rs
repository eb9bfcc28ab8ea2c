//! `shedbox gateway`: the process in which the networks of all sandboxes meet.

use std::path::PathBuf;

use anyhow::Result;
use shedbox_linux::fd;
use shedbox_network::gateway::{self, Options};
use shedbox_network::starter;

/// Number at which the daemon hands the listening socket over.
const LISTENER_FD: i32 = 3;

/// Connect sandboxes; started by the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The audit log of egress policies
    audit: PathBuf,
}

/// Start pasta for the gateway; started by it
#[derive(Debug, clap::Args)]
pub(crate) struct UplinkArgs {}

/// Runs it until the gateway has gone.
pub(crate) fn run_uplink(_: &UplinkArgs) -> Result<u8> {
    starter::run()?;
    Ok(0)
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let listener = fd::adopt_listener(LISTENER_FD)?;
    let options = Options {
        listener,
        audit: args.audit.clone(),
    };
    Ok(u8::from(
        gateway::run(options) != std::process::ExitCode::SUCCESS,
    ))
}
