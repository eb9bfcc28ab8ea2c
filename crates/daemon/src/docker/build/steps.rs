//! Stages and their instructions, one after the other.

use std::path::PathBuf;

use serde_json::json;
use shedbox_dockerfile::expand::EnvList;
use shedbox_dockerfile::{Instruction, Located, Pair, parse_trigger};
use shedbox_engine::{CommitOptions, Step};
use shedbox_spec::reference::Reference;
use shedbox_spec::{Digest, Error, Result, signal};

use super::super::{later, now};
use super::output::Stop;
use super::{Build, Stage, apply, cache, invalid, to_value};

impl Build {
    /// The whole build: `wanted` are the numbers of stages, the target last.
    pub(super) async fn all(&mut self, wanted: &[usize]) -> Result<(), Stop> {
        for global in self.stages.globals.clone() {
            self.begin(&global.original).await;
        }
        let last = wanted.last().copied().unwrap_or(0);
        let mut image = None;
        for index in wanted {
            image = self.stage(*index, *index == last).await?;
            if let Some(image) = &image {
                self.output.line(json!({"aux": {"ID": image}})).await;
            }
        }
        if let Some(warning) = self.args.unused_warning() {
            self.output.say(&format!("{warning}\n")).await;
        }
        let Some(image) = image else {
            return Err(Error::invalid("No image was generated. Is your Dockerfile empty?").into());
        };
        self.output.built(&image).await;
        for tag in self.options.tags.clone() {
            self.tag(&image, tag).await?;
        }
        Ok(())
    }

    async fn tag(&self, image: &Digest, tag: String) -> Result<()> {
        let familiar = Reference::parse(&tag)?.familiar();
        let source = image.to_string();
        later(&self.docker, move |engine| engine.tag_image(&source, &tag)).await?;
        self.docker
            .events
            .thing("image", "tag", &image.to_string(), &[("name", &familiar)]);
        self.output
            .say(&format!("Successfully tagged {familiar}\n"))
            .await;
        Ok(())
    }

    async fn begin(&mut self, text: &str) {
        self.step += 1;
        let text = format!("Step {}/{} : {text}\n", self.step, self.steps);
        self.output.say(&text).await;
    }

    async fn show(&self, current: &Stage) {
        let id = current.image.as_ref().map_or("", Digest::short);
        self.output.say(&format!(" ---> {id}\n")).await;
    }

    /// One stage; its image.
    async fn stage(&mut self, index: usize, is_target: bool) -> Result<Option<Digest>, Stop> {
        let Some(stage) = self.stages.stages.get(index).cloned() else {
            return Ok(None);
        };
        self.args.start_stage();
        self.begin(&stage.start.original).await;
        let base = self.stages.base(index);
        let mut current = self.base(&base, stage.from.platform.as_deref()).await?;
        self.triggers(index, &mut current).await?;
        self.show(&current).await;
        for located in &stage.instructions {
            self.begin(&located.original).await;
            self.instruction(index, &mut current, located).await?;
            self.show(&current).await;
        }
        if is_target && !self.options.labels.is_empty() {
            self.labels(index, &mut current).await?;
        }
        let image = current.image.clone();
        if let Some(result) = self.results.get_mut(index) {
            *result = Some(current);
        }
        Ok(image)
    }

    /// What ONBUILD of the base image wants to be done.
    async fn triggers(&mut self, index: usize, current: &mut Stage) -> Result<(), Stop> {
        let triggers = current.config.take_triggers();
        if triggers.is_empty() {
            return Ok(());
        }
        let plural = if triggers.len() == 1 { "" } else { "s" };
        let text = format!("# Executing {} build trigger{plural}\n", triggers.len());
        self.output.say(&text).await;
        for trigger in triggers {
            let located = parse_trigger(&trigger).map_err(|error| invalid(&error))?;
            self.instruction(index, current, &located).await?;
        }
        Ok(())
    }

    /// `--label`: one more instruction of the target for each.
    async fn labels(&mut self, index: usize, current: &mut Stage) -> Result<(), Stop> {
        for (key, value) in std::mem::take(&mut self.options.labels) {
            let original = format!("LABEL {key}={value}");
            self.begin(&original).await;
            let instruction = Instruction::Label(vec![Pair { key, value }]);
            let located = Located {
                line: 0,
                end_line: 0,
                original,
                instruction: instruction.clone(),
            };
            // Values from the command line have no variables in them.
            self.settled(index, current, &located, instruction).await?;
            self.show(current).await;
        }
        Ok(())
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
            .map_err(|error| invalid(&error))?;
        self.settled(index, current, located, expanded).await
    }

    /// An instruction whose variables have their values.
    async fn settled(
        &mut self,
        index: usize,
        current: &mut Stage,
        located: &Located,
        instruction: Instruction,
    ) -> Result<(), Stop> {
        match &instruction {
            Instruction::Run(run) => return self.run(index, current, run).await,
            Instruction::Copy(copy) => {
                let from = copy.from.as_deref();
                return Ok(self
                    .transfer(index, current, "COPY", &copy.transfer, from)
                    .await?);
            }
            Instruction::Add(add) => {
                return Ok(self
                    .transfer(index, current, "ADD", &add.transfer, None)
                    .await?);
            }
            Instruction::Arg(list) => {
                for arg in list {
                    self.args
                        .declare(&arg.name, arg.default.clone())
                        .map_err(|error| invalid(&error))?;
                }
            }
            Instruction::StopSignal(name) => {
                signal::parse(name)
                    .map_err(|_| Error::invalid(format!("Invalid signal: {name}")))?;
            }
            Instruction::Maintainer(name) => self.author = Some(name.clone()),
            _ => {}
        }
        apply(&mut current.config, &instruction)?;
        let text = &located.original;
        match &instruction {
            Instruction::Workdir(_) => {
                let path = current.config.config().working_dir.clone();
                self.directories(current, &[path], text).await?;
            }
            // Commands that follow have to find it; the classic builder mounts an empty one there.
            Instruction::Volume(paths) => {
                let paths: Vec<String> = paths
                    .iter()
                    .map(|path| super::copy::absolute("/", path))
                    .collect();
                self.directories(current, &paths, text).await?;
            }
            _ => self.metadata(current, text).await?,
        }
        Ok(())
    }

    /// A step that changes nothing but the configuration.
    async fn metadata(&self, current: &mut Stage, text: &str) -> Result<()> {
        let config = to_value(current.config.config())?.to_string();
        let created_by = format!("/bin/sh -c #(nop)  {text}");
        let author = self.author.as_deref().unwrap_or_default();
        let key = cache::Key::new(current.image.as_ref(), &[&created_by, &config, author]);
        if let Some(image) = self.cached(&key).await {
            current.image = Some(image);
            return Ok(());
        }
        self.commit_config(current, created_by, &key).await
    }

    /// An image that differs from the one before by its configuration.
    pub(super) async fn commit_config(
        &self,
        current: &mut Stage,
        created_by: String,
        key: &cache::Key,
    ) -> Result<()> {
        let config = to_value(current.config.config())?;
        let (base, step) = (current.image.clone(), self.step_of(created_by));
        let made = later(&self.docker, move |engine| {
            engine.commit_empty(base.as_ref(), config, step)
        })
        .await?;
        self.remember(key, &made);
        current.image = Some(made);
        Ok(())
    }

    /// A sandbox that has changed files becomes the image of this step.
    pub(super) async fn commit(
        &self,
        current: &mut Stage,
        sandbox: &str,
        created_by: String,
        key: &cache::Key,
    ) -> Result<()> {
        let options = CommitOptions {
            config: Some(to_value(current.config.config())?),
            step: self.step_of(created_by),
            ..CommitOptions::default()
        };
        let name = sandbox.to_owned();
        let made = later(&self.docker, move |engine| engine.commit(&name, options)).await?;
        self.remember(key, &made);
        current.image = Some(made);
        Ok(())
    }

    fn step_of(&self, created_by: String) -> Step {
        Step {
            created_by: Some(created_by),
            author: self.author.clone(),
            ..Step::default()
        }
    }

    /// The image of a step that was done before, unless the cache is not to be used.
    pub(super) async fn cached(&self, key: &cache::Key) -> Option<Digest> {
        let found = self.noted(key)?;
        let image = now(|| self.docker.engine.inspect_image(&found))
            .ok()?
            .summary
            .id;
        self.output.say(" ---> Using cache\n").await;
        Some(image)
    }

    /// What was noted under a key, unless the cache is not to be used.
    pub(super) fn noted(&self, key: &cache::Key) -> Option<String> {
        if self.options.no_cache {
            return None;
        }
        key.find(&self.cache_dir())
    }

    fn remember(&self, key: &cache::Key, image: &Digest) {
        key.note(&self.cache_dir(), image.as_str());
    }

    pub(super) fn cache_dir(&self) -> PathBuf {
        self.root().join("cache")
    }
}
