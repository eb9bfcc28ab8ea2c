//! `shedbox update`.

use anyhow::Result;
use shedbox_spec::Error;

use super::for_each_sandbox;
use crate::limit_options::ResourceOptions;
use crate::network_options::EgressOptions;
use crate::report;

/// Change limits and egress policies of sandboxes, at once when they run
///
/// Limits that are not named stay as they are; an egress policy takes the place of the one before, as with `egress set`.
/// A reset keeps both.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    resources: ResourceOptions,
    #[command(flatten)]
    egress: EgressOptions,
    /// Names or ids
    #[arg(required = true, value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let change = args.resources.spec()?;
    let egress = args.egress.policy()?;
    if change.is_empty() && egress.is_none() {
        return Err(Error::invalid("no limit and no egress policy was named")
            .with_hint("for example `shedbox update --memory 1g NAME`")
            .into());
    }
    for_each_sandbox(&args.sandboxes, |sandbox| {
        // First: one on no network has none, and is left as it is.
        if egress.is_some() {
            sandbox.set_egress(egress.clone())?;
        }
        if change.is_empty() {
            return Ok(());
        }
        for warning in sandbox.update(&change)?.warnings {
            report::say(&format!("warning: {warning}"));
        }
        Ok(())
    })
}
