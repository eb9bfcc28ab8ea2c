//! Images.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};
use shedbox_client::{Client, Target};
use shedbox_spec::reference::Reference;
use shedbox_spec::size::format_bytes;

use super::output::{self, ListFlags, Listing, post, progress, short};
use super::{build, inspect, list, login, system};
use crate::render;

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value, made once")]
pub(super) enum Command {
    /// List images
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Fetch an image
    Pull(PullArgs),
    /// Send an image to a registry
    Push(PushArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Read images from an archive
    Load(LoadArgs),
    /// Write images to an archive
    Save(SaveArgs),
    /// Make an image of a root file system
    Import(ImportArgs),
    /// Show how an image was made
    History(HistoryArgs),
    /// Show images as JSON
    Inspect(inspect::OneKindArgs),
    /// Remove images that nothing uses
    Prune(system::PruneArgs),
    /// Build an image
    Build(build::Args),
}

pub(super) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Ls(args) => list(&args),
        Command::Pull(args) => pull(&args),
        Command::Push(args) => push(&args),
        Command::Rm(args) => remove(&args),
        Command::Tag(args) => tag(&args),
        Command::Load(args) => load(&args),
        Command::Save(args) => save(&args),
        Command::Import(args) => import(&args),
        Command::History(args) => history(&args),
        Command::Inspect(args) => inspect::of("image", &args),
        Command::Prune(args) => system::prune(system::Kind::Images, &args),
        Command::Build(args) => build::run(&args),
    }
}

const IMAGES: Listing = Listing {
    headers: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ],
    default: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    quiet: "{{.ID}}",
};

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[arg(short, long)]
    all: bool,
    #[arg(long)]
    digests: bool,
    #[command(flatten)]
    flags: ListFlags,
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

pub(super) fn list(args: &ListArgs) -> Result<u8> {
    let named: Vec<String> = (args.reference.iter())
        .map(|name| format!("reference={name}"))
        .collect();
    let images = (args.flags).fetch(Target::docker(["images", "json"]), &named)?;
    let mut rows = Vec::new();
    for image in images.as_array().into_iter().flatten() {
        let id = image["Id"].as_str().unwrap_or_default();
        let names: Vec<&str> = image["RepoTags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let digests: Vec<&str> = image["RepoDigests"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let size = format_bytes(image["Size"].as_u64().unwrap_or(0));
        let named = if names.is_empty() {
            vec!["<none>:<none>"]
        } else {
            names
        };
        for name in named {
            let (repository, tag) = split(name);
            let digest = digests
                .iter()
                .find_map(|text| text.split_once('@').filter(|(of, _)| *of == repository))
                .map_or("<none>", |(_, digest)| digest);
            rows.push(json!({
                "ID": if args.no_trunc { id } else { short(id) },
                "Repository": repository,
                "Tag": tag,
                "Digest": digest,
                "CreatedSince": format!("{} ago", list::since(&image["Created"])),
                "CreatedAt": list::at(&image["Created"]),
                "Size": size,
                "VirtualSize": size,
                "SharedSize": "N/A",
                "UniqueSize": "N/A",
                "Containers": "N/A",
            }));
        }
    }
    let mut listing = IMAGES;
    if args.digests {
        listing.default =
            "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
    }
    args.flags.print(&listing, &rows)
}

/// Repository and tag of a familiar reference.
pub(super) fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct PullArgs {
    #[arg(short, long)]
    all_tags: bool,
    #[arg(long)]
    platform: Option<String>,
    #[arg(short, long)]
    quiet: bool,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide = true)]
    disable_content_trust: Option<bool>,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

pub(super) fn pull(args: &PullArgs) -> Result<u8> {
    let platform = args.platform.as_deref();
    let reference = Reference::parse(&args.name)?;
    let bare = is_bare(&args.name, &reference);
    if args.all_tags && !bare {
        return Err(one_and_all());
    }
    if !args.quiet && !args.all_tags && bare {
        render::line("Using default tag: latest")?;
    }
    request(
        &reference,
        args.all_tags,
        platform,
        args.quiet,
        &mut io::stdout(),
    )?;
    render::line(&shown(&reference, args.all_tags))?;
    Ok(0)
}

/// Whether a reference was typed without tag and digest.
fn is_bare(typed: &str, reference: &Reference) -> bool {
    let last = typed.rsplit('/').next().unwrap_or(typed);
    reference.digest().is_none() && !last.contains(':')
}

fn one_and_all() -> anyhow::Error {
    anyhow!("tag can't be used with --all-tags/-a")
}

/// The whole name of what was moved.
fn shown(reference: &Reference, all: bool) -> String {
    if all {
        reference.name()
    } else {
        reference.to_string()
    }
}

/// Pulls for a create: what is said goes to standard error.
pub(super) fn fetch(image: &str, platform: Option<&str>, quiet: bool) -> Result<()> {
    let reference = Reference::parse(image)?;
    request(&reference, false, platform, quiet, &mut io::stderr())
}

/// Without a tag it is about all of them.
fn request(
    reference: &Reference,
    all: bool,
    platform: Option<&str>,
    quiet: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let mut target =
        Target::docker(["images", "create"]).query("fromImage", reference.familiar_name());
    target = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => target.query("tag", digest),
        (None, Some(tag)) if !all => target.query("tag", tag),
        (None, _) => target,
    };
    if let Some(platform) = platform {
        target = target.query("platform", platform);
    }
    if let Some(auth) = login::registry_auth(reference.registry()) {
        target = target.field("X-Registry-Auth", &auth);
    }
    progress(Client::shared().docker("POST", &target, None)?, quiet, out)
}

#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    #[arg(short, long)]
    all_tags: bool,
    #[arg(short, long)]
    quiet: bool,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide = true)]
    disable_content_trust: Option<bool>,
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

pub(super) fn push(args: &PushArgs) -> Result<u8> {
    let reference = Reference::parse(&args.name)?;
    let bare = is_bare(&args.name, &reference);
    if args.all_tags && !bare {
        return Err(one_and_all());
    }
    if !args.quiet && !args.all_tags && bare {
        render::line("Using default tag: latest")?;
    }
    let name = reference.familiar_name();
    let mut target = Target::docker(["images", &name, "push"]);
    if let Some(tag) = reference.tag().filter(|_| !args.all_tags) {
        target = target.query("tag", tag);
    }
    // Docker insists on the field.
    let auth = login::registry_auth(reference.registry()).unwrap_or_else(|| "e30=".to_owned());
    target = target.field("X-Registry-Auth", &auth);
    progress(
        Client::shared().docker("POST", &target, None)?,
        args.quiet,
        &mut io::stdout(),
    )?;
    if args.quiet {
        render::line(&shown(&reference, args.all_tags))?;
    }
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    #[arg(short, long)]
    force: bool,
    #[arg(long)]
    no_prune: bool,
    #[arg(required = true, value_name = "IMAGE")]
    names: Vec<String>,
}

pub(super) fn remove(args: &RemoveArgs) -> Result<u8> {
    let mut status = 0;
    for name in &args.names {
        let mut target = Target::docker(["images", name]);
        for (key, set) in [("force", args.force), ("noprune", args.no_prune)] {
            if set {
                target = target.query(key, 1);
            }
        }
        match output::delete(&target) {
            Ok(removed) => {
                for line in removed.as_array().into_iter().flatten() {
                    for (word, value) in line.as_object().into_iter().flatten() {
                        render::line(&format!("{word}: {}", value.as_str().unwrap_or_default()))?;
                    }
                }
            }
            Err(error) => status = output::report(&error, 1, ""),
        }
    }
    Ok(status)
}

#[derive(Debug, clap::Args)]
pub(super) struct TagArgs {
    #[arg(value_name = "IMAGE")]
    source: String,
    #[arg(value_name = "TARGET")]
    target: String,
}

pub(super) fn tag(args: &TagArgs) -> Result<u8> {
    let (repository, tag) = split(&args.target);
    let target = Target::docker(["images", &args.source, "tag"])
        .query("repo", repository)
        .query("tag", tag);
    post(&target, None)?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    #[arg(short, long, value_name = "FILE")]
    input: Option<String>,
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn load(args: &LoadArgs) -> Result<u8> {
    let mut reader: Box<dyn Read> = match &args.input {
        Some(path) => Box::new(std::fs::File::open(path).with_context(|| format!("open {path}"))?),
        None if io::stdin().is_terminal() => {
            return Err(anyhow!("requested load from stdin, but stdin is empty"));
        }
        None => Box::new(io::stdin()),
    };
    let target = Target::docker(["images", "load"]).query("quiet", u8::from(args.quiet));
    let body = Client::shared().docker_stream("POST", &target, &mut *reader)?;
    progress(body, false, &mut io::stdout())?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct SaveArgs {
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    #[arg(required = true, value_name = "IMAGE")]
    names: Vec<String>,
}

pub(super) fn save(args: &SaveArgs) -> Result<u8> {
    let mut target = Target::docker(["images", "get"]);
    for name in &args.names {
        target = target.query("names", name);
    }
    output::archive(
        Client::shared().docker("GET", &target, None)?,
        args.output.as_deref(),
    )?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    #[arg(short, long)]
    change: Vec<String>,
    #[arg(short, long)]
    message: Option<String>,
    #[arg(long)]
    platform: Option<String>,
    /// A file, or `-`
    #[arg(value_name = "FILE|-")]
    source: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

pub(super) fn import(args: &ImportArgs) -> Result<u8> {
    let mut reader: Box<dyn Read> = match args.source.as_str() {
        "-" => Box::new(io::stdin()),
        path => Box::new(std::fs::File::open(path).with_context(|| format!("open {path}"))?),
    };
    let mut target = Target::docker(["images", "create"]).query("fromSrc", "-");
    if let Some(reference) = &args.reference {
        let (repository, tag) = split(reference);
        target = target.query("repo", repository).query("tag", tag);
    }
    if let Some(message) = &args.message {
        target = target.query("message", message);
    }
    if let Some(platform) = &args.platform {
        target = target.query("platform", platform);
    }
    for change in &args.change {
        target = target.query("changes", change);
    }
    let body = Client::shared().docker_stream("POST", &target, &mut *reader)?;
    progress(body, false, &mut io::stdout())?;
    Ok(0)
}

const HISTORY: Listing = Listing {
    headers: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    default: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    quiet: "{{.ID}}",
};

#[derive(Debug, clap::Args)]
pub(super) struct HistoryArgs {
    #[arg(long)]
    format: Option<String>,
    #[arg(short = 'H', long, num_args = 0..=1, default_missing_value = "true", default_value = "true", require_equals = true)]
    human: bool,
    #[arg(long)]
    no_trunc: bool,
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "IMAGE")]
    name: String,
}

pub(super) fn history(args: &HistoryArgs) -> Result<u8> {
    let list = output::get(["images", &args.name, "history"])?;
    let rows: Vec<Value> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let id = entry["Id"].as_str().unwrap_or_default();
            let by = entry["CreatedBy"]
                .as_str()
                .unwrap_or_default()
                .replace('\t', " ");
            let size = entry["Size"].as_u64().unwrap_or(0);
            json!({
                "ID": if args.no_trunc || id.starts_with('<') { id } else { short(id) },
                "CreatedSince": format!("{} ago", list::since(&entry["Created"])),
                "CreatedAt": list::at(&entry["Created"]),
                "CreatedBy": if args.no_trunc { by } else { render::shorten(&by, 45) },
                "Size": if args.human { format_bytes(size) } else { size.to_string() },
                "Comment": entry["Comment"],
            })
        })
        .collect();
    HISTORY.print(args.format.as_deref(), args.quiet, &rows)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_and_tags() {
        assert_eq!(split("a:b"), ("a", "b"));
        assert_eq!(split("localhost:5000/a"), ("localhost:5000/a", "latest"));
        assert_eq!(split("localhost:5000/a:1"), ("localhost:5000/a", "1"));
        assert_eq!(split("<none>:<none>"), ("<none>", "<none>"));
    }
}
