//! Stages of a Dockerfile: where each starts from, and which a target needs.

use std::collections::{BTreeSet, HashMap};

use crate::expand::ExpandError;
use crate::scope::{Args, TooLong};
use crate::{Dockerfile, From, Instruction, Located, Mount};

/// Longest name of a base in bytes; an image reference has fewer than a thousand.
const LONGEST_BASE: usize = 4096;

/// One FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Image, platform and name; variables are replaced by [`Stages::expand`].
    pub from: From,
    /// Line and text of FROM.
    pub start: Located,
    /// The instructions behind it.
    pub instructions: Vec<Located>,
}

/// All stages, and the ARGs before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stages {
    /// ARG instructions before the first FROM.
    pub globals: Vec<Located>,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// The stages of each name, in order.
    by_name: HashMap<String, Vec<usize>>,
    escape: char,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The result of an earlier stage.
    Stage(usize),
    /// An image.
    Image(String),
    /// Nothing: `FROM scratch`.
    Scratch,
}

/// A stage that cannot be built or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum StageError {
    #[error("dockerfile contains no stages to build")]
    NoStages,
    #[error("target stage {0:?} could not be found")]
    UnknownTarget(String),
    #[error("invalid from flag value {0}: refers to current build stage")]
    CurrentStage(String),
    #[error("invalid from flag value {0}: index out of bounds")]
    NoSuchStage(String),
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    #[error("the base name or platform of line {0} is longer than {LONGEST_BASE} bytes")]
    LongBase(usize),
    #[error("{0}")]
    Arguments(TooLong),
    #[error("{0}")]
    Expand(ExpandError),
}

impl std::convert::From<TooLong> for StageError {
    fn from(error: TooLong) -> Self {
        Self::Arguments(error)
    }
}

impl std::convert::From<ExpandError> for StageError {
    fn from(error: ExpandError) -> Self {
        Self::Expand(error)
    }
}

impl Stages {
    /// Splits a file.
    pub fn split(file: Dockerfile) -> Result<Self, StageError> {
        let mut split = Self {
            escape: file.directives.escape,
            ..Self::default()
        };
        for located in file.instructions {
            if let Instruction::From(from) = &located.instruction {
                if let Some(name) = &from.name {
                    split
                        .by_name
                        .entry(name.clone())
                        .or_default()
                        .push(split.stages.len());
                }
                split.stages.push(Stage {
                    from: from.clone(),
                    start: located,
                    instructions: Vec::new(),
                });
            } else if let Some(stage) = split.stages.last_mut() {
                stage.instructions.push(located);
            } else {
                split.globals.push(located);
            }
        }
        if split.stages.is_empty() {
            Err(StageError::NoStages)
        } else {
            Ok(split)
        }
    }

    /// Declares the global ARGs and replaces variables in every FROM.
    pub fn expand(&mut self, args: &mut Args) -> Result<(), StageError> {
        for global in &self.globals {
            let expanded = global.instruction.expanded(self.escape, &args.for_from())?;
            if let Instruction::Arg(declared) = expanded {
                for arg in declared {
                    args.declare_global(&arg.name, arg.default)?;
                }
            }
        }
        let variables = args.for_from();
        for stage in &mut self.stages {
            if let Instruction::From(from) =
                stage.start.instruction.expanded(self.escape, &variables)?
            {
                if from.image.trim().is_empty() {
                    return Err(StageError::BlankBase(stage.from.image.clone()));
                }
                let platform_length = from.platform.as_ref().map_or(0, String::len);
                if from.image.len().max(platform_length) > LONGEST_BASE {
                    return Err(StageError::LongBase(stage.start.line));
                }
                // `--platform=$EMPTY` asks for nothing.
                let platform = from.platform.filter(|platform| !platform.is_empty());
                stage.from = From { platform, ..from };
            }
        }
        Ok(())
    }

    /// Where the stage of a number starts from.
    pub fn base(&self, index: usize) -> Origin {
        let image = self
            .stages
            .get(index)
            .map_or("scratch", |stage| stage.from.image.as_str());
        self.named_before(image, index)
            .unwrap_or_else(|| match image {
                "scratch" => Origin::Scratch,
                image => Origin::Image(image.to_owned()),
            })
    }

    /// What `COPY --from=` or `RUN --mount=from=` means in the stage of a number: an earlier stage by name or number,
    /// else an image.
    pub fn origin(&self, index: usize, from: &str) -> Result<Origin, StageError> {
        if let Some(stage) = self.named_before(from, index) {
            return Ok(stage);
        }
        let digits = from.strip_prefix(['-', '+']).unwrap_or(from);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Origin::Image(from.to_owned()));
        }
        match from.parse::<usize>() {
            Ok(number) if number < index => Ok(Origin::Stage(number)),
            Ok(number) if number == index => Err(StageError::CurrentStage(from.to_owned())),
            _ => Err(StageError::NoSuchStage(from.to_owned())),
        }
    }

    /// The number of the stage that `--target` names or numbers; without one the last.
    pub fn target(&self, target: Option<&str>) -> Result<usize, StageError> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return self.stages.len().checked_sub(1).ok_or(StageError::NoStages);
        };
        if let Some(Origin::Stage(index)) = self.named_before(target, usize::MAX) {
            return Ok(index);
        }
        let number = target
            .parse()
            .ok()
            .filter(|number| *number < self.stages.len());
        number.ok_or_else(|| StageError::UnknownTarget(target.to_owned()))
    }

    /// What the classic builder builds for a target: everything up to it.
    pub fn all_until(&self, target: usize) -> Vec<usize> {
        (0..self.stages.len().min(target.saturating_add(1))).collect()
    }

    /// What the target starts from or copies from, and what that needs in turn; the target is the last.
    pub fn needed(&self, target: usize) -> Result<Vec<usize>, StageError> {
        let mut needed = BTreeSet::new();
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            let Some(stage) = self.stages.get(index) else {
                continue;
            };
            if !needed.insert(index) {
                continue;
            }
            let mut origins = vec![self.base(index)];
            for located in &stage.instructions {
                for from in sources_of(&located.instruction) {
                    origins.push(self.origin(index, &from)?);
                }
            }
            open.extend(origins.into_iter().filter_map(|origin| match origin {
                Origin::Stage(stage) => Some(stage),
                Origin::Image(_) | Origin::Scratch => None,
            }));
        }
        Ok(needed.into_iter().collect())
    }

    /// The second number of `Step 1/9`: global ARGs, and every line of the stages up to the target.
    pub fn step_count(&self, target: usize) -> usize {
        let stages = self.stages.iter().take(target.saturating_add(1));
        self.globals.len()
            + stages
                .map(|stage| 1 + stage.instructions.len())
                .sum::<usize>()
    }

    /// The last stage of a name before a number.
    fn named_before(&self, name: &str, index: usize) -> Option<Origin> {
        let stages = self.by_name.get(&name.to_lowercase())?;
        let count = stages.partition_point(|stage| *stage < index);
        stages
            .get(count.checked_sub(1)?)
            .copied()
            .map(Origin::Stage)
    }
}

/// The stages or images that an instruction takes files from.
fn sources_of(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run
            .mount_flags
            .iter()
            .filter_map(|flag| Mount::from_of(flag).ok().flatten())
            .collect(),
        _ => Vec::new(),
    }
}
