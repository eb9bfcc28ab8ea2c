//! `docker build` and `docker buildx build`: the context as a tar, the daemon's classic builder.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Subcommand;
use shedbox_client::{Client, Target};
use shedbox_dockerfile::ignore::{Ignore, file_names};

use super::output;

/// Flags of both builders; those of BuildKit that say how, and not what, have no effect.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    #[arg(long)]
    cache_from: Vec<String>,
    #[arg(long, hide = true)]
    cache_to: Vec<String>,
    /// Dockerfile; `-` for standard input
    #[arg(short, long, value_name = "PATH")]
    file: Option<String>,
    #[arg(long, value_name = "FILE")]
    iidfile: Option<String>,
    #[arg(long)]
    label: Vec<String>,
    #[arg(long)]
    network: Option<String>,
    #[arg(long)]
    add_host: Vec<String>,
    #[arg(long)]
    no_cache: bool,
    #[arg(long)]
    platform: Option<String>,
    #[arg(long)]
    pull: bool,
    #[arg(short, long)]
    quiet: bool,
    #[arg(long)]
    shm_size: Option<String>,
    #[arg(short, long)]
    memory: Option<String>,
    #[arg(short, long)]
    tag: Vec<String>,
    #[arg(long)]
    target: Option<String>,
    #[arg(long)]
    squash: bool,
    /// Accepted: the image always is in the store
    #[arg(long)]
    load: bool,
    #[arg(long, hide = true)]
    push: bool,
    #[arg(short, long, hide = true)]
    output: Vec<String>,
    #[arg(long, hide = true)]
    progress: Option<String>,
    #[arg(long, hide = true)]
    builder: Option<String>,
    #[arg(long, hide = true)]
    provenance: Option<String>,
    #[arg(long, hide = true)]
    sbom: Option<String>,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value = "true", require_equals = true)]
    rm: bool,
    #[arg(long)]
    force_rm: bool,
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide = true)]
    disable_content_trust: Option<bool>,
    #[arg(long, hide = true)]
    secret: Vec<String>,
    #[arg(long, hide = true)]
    ssh: Vec<String>,
    /// Directory of the context; `-` for a Dockerfile or an archive on standard input
    #[arg(value_name = "PATH|-")]
    context: String,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value, made once")]
pub(super) enum Buildx {
    /// Build an image
    #[command(visible_alias = "b")]
    Build(Args),
    /// Show the version
    Version,
    /// There is one builder
    Ls,
    /// Show the one builder
    Inspect {
        #[arg(long)]
        bootstrap: bool,
        name: Option<String>,
    },
    /// Accepted and without effect
    Use {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value, made once")]
pub(super) enum Builder {
    /// Build an image
    Build(Args),
    /// Forget what was built
    Prune {
        #[arg(short, long)]
        all: bool,
        #[arg(short, long)]
        force: bool,
    },
}

pub(super) fn buildx(command: &Buildx) -> Result<u8> {
    match command {
        Buildx::Build(args) => run(args),
        Buildx::Version => {
            crate::render::line(&format!(
                "shedbox/buildx v{} {}",
                output::ENGINE_VERSION,
                env!("CARGO_PKG_VERSION")
            ))?;
            Ok(0)
        }
        Buildx::Ls => {
            crate::render::line(
                "NAME/NODE   DRIVER/ENDPOINT   STATUS\ndefault*    docker            running",
            )?;
            Ok(0)
        }
        Buildx::Inspect { .. } => {
            crate::render::line("Name:   default\nDriver: docker")?;
            Ok(0)
        }
        Buildx::Use { .. } => Ok(0),
    }
}

pub(super) fn builder(command: &Builder) -> Result<u8> {
    match command {
        Builder::Build(args) => run(args),
        Builder::Prune { .. } => {
            let answer = output::post(&Target::docker(["build", "prune"]), None)?;
            let bytes = answer["SpaceReclaimed"].as_u64().unwrap_or(0);
            crate::render::line(&format!(
                "Total:\t{}",
                shedbox_spec::size::format_bytes(bytes)
            ))?;
            Ok(0)
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8> {
    if !args.secret.is_empty() || !args.ssh.is_empty() {
        return Err(anyhow!(
            "--secret and --ssh are not supported by this builder"
        ));
    }
    if args.push {
        return Err(anyhow!(
            "--push is not supported: build, then `docker push`"
        ));
    }
    let (dockerfile, mut context): (String, Box<dyn Read>) = match args.context.as_str() {
        "-" if args.file.is_some() => {
            return Err(anyhow!(
                "a Dockerfile cannot be named when the context comes on standard input"
            ));
        }
        "-" => from_input()?,
        dir => from_directory(Path::new(dir), args.file.as_deref())?,
    };
    let own = |name: &str| std::env::var(name).ok();
    let build_args: BTreeMap<&str, Option<String>> = args
        .build_arg
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), own(text)),
        })
        .collect();
    let labels: BTreeMap<&str, &str> = super::network::pairs(&args.label);
    let mut target = Target::docker(["build"])
        .query("dockerfile", dockerfile)
        .query("rm", u8::from(args.rm))
        .query("version", 1)
        .query("buildargs", serde_json::to_string(&build_args)?)
        .query("labels", serde_json::to_string(&labels)?)
        .query("cachefrom", serde_json::to_string(&args.cache_from)?);
    for tag in &args.tag {
        target = target.query("t", tag);
    }
    for (key, set) in [
        ("nocache", args.no_cache),
        ("pull", args.pull),
        ("forcerm", args.force_rm),
        ("squash", args.squash),
    ] {
        if set {
            target = target.query(key, 1);
        }
    }
    let bytes = |text: &Option<String>| {
        text.as_deref()
            .map(shedbox_spec::size::parse_bytes)
            .transpose()
    };
    let (shm_size, memory) = (bytes(&args.shm_size)?, bytes(&args.memory)?);
    let hosts = (!args.add_host.is_empty()).then(|| args.add_host.join(","));
    for (key, value) in [
        ("target", args.target.clone()),
        ("networkmode", args.network.clone()),
        ("platform", args.platform.clone()),
        ("extrahosts", hosts),
        ("shmsize", shm_size.map(|bytes| bytes.to_string())),
        ("memory", memory.map(|bytes| bytes.to_string())),
    ] {
        if let Some(value) = value {
            target = target.query(key, value);
        }
    }
    let body = Client::shared().docker_stream("POST", &target, &mut *context)?;
    let mut id = None;
    let mut out = io::stdout();
    output::lines(body, |line| {
        if let Some(message) = line["error"].as_str() {
            return Err(anyhow!("{message}"));
        }
        if let Some(found) = line["aux"]["ID"].as_str() {
            id = Some(found.to_owned());
        }
        let text = line["stream"].as_str().unwrap_or_default();
        if !args.quiet {
            out.write_all(text.as_bytes())?;
            out.flush()?;
        } else if text.starts_with("sha256:") {
            // A quiet build says its id and nothing else, when it has not failed.
            id = Some(text.trim_end().to_owned());
        }
        Ok(())
    })?;
    if args.quiet {
        crate::render::line(id.as_deref().unwrap_or_default())?;
    }
    if let Some(path) = &args.iidfile {
        std::fs::write(path, id.unwrap_or_default())
            .with_context(|| format!("cannot write {path}"))?;
    }
    Ok(0)
}

/// A Dockerfile or an archive, told by how it begins.
fn from_input() -> Result<(String, Box<dyn Read>)> {
    let mut head = Vec::new();
    let mut input = io::stdin();
    (&mut input).take(512).read_to_end(&mut head)?;
    let archive = head.starts_with(&[0x1f, 0x8b])
        || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || head.get(257..262) == Some(b"ustar");
    if archive {
        return Ok((
            "Dockerfile".to_owned(),
            Box::new(io::Cursor::new(head).chain(input)),
        ));
    }
    input.read_to_end(&mut head)?;
    let mut tar = tar::Builder::new(Vec::new());
    add_file(&mut tar, "Dockerfile", &head)?;
    Ok((
        "Dockerfile".to_owned(),
        Box::new(io::Cursor::new(tar.into_inner()?)),
    ))
}

fn add_file(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, name, content)?;
    Ok(())
}

/// A directory without what `.dockerignore` leaves out, as a stream that a thread writes.
fn from_directory(dir: &Path, file: Option<&str>) -> Result<(String, Box<dyn Read>)> {
    if !dir.is_dir() {
        return Err(anyhow!(
            "unable to prepare context: path \"{}\" not found",
            dir.display()
        ));
    }
    let root = dir.canonicalize()?;
    // One from elsewhere travels under a name of its own.
    let mut extra = None;
    let dockerfile = match file {
        None => "Dockerfile".to_owned(),
        Some("-") => {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text)?;
            extra = Some(text);
            ".dockerfile.of-the-command".to_owned()
        }
        Some(path) => {
            let path = Path::new(path).canonicalize().with_context(|| {
                format!("unable to prepare context: unable to evaluate symlinks in Dockerfile path: {path}")
            })?;
            if let Ok(inside) = path.strip_prefix(&root) {
                inside.display().to_string()
            } else {
                extra = Some(std::fs::read(&path)?);
                ".dockerfile.of-the-command".to_owned()
            }
        }
    };
    if extra.is_none() && !root.join(&dockerfile).is_file() {
        return Err(anyhow!(
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: {}: no such file or directory",
            root.join(&dockerfile).display()
        ));
    }
    let ignore = file_names(&dockerfile)
        .iter()
        .find_map(|name| std::fs::read_to_string(root.join(name)).ok())
        .map(|text| Ignore::parse(&text))
        .transpose()?
        .map(|ignore| ignore.keeping(&dockerfile));
    let (reader, writer) = io::pipe()?;
    std::thread::spawn(move || {
        let mut tar = tar::Builder::new(io::BufWriter::new(writer));
        tar.follow_symlinks(false);
        let written = (|| -> io::Result<()> {
            if let Some(text) = &extra {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                header.set_mode(0o644);
                header.set_cksum();
                tar.append_data(&mut header, ".dockerfile.of-the-command", &text[..])?;
            }
            walk(&mut tar, &root, Path::new(""), ignore.as_ref())?;
            tar.into_inner()?.flush()
        })();
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            crate::report::say(&format!("error while sending the context: {error}"));
        }
    });
    Ok((dockerfile, Box::new(reader)))
}

/// In the order of names, so that equal contexts are equal archives.
fn walk<W: Write>(
    tar: &mut tar::Builder<W>,
    root: &Path,
    below: &Path,
    ignore: Option<&Ignore>,
) -> io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(root.join(below))?.collect::<io::Result<_>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let inside: PathBuf = below.join(entry.file_name());
        let kind = entry.file_type()?;
        let name = inside.display().to_string();
        let excluded = ignore.is_some_and(|ignore| ignore.excludes(&name));
        if kind.is_dir() {
            if !excluded {
                tar.append_dir(&inside, entry.path())?;
            }
            if !excluded || ignore.is_some_and(|ignore| ignore.could_include_below(&name)) {
                walk(tar, root, &inside, ignore)?;
            }
        } else if !excluded && (kind.is_file() || kind.is_symlink()) {
            tar.append_path_with_name(entry.path(), &inside)?;
        }
    }
    Ok(())
}
