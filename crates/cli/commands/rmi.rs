//! `shedbox rmi`.

use anyhow::Result;
use shedbox_client::{Client, Kind};

use crate::{render, report};

/// Remove references, and images with their last one
///
/// Layers that no other image has go as well. An image that a sandbox uses stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove also an image that several references name; one that does not exist is no error
    #[arg(short, long)]
    force: bool,
    /// References or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let client = Client::shared();
    let mut status = 0;
    for image in &args.images {
        match client.remove_image(image, args.force) {
            Ok(removed) => {
                for reference in removed.untagged {
                    render::line(&format!("Untagged: {reference}"))?;
                }
                for digest in removed.deleted {
                    render::line(&format!("Deleted: {digest}"))?;
                }
            }
            Err(error) if args.force && error.kind() == Kind::NotFound => {}
            Err(error) => status = report::report(&error.into(), 1),
        }
    }
    Ok(status)
}
