//! `shedbox rm`.

use anyhow::Result;
use shedbox_client::{Client, Kind};

use super::for_each;

/// Remove sandboxes and what was written in them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove also those that run; one that does not exist is no error
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let client = Client::shared();
    for_each(&args.sandboxes, |name| {
        match client.sandbox(name).and_then(|sandbox| sandbox.remove_with(args.force)) {
            Err(error) if args.force && error.kind() == Kind::NotFound => Ok(()),
            other => Ok(other?),
        }
    })
}
