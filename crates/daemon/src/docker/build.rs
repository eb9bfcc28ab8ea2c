//! `POST /build`: the classic builder. Each step that changes files is a sandbox of ours, which becomes an image.
//!
//! ```text
//! body ─ context ─> tree of files, Dockerfile ─ stages ─> for each instruction: expand ─> cache, or run or copy ─> commit
//! ```
//!
//! | below the data root | what |
//! |---|---|
//! | `build/work/<number>` | contents of archives while a build is under way |
//! | `build/cache/<key>` | the image that a step led to |
//! | `build/mounts/<digest of an id>` | a cache of `RUN --mount=type=cache` |

mod base;
mod cache;
mod content;
mod context;
mod copy;
mod inside;
mod lay_out;
mod layer;
mod mounts;
mod options;
mod output;
mod run;
mod steps;
mod transfer;
mod tree;
mod workspace;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use shedbox_dockerfile::config::{ImageConfig, StageConfig};
use shedbox_dockerfile::scope::{Args, Platform};
use shedbox_dockerfile::stages::Stages;
use shedbox_dockerfile::{Instruction, parse};
use shedbox_spec::{Digest, Error, Result};

use super::{Asked, Docker};
use crate::answer::{self, Answer};
use crate::stream::{self, BodyReader};
use context::Context;
use options::Options;
use output::Output;
use tree::Tree;
use workspace::Workspace;

/// A build under way.
struct Build {
    docker: Arc<Docker>,
    options: Options,
    output: Output,
    /// Held by whatever may still write into it when the build is cancelled.
    workspace: Arc<Workspace>,
    context: Arc<Tree>,
    args: Args,
    stages: Stages,
    escape: char,
    /// Results of stages so far, by number.
    results: Vec<Option<Stage>>,
    open: transfer::Open,
    /// Names that were pulled for this build.
    pulled: HashSet<String>,
    author: Option<String>,
    step: usize,
    steps: usize,
}

/// What a stage is at some instruction.
#[derive(Clone)]
struct Stage {
    image: Option<Digest>,
    config: StageConfig,
}

impl Build {
    fn root(&self) -> PathBuf {
        root(&self.docker)
    }
}

fn root(docker: &Docker) -> PathBuf {
    docker.engine.paths().root.join("build")
}

/// Answers with lines while the build goes on; what is wrong with the request is found before.
pub(super) async fn build(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let options = Options::read(&asked.query, &asked.headers)?;
    let workspace = Arc::new(Workspace::make(&root(docker))?);
    let reader = BodyReader::new(asked.body);
    let (space, name) = (Arc::clone(&workspace), options.dockerfile.clone());
    let context =
        inside::blocking(move || Context::read(reader, Tree::new(space.file()?), &name)).await?;
    let file = parse(&context.dockerfile).map_err(|error| invalid(&error))?;
    let escape = file.directives.escape;
    let mut stages = Stages::split(file).map_err(|error| invalid(&error))?;
    let mut args = Args::new(
        options.build_args.clone(),
        &options.platform(),
        &host_platform(),
    );
    stages.expand(&mut args).map_err(|error| invalid(&error))?;
    let target = stages
        .target(options.target.as_deref())
        .map_err(|error| invalid(&error))?;
    let wanted = stages.all_until(target);
    let (feed, body) = stream::channel();
    let mut build = Build {
        docker: Arc::clone(docker),
        output: Output::new(feed.clone(), options.quiet),
        workspace,
        context: Arc::new(context.files),
        args,
        results: vec![None; stages.stages.len()],
        steps: stages.step_count(target) + options.labels.len(),
        options,
        stages,
        escape,
        open: transfer::Open::default(),
        pulled: HashSet::new(),
        author: None,
        step: 0,
    };
    tokio::spawn(async move {
        // What is cancelled drops its sandboxes, and these remove themselves.
        let outcome = tokio::select! {
            outcome = build.all(&wanted) => outcome,
            () = feed.closed() => return tracing::info!("a client has left a build"),
        };
        if let Err(stop) = outcome {
            build.output.failed(&stop).await;
        }
    });
    Ok(answer::stream("application/json", body))
}

/// `POST /build/prune`: what was built stays as images; what goes is the memory of how, and caches of commands.
pub(super) fn prune(docker: &Docker) -> Answer {
    let dir = root(docker);
    let mut bytes = 0;
    for name in ["cache", "mounts"] {
        bytes += super::containers::tree_size(&dir.join(name));
        // What is not there needs no removing.
        let _ = std::fs::remove_dir_all(dir.join(name));
    }
    answer::json(
        StatusCode::OK,
        &json!({"CachesDeleted": null, "SpaceReclaimed": bytes}),
    )
}

/// Takes away what builds of a former daemon have left below its data root.
pub(super) fn sweep(data_root: &Path) {
    workspace::sweep(&data_root.join("build"));
}

fn host_platform() -> Platform {
    Platform {
        os: "linux".to_owned(),
        architecture: match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
        .to_owned(),
        variant: String::new(),
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Error {
    Error::invalid(error.to_string())
}

fn apply(config: &mut StageConfig, instruction: &Instruction) -> Result<()> {
    config.apply(instruction).map_err(|error| invalid(&error))
}

fn to_value(config: &ImageConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|error| Error::internal(error.to_string()))
}
