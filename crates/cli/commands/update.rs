//! `shedbox update`.

use anyhow::Result;
use shedbox_spec::Error;

use super::for_each_sandbox;
use crate::limit_options::ResourceOptions;
use crate::report;

/// Change limits of sandboxes, at once when they run
///
/// Limits that are not named stay as they are, and a reset keeps them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    resources: ResourceOptions,
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let change = args.resources.spec()?;
    if change.is_empty() {
        return Err(Error::invalid("no limit was named")
            .with_hint("for example `shedbox update --memory 1g NAME`")
            .into());
    }
    for_each_sandbox(&args.sandboxes, |sandbox| {
        for warning in sandbox.update(&change)?.warnings {
            report::say(&format!("warning: {warning}"));
        }
        Ok(())
    })
}
