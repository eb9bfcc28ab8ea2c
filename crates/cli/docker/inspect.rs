//! `docker inspect`.

use anyhow::{Result, anyhow};
use serde_json::Value;
use shedbox_client::Target;
use shedbox_spec::Kind;
use shedbox_template::MissingKey;

use super::output;
use crate::render;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `json`, or a template
    #[arg(short, long)]
    format: Option<String>,
    /// Also how much a container has written
    #[arg(short, long)]
    size: bool,
    /// container, image, network or volume
    #[arg(long = "type")]
    kind: Option<String>,
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// Where one kind is named already.
#[derive(Debug, clap::Args)]
pub(super) struct OneKindArgs {
    /// `json`, or a template
    #[arg(short, long)]
    format: Option<String>,
    /// Also how much a container has written
    #[arg(short, long)]
    size: bool,
    /// Accepted and without effect
    #[arg(short, long, hide = true)]
    verbose: bool,
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    show(
        args.kind.as_deref(),
        args.format.as_deref(),
        args.size,
        &args.names,
    )
}

pub(super) fn of(kind: &str, args: &OneKindArgs) -> Result<u8> {
    show(Some(kind), args.format.as_deref(), args.size, &args.names)
}

fn show(kind: Option<&str>, format: Option<&str>, size: bool, names: &[String]) -> Result<u8> {
    let mut found = Vec::new();
    let mut status = 0;
    let mut complaints = Vec::new();
    for name in names {
        match find(kind, name, size) {
            Ok(value) => found.push(value),
            Err(error) => {
                status = 1;
                complaints.push(error);
            }
        }
    }
    match format {
        Some(format) if !format.is_empty() => {
            for value in &found {
                output::template(format, value, MissingKey::Error)?;
            }
            if found.is_empty() {
                render::line("")?;
            }
        }
        _ => {
            render::line(&indented(&found)?)?;
        }
    }
    for error in complaints {
        output::report(&error, 1, "");
    }
    Ok(status)
}

/// Docker indents by four.
fn indented(found: &[Value]) -> Result<String> {
    use serde::Serialize;
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    found.serialize(&mut serializer)?;
    Ok(String::from_utf8(out)?)
}

fn find(kind: Option<&str>, name: &str, size: bool) -> Result<Value> {
    let kinds: &[&str] = match kind {
        Some("container") => &["container"],
        Some("image") => &["image"],
        Some("network") => &["network"],
        Some("volume") => &["volume"],
        None | Some("") => &["container", "image", "network", "volume"],
        Some(other) => return Err(anyhow!("\"{other}\" is not a valid value for --type")),
    };
    for kind in kinds {
        let target = match *kind {
            "container" => {
                let target = Target::docker(["containers", name, "json"]);
                if size {
                    target.query("size", 1)
                } else {
                    target
                }
            }
            "image" => Target::docker(["images", name, "json"]),
            "network" => Target::docker(["networks", name]),
            _ => Target::docker(["volumes", name]),
        };
        match output::fetch(&target) {
            Err(error)
                if super::from_daemon(&error)
                    .is_some_and(|error| matches!(error.kind, Kind::NotFound | Kind::Invalid)) =>
            {
                if kinds.len() == 1 {
                    return Err(anyhow!("Error: No such {kind}: {name}"));
                }
            }
            other => return other,
        }
    }
    Err(anyhow!("Error: No such object: {name}"))
}
