//! `shedbox save`.

use std::fs::File;
use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use clap::ValueEnum;
use shedbox_client::{ArchiveFormat, Client};
use shedbox_spec::Error;

/// Forms of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// What `docker save` writes
    #[default]
    Docker,
    /// An OCI image layout
    Oci,
}

/// Write images to an archive
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File; standard output when absent
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Form of the archive
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// References or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let format = match args.format {
        Format::Docker => ArchiveFormat::Docker,
        Format::Oci => ArchiveFormat::Oci,
    };
    let to_terminal = args.output.is_none() && io::stdout().is_terminal();
    if to_terminal {
        return Err(Error::invalid("an archive is nothing for a terminal")
            .with_hint("name a file with `--output`, or redirect it")
            .into());
    }
    let mut archive = Client::shared().save(&args.images, format)?;
    match &args.output {
        None => {
            io::copy(&mut archive, &mut io::stdout().lock())?;
        }
        Some(path) => {
            // Under another name until it is whole.
            let partial = format!("{path}.partial-{}", std::process::id());
            let written = File::create_new(&partial)
                .and_then(|mut file| io::copy(&mut archive, &mut file))
                .and_then(|_| std::fs::rename(&partial, path));
            if written.is_err() {
                // The first error counts; a partial file that stays is named as one.
                let _ = std::fs::remove_file(&partial);
            }
            written.with_context(|| format!("cannot write {path}"))?;
        }
    }
    Ok(0)
}
