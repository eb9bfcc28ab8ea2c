//! `POST /build`: the classic builder. Each step that changes files is a sandbox of ours, which becomes an image.
//!
//! context → Dockerfile → stages → for each instruction: expand → cache, or run/copy → commit

mod cache;
mod context;
mod copy;
mod options;
mod run;
mod transfer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use shedbox_docker::progress::{Progress, failed};
use shedbox_dockerfile::config::{ImageConfig, StageConfig};
use shedbox_dockerfile::expand::EnvList;
use shedbox_dockerfile::ignore::{Ignore, file_names};
use shedbox_dockerfile::scope::{Args, Platform};
use shedbox_dockerfile::stages::{Origin, Stages};
use shedbox_dockerfile::{Instruction, Located, parse, parse_trigger};
use shedbox_engine::{CommitOptions, Step};
use shedbox_spec::api::{PullPolicy, PullRequest};
use shedbox_spec::{Digest, Error, Kind, Result};

use super::{Asked, Docker, later, now, random_hex};
use crate::answer::{self, Answer};
use crate::stream::{self, BodyReader, Feed};
use context::Workspace;
use options::Options;

/// A build under way.
struct Build {
    docker: Arc<Docker>,
    options: Options,
    feed: Feed,
    workspace: Workspace,
    args: Args,
    stages: Stages,
    escape: char,
    /// Results of stages so far, by number.
    results: Vec<Option<Stage>>,
    step: usize,
    steps: usize,
}

/// What a stage is at some instruction.
#[derive(Clone)]
struct Stage {
    image: Option<Digest>,
    config: StageConfig,
}

/// Why a build ends.
enum Stop {
    /// A command of it: its text and status.
    Command(String, u8),
    Other(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

pub(super) async fn build(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let options = Options::read(&asked)?;
    let dir = docker.engine.paths().root.join("build").join(random_hex()?);
    let workspace = Workspace::make(dir)?;
    let files = workspace.join("context");
    let reader = BodyReader::new(asked.body);
    let unpacked = tokio::task::spawn_blocking(move || {
        let stream = shedbox_store::decompress(reader)
            .map_err(|error| Error::invalid(format!("unreadable build context: {error}")))?;
        context::unpack(stream, &files)
    });
    unpacked
        .await
        .map_err(|error| Error::internal(format!("a build has failed: {error}")))??;
    let text = read_dockerfile(&workspace.join("context"), &options.dockerfile)?;
    let file = parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
    let escape = file.directives.escape;
    let invalid = |error: &dyn std::fmt::Display| Error::invalid(error.to_string());
    let mut stages = Stages::split(file).map_err(|error| invalid(&error))?;
    let platform = options.platform();
    let mut args = Args::new(options.build_args.clone(), &platform, &host_platform());
    stages.expand(&mut args).map_err(|error| invalid(&error))?;
    let target = stages
        .target(options.target.as_deref())
        .map_err(|error| invalid(&error))?;
    for name in file_names(&options.dockerfile) {
        if let Ok(text) = std::fs::read_to_string(workspace.join("context").join(&name)) {
            let ignore = Ignore::parse(&text).map_err(|error| invalid(&error))?;
            context::apply_ignore(
                &workspace.join("context"),
                &ignore.keeping(&options.dockerfile),
            )?;
            break;
        }
    }
    let (feed, body) = stream::channel();
    let wanted = stages.all_until(target);
    let steps = wanted
        .iter()
        .filter_map(|index| stages.stages.get(*index))
        .map(|stage| stage.instructions.len() + 1)
        .sum();
    let mut build = Build {
        docker: Arc::clone(docker),
        options,
        feed: feed.clone(),
        workspace,
        args,
        results: vec![None; stages.stages.len()],
        stages,
        escape,
        step: 0,
        steps,
    };
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = build.all(&wanted) => outcome,
            () = feed.closed() => return tracing::info!("a client has left a build"),
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Command(text, code)) => {
                let message = format!("The command '{text}' returned a non-zero code: {code}");
                feed.line(&json!({
                    "errorDetail": {"code": code, "message": message}, "error": message,
                }))
                .await;
            }
            Err(Stop::Other(error)) => feed.line(&failed(&error.message)).await,
        }
    });
    Ok(answer::stream("application/json", body))
}

/// `POST /build/prune`: what was built stays as images; what goes is the memory of how, and caches of commands.
pub(super) fn prune(docker: &Docker) -> Answer {
    let dir = docker.engine.paths().root.join("build");
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

fn read_dockerfile(root: &Path, name: &str) -> Result<Vec<u8>> {
    let clean = copy::absolute("/", name);
    let path = root.join(clean.trim_start_matches('/'));
    let inside = path
        .canonicalize()
        .ok()
        .filter(|full| root.canonicalize().is_ok_and(|root| full.starts_with(root)));
    inside
        .and_then(|path| std::fs::read(path).ok())
        .ok_or_else(|| Error::invalid(format!("Cannot locate specified Dockerfile: {name}")))
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

fn short(digest: &Digest) -> String {
    digest.to_string().chars().skip(7).take(12).collect()
}

impl Build {
    async fn say(&self, text: &str) {
        if !self.options.quiet {
            self.feed.line(&json!({"stream": text})).await;
        }
    }

    async fn all(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        for index in wanted {
            self.stage(*index).await?;
        }
        let last = wanted.last().copied().unwrap_or(0);
        let mut result = self.results[last]
            .clone()
            .ok_or_else(|| Error::internal("a stage has no result"))?;
        if !self.options.labels.is_empty() {
            let labels = self.options.labels.clone();
            for (key, value) in labels {
                let pair = shedbox_dockerfile::Pair { key, value };
                apply(&mut result.config, &Instruction::Label(vec![pair]))?;
            }
            self.commit_config(&mut result, "LABEL").await?;
        }
        if let Some(warning) = self.args.unused_warning() {
            self.say(&format!("{warning}\n")).await;
        }
        let image = match result.image {
            Some(image) => image,
            None => {
                return Err(
                    Error::invalid("No image was generated. Is your Dockerfile empty?").into(),
                );
            }
        };
        if self.options.quiet {
            self.feed
                .line(&json!({"stream": format!("{image}\n")}))
                .await;
        }
        self.feed.line(&json!({"aux": {"ID": image}})).await;
        self.say(&format!("Successfully built {}\n", short(&image)))
            .await;
        for tag in self.options.tags.clone() {
            let (source, target) = (image.to_string(), tag.clone());
            later(&self.docker, move |engine| {
                engine.tag_image(&source, &target)
            })
            .await?;
            let familiar = shedbox_spec::reference::Reference::parse(&tag)?.familiar();
            self.docker
                .events
                .thing("image", "tag", &image.to_string(), &[("name", &familiar)]);
            self.say(&format!("Successfully tagged {familiar}\n")).await;
        }
        Ok(())
    }

    async fn stage(&mut self, index: usize) -> Result<(), Stop> {
        let Some(stage) = self.stages.stages.get(index).cloned() else {
            return Ok(());
        };
        self.args.start_stage();
        self.begin_step(&stage.start).await;
        let base = self.stages.base(index);
        let mut current = self.base(&base, stage.from.platform.as_deref()).await?;
        if let Some(image) = &current.image {
            self.say(&format!(" ---> {}\n", short(image))).await;
        } else {
            self.say(" --->\n").await;
        }
        let triggers = current.config.take_triggers();
        if !triggers.is_empty() {
            self.say(&format!(
                "# Executing {} build trigger{}\n",
                triggers.len(),
                if triggers.len() == 1 { "" } else { "s" }
            ))
            .await;
        }
        for trigger in triggers {
            let located =
                parse_trigger(&trigger).map_err(|error| Error::invalid(error.to_string()))?;
            self.instruction(index, &mut current, &located).await?;
        }
        for located in &stage.instructions {
            self.begin_step(located).await;
            self.instruction(index, &mut current, located).await?;
        }
        self.results[index] = Some(current);
        Ok(())
    }

    async fn begin_step(&mut self, located: &Located) {
        self.step += 1;
        let text = format!("Step {}/{} : {}\n", self.step, self.steps, located.original);
        self.say(&text).await;
    }

    /// Where a stage starts from.
    async fn base(&self, origin: &Origin, platform: Option<&str>) -> Result<Stage> {
        match origin {
            Origin::Scratch => Ok(Stage {
                image: None,
                config: StageConfig::new(ImageConfig::default()),
            }),
            Origin::Stage(number) => self.results[*number]
                .clone()
                .map(|stage| Stage {
                    config: StageConfig::new(stage.config.config().clone()),
                    ..stage
                })
                .ok_or_else(|| Error::internal("a stage is used before it is built")),
            Origin::Image(name) => self.image(name, platform).await,
        }
    }

    /// An image, pulled when it is missing or that was asked for.
    async fn image(&self, name: &str, platform: Option<&str>) -> Result<Stage> {
        let known = now(|| self.docker.engine.inspect_image(name));
        let detail = match known {
            Ok(detail) if !self.options.pull => detail,
            Err(error) if error.kind != Kind::NotFound => return Err(error),
            _ => {
                self.fetch(name, platform).await?;
                now(|| self.docker.engine.inspect_image(name))
                    .map_err(|error| super::images::not_found(name, error))?
            }
        };
        let config = detail.config.get("config").cloned().unwrap_or(Value::Null);
        let config: ImageConfig = if config.is_null() {
            ImageConfig::default()
        } else {
            shedbox_docker::body::from_value(config)?
        };
        Ok(Stage {
            image: Some(detail.summary.id),
            config: StageConfig::new(config),
        })
    }

    async fn fetch(&self, name: &str, platform: Option<&str>) -> Result<()> {
        let reference = shedbox_spec::reference::Reference::parse(name)?;
        let familiar = reference.familiar();
        let request = PullRequest {
            reference: name.to_owned(),
            platform: platform
                .or(self.options.platform.as_deref())
                .map(shedbox_docker::create::platform_of),
            policy: PullPolicy::Always,
            auth: self.options.auth.clone(),
        };
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let engine = Arc::clone(&self.docker.engine);
        let work = tokio::spawn(async move {
            engine
                .images()
                .pull(request, move |event| drop(sender.send(event)))
                .await
                .map(drop)
                .map_err(Error::from)
        });
        let mut progress = Progress::new(reference.tag().unwrap_or("latest"));
        while let Some(event) = events.recv().await {
            for line in progress.lines(&event, &familiar) {
                if !self.options.quiet {
                    self.feed.line(&line).await;
                }
            }
        }
        work.await
            .map_err(|error| Error::internal(format!("a pull has failed: {error}")))?
            .map_err(|error| {
                Error::new(
                    error.kind,
                    format!(
                        "pull access denied or manifest for {familiar} not found: {}",
                        error.message
                    ),
                )
            })
    }

    async fn instruction(
        &mut self,
        index: usize,
        current: &mut Stage,
        located: &Located,
    ) -> Result<(), Stop> {
        let env = current.config.config().env.clone();
        let expanded = located
            .instruction
            .expanded(self.escape, &self.args.for_stage(&EnvList::new(&env)))
            .map_err(|error| Error::invalid(error.to_string()))?;
        match &expanded {
            Instruction::Run(run) => self.run(index, current, run).await?,
            Instruction::Copy(copy) => {
                self.transfer(
                    index,
                    current,
                    "COPY",
                    &copy.transfer,
                    copy.from.as_deref(),
                    false,
                )
                .await?;
            }
            Instruction::Add(add) => {
                self.transfer(index, current, "ADD", &add.transfer, None, true)
                    .await?;
            }
            other => {
                if let Instruction::Arg(list) = other {
                    for arg in list {
                        self.args
                            .declare(&arg.name, arg.default.clone())
                            .map_err(|error| Error::invalid(error.to_string()))?;
                    }
                }
                apply(&mut current.config, other)?;
                self.commit_config(current, &located.original).await?;
            }
        }
        if let Some(image) = &current.image {
            self.say(&format!(" ---> {}\n", short(image))).await;
        }
        Ok(())
    }

    /// A step that changes nothing but the configuration.
    async fn commit_config(&self, current: &mut Stage, text: &str) -> Result<()> {
        let config = to_value(current.config.config())?;
        let created_by = format!("/bin/sh -c #(nop)  {text}");
        let key = cache::Key::new(current.image.as_ref(), &[&created_by, &config.to_string()]);
        if let Some(image) = self.cached(&key).await {
            current.image = Some(image);
            return Ok(());
        }
        let base = current.image.clone();
        let step = Step {
            created_by: Some(created_by),
            ..Step::default()
        };
        let made = later(&self.docker, move |engine| {
            engine.commit_empty(base.as_ref(), config, step)
        })
        .await?;
        self.remember(&key, &made);
        current.image = Some(made);
        Ok(())
    }

    /// A sandbox that has changed files becomes the image of this step.
    async fn commit(
        &self,
        current: &mut Stage,
        sandbox: &str,
        created_by: String,
        key: &cache::Key,
    ) -> Result<()> {
        let options = CommitOptions {
            config: Some(to_value(current.config.config())?),
            step: Step {
                created_by: Some(created_by),
                ..Step::default()
            },
            ..CommitOptions::default()
        };
        let name = sandbox.to_owned();
        let made = later(&self.docker, move |engine| engine.commit(&name, options)).await?;
        self.remember(key, &made);
        current.image = Some(made);
        Ok(())
    }

    /// The image of a step that was done before, unless the cache is not to be used.
    async fn cached(&self, key: &cache::Key) -> Option<Digest> {
        if self.options.no_cache {
            return None;
        }
        let found = key.find(&self.cache_dir())?;
        let image = now(|| self.docker.engine.inspect_image(&found))
            .ok()?
            .summary
            .id;
        self.say(" ---> Using cache\n").await;
        Some(image)
    }

    fn remember(&self, key: &cache::Key, image: &Digest) {
        key.note(&self.cache_dir(), image);
    }

    fn cache_dir(&self) -> PathBuf {
        self.docker.engine.paths().root.join("build").join("cache")
    }

    /// The image to make a sandbox from; an empty one at first.
    async fn ground(&self, current: &mut Stage) -> Result<String> {
        if current.image.is_none() {
            let config = to_value(current.config.config())?;
            let made = later(&self.docker, move |engine| {
                engine.commit_empty(None, config, Step::default())
            })
            .await?;
            current.image = Some(made);
        }
        Ok(current
            .image
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default())
    }
}

fn apply(config: &mut StageConfig, instruction: &Instruction) -> Result<()> {
    config
        .apply(instruction)
        .map_err(|error| Error::invalid(error.to_string()))
}

fn to_value(config: &ImageConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|error| Error::internal(error.to_string()))
}
