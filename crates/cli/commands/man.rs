//! `shedbox man`.

use anyhow::{Context, Result};

use crate::generate;

/// Write the man pages into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory; made when missing
    dir: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    generate::write(&args.dir, generate::man_pages()?)
        .with_context(|| format!("cannot write to {}", args.dir))?;
    Ok(0)
}
