//! Images: pull one and watch, look at it, save it, list all.
//!
//! `cargo run --example images [REFERENCE]`; without a reference only the list.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::io;

use shedbox_client::spec::api::{PullEvent, PullPolicy, PullRequest};
use shedbox_client::{
    ArchiveFormat, Client, Error, Image, Result, Sandbox, SandboxSpec, auth_sources,
};

fn main() -> Result<()> {
    if let Some(reference) = std::env::args().nth(1) {
        pull(&reference)?;
        let image = Image::open(&reference)?;
        let detail = image.detail()?;
        println!(
            "{} for {}/{}, {} layers",
            image.id().short(),
            detail.os,
            detail.architecture,
            detail.layers.len()
        );

        let mut archive = image.save(ArchiveFormat::Oci)?;
        let bytes = io::copy(&mut archive, &mut io::sink()).map_err(|source| Error::Io {
            doing: "save the image".to_owned(),
            source,
        })?;
        println!("{bytes} bytes as an OCI layout");

        let sandbox = Sandbox::create(SandboxSpec::image(reference))?;
        println!("true says {}", sandbox.command("true").status()?);
    }
    for image in Image::list()? {
        println!(
            "{} {}",
            image.id().short(),
            image.summary().references.join(" ")
        );
    }
    Ok(())
}

fn pull(reference: &str) -> Result<()> {
    let request = PullRequest {
        reference: reference.to_owned(),
        platform: None,
        policy: PullPolicy::Missing,
        auth: auth_sources(),
    };
    let image = Client::shared().pull(&request, &mut |event| match event {
        PullEvent::Resolved {
            reference, layers, ..
        } => println!("{reference}: {} layers", layers.len()),
        PullEvent::Warning { message } => println!("warning: {message}"),
        PullEvent::Layer { .. } | PullEvent::Done { .. } | PullEvent::Failed { .. } => {}
    })?;
    println!("pulled {}", image.digest);
    Ok(())
}
