//! `shedbox wait`.

use anyhow::Result;
use shedbox_client::Client;

use crate::{render, report};

/// Wait until sandboxes do not run, and print the exit statuses of their main processes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let client = Client::shared();
    let mut status = 0;
    for name in &args.sandboxes {
        match client.sandbox(name).and_then(|sandbox| sandbox.wait()) {
            Ok(result) => render::line(&result.exit_code.to_string())?,
            Err(error) => status = report::report(&error.into(), 1),
        }
    }
    Ok(status)
}
