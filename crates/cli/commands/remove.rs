//! `shedbox rm`.

use anyhow::Result;
use shedbox_client::{Client, Kind};

use crate::{render, report};

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
    let mut status = 0;
    for name in &args.sandboxes {
        match client
            .sandbox(name)
            .and_then(|sandbox| sandbox.remove_with(args.force))
        {
            Ok(()) => render::line(name)?,
            Err(error) if args.force && error.kind() == Kind::NotFound => {}
            Err(error) => status = report::report(&error.into(), 1),
        }
    }
    Ok(status)
}
