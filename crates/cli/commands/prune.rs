//! `shedbox prune`.

use std::io::{self, BufRead, IsTerminal};

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::{Error, size};

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
    if !io::stdin().is_terminal() {
        return Err(Error::invalid("nobody is there to confirm")
            .with_hint("add `--force`")
            .into());
    }
    report::say(match (args.all, args.sandboxes) {
        (_, true) => {
            "This removes every sandbox that does not run, and images that are not used then. Go on? [y/N]"
        }
        (true, false) => "This removes every image without a sandbox. Go on? [y/N]",
        (false, false) => "This removes images and layers without a name. Go on? [y/N]",
    });
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
