//! `shedbox diff`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::api::ChangeKind;

use crate::render::{self, Format, printable};

/// Show what differs from the image: A added, C changed, D deleted
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Name or id
    sandbox: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let changes = Client::shared().sandbox(&args.sandbox)?.diff()?;
    if args.format == Format::Json {
        render::json(&changes)?;
        return Ok(0);
    }
    for change in &changes {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'C',
            ChangeKind::Deleted => 'D',
        };
        render::line(&format!("{letter} {}", printable(&change.path)))?;
    }
    Ok(0)
}
