//! The config of an image, and what instructions make of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Deserializer, Serialize};

use crate::expand::{ExpandError, Lookup};
use crate::path::joined_workdir;
pub use crate::port::PortError;
use crate::port::exposed;
use crate::words::split_command;
use crate::{Instruction, Keyword, ParseError, Problem, logical_lines, name_set};

/// What a stage may put into its config in bytes. Linux refuses to start anything with more than a few MiB of
/// environment; the bound keeps doubling variables from filling the memory.
pub const MOST_TEXT: usize = 16 << 20;

/// The `config` object of an image, in Docker's and OCI's JSON names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `NAME=value`, each name once.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    /// The default command, or the arguments of the entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// The default program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Labels.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`.
    #[serde(with = "name_set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Mount points.
    #[serde(with = "name_set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The working directory.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// The user.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// The shell of shell forms; none is `/bin/sh -c`.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub shell: Vec<String>,
    /// The signal that ends the container.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// How to find out whether the container is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Triggers for images built upon this one.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_build: Vec<String>,
    /// Everything else that the base image says.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// A health check; times in nanoseconds, 0 is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "see `Healthcheck`")]
pub struct HealthConfig {
    /// `NONE`, or `CMD` and arguments, or `CMD-SHELL` and a text.
    #[serde(
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// An instruction that a config cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ConfigError {
    #[error("{0} is not a valid change command")]
    NotAChange(String),
    #[error("cannot normalize nothing")]
    EmptyWorkdir,
    #[error("{0} names can not be blank")]
    BlankName(Keyword),
    #[error("the config of this image is longer than {MOST_TEXT} bytes")]
    TooLong,
    #[error("{0}")]
    Port(PortError),
    #[error("{0}")]
    Parse(ParseError),
    #[error("{0}")]
    Expand(ExpandError),
}

impl From<PortError> for ConfigError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<ParseError> for ConfigError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<ExpandError> for ConfigError {
    fn from(error: ExpandError) -> Self {
        Self::Expand(error)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Go writes `null` for empty lists and maps.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl ImageConfig {
    /// The shell of shell forms.
    pub fn shell(&self) -> Vec<String> {
        if self.shell.is_empty() {
            ["/bin/sh", "-c"].map(str::to_owned).to_vec()
        } else {
            self.shell.clone()
        }
    }
}

/// The config of a stage that is being built.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageConfig {
    config: ImageConfig,
    /// Where each variable is in `Env`, so that setting many stays cheap.
    places: HashMap<String, usize>,
    /// Whether this stage has set the command; one of the base image goes when an entrypoint comes.
    command_set: bool,
    text: usize,
}

impl StageConfig {
    /// Starts from the config of a base image; its triggers stay until [`StageConfig::take_triggers`].
    pub fn new(base: ImageConfig) -> Self {
        let mut places = HashMap::new();
        for (place, entry) in base.env.iter().enumerate() {
            let name = entry
                .split_once('=')
                .map_or(entry.as_str(), |(name, _)| name);
            places.entry(name.to_owned()).or_insert(place);
        }
        Self {
            config: base,
            places,
            command_set: false,
            text: 0,
        }
    }

    /// The config so far.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// The config at last.
    pub fn into_config(self) -> ImageConfig {
        self.config
    }

    /// Takes the triggers of the base image out, to be run first.
    pub fn take_triggers(&mut self) -> Vec<String> {
        std::mem::take(&mut self.config.on_build)
    }

    /// Sets a variable; a known name keeps its place.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        if let Some(old) = self
            .places
            .get(name)
            .and_then(|place| self.config.env.get_mut(*place))
        {
            *old = entry;
            return;
        }
        self.places.insert(name.to_owned(), self.config.env.len());
        self.config.env.push(entry);
    }

    /// Applies an instruction whose variables are replaced. Those that only change files change nothing here.
    pub fn apply(&mut self, instruction: &Instruction) -> Result<(), ConfigError> {
        self.check_text(instruction)?;
        let config = &mut self.config;
        match instruction {
            Instruction::Env(pairs) => pairs
                .iter()
                .for_each(|pair| self.set_env(&pair.key, &pair.value)),
            Instruction::Label(pairs) => {
                config.labels.extend(
                    pairs
                        .iter()
                        .map(|pair| (pair.key.clone(), pair.value.clone())),
                );
            }
            Instruction::Cmd(command) => {
                let arguments = command.arguments(&config.shell());
                self.command_set |= !arguments.is_empty();
                config.cmd = Some(arguments);
            }
            Instruction::Entrypoint(command) => {
                config.entrypoint =
                    Some(command.arguments(&config.shell())).filter(|words| !words.is_empty());
                if !self.command_set {
                    config.cmd = None;
                }
            }
            Instruction::Expose(ports) => {
                config.exposed_ports.extend(exposed(ports)?);
            }
            Instruction::Volume(paths) => {
                config.volumes.extend(paths.iter().cloned());
            }
            Instruction::Workdir(path) if path.is_empty() => return Err(ConfigError::EmptyWorkdir),
            Instruction::Workdir(path) => {
                config.working_dir = joined_workdir(&config.working_dir, path);
            }
            Instruction::User(user) => config.user.clone_from(user),
            Instruction::Shell(shell) => config.shell.clone_from(shell),
            Instruction::StopSignal(signal) => config.stop_signal.clone_from(signal),
            Instruction::Healthcheck(check) => config.healthcheck = Some(HealthConfig::from(check)),
            Instruction::Onbuild(trigger) => config.on_build.push(trigger.expression.clone()),
            Instruction::Add(_)
            | Instruction::Arg(_)
            | Instruction::Copy(_)
            | Instruction::From(_)
            | Instruction::Maintainer(_)
            | Instruction::Run(_) => {}
        }
        Ok(())
    }

    /// Names must not be blank, and all that variables can make longer must not become too long.
    fn check_text(&mut self, instruction: &Instruction) -> Result<(), ConfigError> {
        self.text += match instruction {
            Instruction::Env(pairs) | Instruction::Label(pairs) => {
                if pairs.iter().any(|pair| pair.key.is_empty()) {
                    return Err(ConfigError::BlankName(instruction.keyword()));
                }
                pairs
                    .iter()
                    .map(|pair| pair.key.len() + pair.value.len())
                    .sum()
            }
            Instruction::Volume(paths) => paths.iter().map(String::len).sum(),
            _ => 0,
        };
        if self.text > MOST_TEXT {
            Err(ConfigError::TooLong)
        } else {
            Ok(())
        }
    }
}

impl Lookup for StageConfig {
    fn lookup(&self, name: &str) -> Option<&str> {
        let entry = self.config.env.get(*self.places.get(name)?)?;
        Some(entry.split_once('=').map_or("", |(_, value)| value))
    }
}

impl From<&crate::Healthcheck> for HealthConfig {
    fn from(check: &crate::Healthcheck) -> Self {
        let test = match &check.command {
            None => vec!["NONE".to_owned()],
            Some(crate::CommandLine::Exec(words)) => ["CMD".to_owned()]
                .into_iter()
                .chain(words.clone())
                .collect(),
            Some(crate::CommandLine::Shell(text)) => vec!["CMD-SHELL".to_owned(), text.clone()],
        };
        Self {
            test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }
    }
}

/// Applies the lines of `docker commit --change` and `docker import --change`.
pub fn changes(base: ImageConfig, lines: &[String]) -> Result<ImageConfig, ConfigError> {
    if lines.is_empty() {
        return Ok(base);
    }
    let text = lines.join("\n");
    let read = logical_lines::logical_lines(&text)?;
    // All words are checked before any line is looked at, so that the answer is about the word.
    for line in &read.lines {
        let word = split_command(&line.text).keyword;
        if !Keyword::from_word(word).is_some_and(Keyword::is_change) {
            return Err(ConfigError::NotAChange(word.to_owned()));
        }
    }
    let escape = read.directives.escape;
    let mut stage = StageConfig::new(base);
    for line in read.lines {
        let instruction =
            crate::instruction_parser::instruction(line.text.trim(), line.here_documents, escape)
                .map_err(|problem: Problem| ParseError::at(line.start, problem))?;
        let instruction = instruction.expanded(escape, &stage)?;
        stage.apply(&instruction)?;
    }
    Ok(stage.into_config())
}
