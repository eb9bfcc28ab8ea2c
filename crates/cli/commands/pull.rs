//! `shedbox pull`.

use anyhow::Result;
use shedbox_client::{Client, auth_sources};
use shedbox_spec::Reference;
use shedbox_spec::api::{PullEvent, PullPolicy, PullRequest};

use crate::progress::Progress;
use crate::{render, report};

/// Fetch an image from a registry
///
/// Layers that are there already are not fetched again. The reference is printed when the image is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Platform to choose from an image index, for example `linux/arm64`
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Reference: `[REGISTRY/]NAME[:TAG][@DIGEST]`
    image: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    Reference::parse(&args.image)?;
    let request = PullRequest {
        reference: args.image.clone(),
        platform: args.platform.clone(),
        policy: PullPolicy::Always,
        auth: auth_sources(),
    };
    let mut progress = Progress::new(args.quiet);
    let mut resolved = None;
    let mut up_to_date = false;
    let image = Client::shared().pull(&request, &mut |event| {
        progress.show(event);
        match event {
            PullEvent::Resolved { reference, .. } => resolved = Some(reference.clone()),
            PullEvent::Done {
                up_to_date: already,
                ..
            } => up_to_date = *already,
            _ => {}
        }
    })?;
    drop(progress);
    let reference = resolved.unwrap_or_else(|| args.image.clone());
    if !args.quiet {
        report::say(&format!("Digest: {}", image.digest));
        let status = if up_to_date {
            "Image is up to date for"
        } else {
            "Downloaded newer image for"
        };
        report::say(&format!("Status: {status} {reference}"));
    }
    render::line(&reference)?;
    Ok(0)
}
