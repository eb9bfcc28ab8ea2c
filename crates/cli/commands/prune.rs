//! `shedbox prune`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::size;

use crate::{render, report};

/// Remove images and layers that nothing refers to
///
/// What a sandbox uses always stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also images that have a name but no sandbox
    #[arg(short, long)]
    all: bool,
    /// Also sandboxes that do not run, before that
    #[arg(long)]
    sandboxes: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    if !args.force && !confirmed(args)? {
        return Ok(1);
    }
    let client = Client::shared();
    let mut bytes = 0;
    let mut removed = Vec::new();
    if args.sandboxes {
        let pruned = client.prune_sandboxes()?;
        bytes += pruned.bytes;
        removed.extend(pruned.removed);
    }
    let pruned = client.prune_images(args.all)?;
    bytes += pruned.bytes;
    removed.extend(pruned.removed);
    for name in removed {
        render::line(&name)?;
    }
    report::say(&format!(
        "Total reclaimed space: {}",
        size::format_bytes(bytes)
    ));
    Ok(0)
}

fn confirmed(args: &Args) -> Result<bool> {
    report::confirm(match (args.all, args.sandboxes) {
        (_, true) => {
            "This removes every sandbox that does not run, and images that are not used then."
        }
        (true, false) => "This removes every image without a sandbox.",
        (false, false) => "This removes images and layers without a name.",
    })
}
