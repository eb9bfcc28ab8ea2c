//! `shedbox load`.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use shedbox_client::Client;
use shedbox_spec::Error;

use crate::progress::Progress;
use crate::render;

/// Take in images from an archive: what `docker save` writes, or an OCI layout
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File or directory; standard input when absent
    #[arg(short, long, value_name = "PATH")]
    input: Option<String>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let client = Client::shared();
    let mut progress = Progress::new(args.quiet);
    let mut on_event = |event: &_| progress.show(event);
    let images = match args.input.as_deref() {
        Some(path) if path != "-" => {
            // Links are not resolved: the directory of a layout may name its image.
            let whole = std::fs::metadata(path)
                .and_then(|_| std::path::absolute(path))
                .with_context(|| format!("cannot read {path}"))?;
            let whole = whole.into_os_string().into_string().map_err(|path| {
                Error::invalid(format!("the path {} is not UTF-8", path.display()))
            })?;
            client
                .load_path(&whole, &mut on_event)
                .with_context(|| format!("cannot take in {path}"))?
        }
        _ => {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(
                    Error::invalid("standard input is a terminal, not an archive")
                        .with_hint("name the archive with `--input`, or redirect it")
                        .into(),
                );
            }
            client.load(&mut stdin.lock(), &mut on_event)?
        }
    };
    for image in images {
        if image.references.is_empty() {
            render::line(&format!("Loaded image ID: {}", image.id))?;
        }
        for reference in image.references {
            render::line(&format!("Loaded image: {reference}"))?;
        }
    }
    Ok(0)
}
