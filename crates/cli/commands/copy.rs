//! `shedbox cp`.

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Result;
use shedbox_client::{Client, CopyOptions};
use shedbox_spec::Error;

use crate::copy_path::CopyPath;
use crate::report;

/// Copy files and directories between a sandbox and the host
///
/// One end is `SANDBOX:PATH`, the other a path of the host, or `-` for a tar stream. Rules as those of `cp -r`: into the
/// destination when it is a directory, to that name otherwise; a source that ends in `/.` stands for what is in it.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "shedbox cp [OPTIONS] SANDBOX:PATH DEST|-\n       shedbox cp [OPTIONS] SOURCE|- SANDBOX:PATH"
)]
pub(crate) struct Args {
    /// Keep owners, and setuid and setgid bits
    #[arg(short, long)]
    archive: bool,
    /// Follow a symbolic link that is the source itself
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Accepted for Docker's sake: nothing is shown anyway
    #[arg(short, long)]
    quiet: bool,
    /// From where
    source: String,
    /// Where to
    dest: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let options = CopyOptions {
        follow: args.follow_link,
        archive: args.archive,
    };
    let client = Client::shared();
    match (CopyPath::parse(&args.source), CopyPath::parse(&args.dest)) {
        (CopyPath::Sandbox { sandbox, path }, CopyPath::Host(host)) => {
            let left_out = client
                .sandbox(&sandbox)?
                .copy_out(&path, Path::new(&host), options)?;
            for name in left_out {
                report::say(&format!("warning: {name}: devices are not copied"));
            }
        }
        (CopyPath::Sandbox { sandbox, path }, CopyPath::Stream) => {
            if io::stdout().is_terminal() {
                return Err(Error::invalid("a tar stream is nothing for a terminal")
                    .with_hint("redirect it: `shedbox cp SANDBOX:PATH - >archive.tar`")
                    .into());
            }
            let path = if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            };
            let mut archive = client.sandbox(&sandbox)?.pack(&path, options.follow)?;
            io::copy(&mut archive, &mut io::stdout().lock())?;
        }
        (CopyPath::Host(host), CopyPath::Sandbox { sandbox, path }) => {
            client
                .sandbox(&sandbox)?
                .copy_in(Path::new(&host), &path, options)?;
        }
        (CopyPath::Stream, CopyPath::Sandbox { sandbox, path }) => {
            let path = if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            };
            client
                .sandbox(&sandbox)?
                .unpack(&path, &mut io::stdin().lock(), options)?;
        }
        (CopyPath::Sandbox { .. }, CopyPath::Sandbox { .. }) => {
            return Err(
                Error::invalid("copying between two sandboxes is not supported")
                    .with_hint("pipe it: `shedbox cp A:PATH - | shedbox cp - B:DIR`")
                    .into(),
            );
        }
        _ => {
            return Err(Error::invalid("one end of a copy must be in a sandbox")
                .with_hint("write it as `SANDBOX:PATH`")
                .into());
        }
    }
    Ok(0)
}
