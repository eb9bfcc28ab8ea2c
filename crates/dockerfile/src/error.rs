//! What can be wrong with a Dockerfile, in Docker's words.

use std::fmt;

use crate::Keyword;
use crate::duration::DurationError;
use crate::expand::ExpandError;

/// A Dockerfile that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line where the instruction starts, counted from 1; none when it is about the file.
    pub line: Option<usize>,
    /// What is wrong there.
    pub problem: Problem,
}

impl ParseError {
    pub(crate) fn at(line: usize, problem: Problem) -> Self {
        Self {
            line: Some(line),
            problem,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, &self.problem) {
            // Docker tells no line for these two.
            (None, problem) | (_, problem @ (Problem::NoInstructions | Problem::NoBuildStage)) => {
                write!(formatter, "{problem}")
            }
            (Some(line), problem) => {
                write!(formatter, "dockerfile parse error line {line}: {problem}")
            }
        }
    }
}

impl std::error::Error for ParseError {}

/// What is wrong with a line. The texts are Docker's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum Problem {
    #[error("file with no instructions")]
    NoInstructions,
    #[error("no build stage in current context")]
    NoBuildStage,
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(String),
    #[error("invalid escape token '{0}' does not match ` or \\")]
    InvalidEscape(String),
    #[error("unterminated heredoc")]
    UnterminatedHereDocument,
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    #[error("{0} requires at least one argument")]
    AtLeastOneArgument(Keyword),
    #[error("{0} requires exactly one argument")]
    ExactlyOneArgument(Keyword),
    #[error(
        "{0} requires at least two arguments, but only one was provided. Destination could not be determined."
    )]
    NoDestination(Keyword),
    #[error("{0} cannot accept a heredoc as a destination")]
    HereDocumentDestination(Keyword),
    #[error("{0} names can not be blank")]
    BlankName(Keyword),
    #[error("{0} must have two arguments")]
    TwoArguments(Keyword),
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoEqualSign(String),
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    #[error(
        "invalid name for build stage: {0:?}, name can't start with a number or contain symbols"
    )]
    StageName(String),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotOnlyStrings,
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(Keyword),
    #[error("Unknown flag: {0}")]
    UnknownFlag(String),
    #[error("Duplicate flag specified: {0}")]
    DuplicateFlag(String),
    #[error("Missing a value on flag: {0}")]
    MissingFlagValue(String),
    #[error("Expecting boolean value for flag {flag}, not: {value}")]
    NotBoolean { flag: String, value: String },
    #[error("{keyword} --{flag} is not supported")]
    UnsupportedFlag {
        keyword: Keyword,
        flag: &'static str,
    },
    #[error("unsupported network mode {0:?}")]
    NetworkMode(String),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    #[error("Unknown type {0:?} in HEALTHCHECK (try CMD)")]
    HealthcheckType(String),
    #[error("Interval {0:?} cannot be less than 1ms")]
    ShortInterval(&'static str),
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    #[error("strconv.ParseInt: parsing {0:?}: invalid syntax")]
    Retries(String),
    #[error("{0}")]
    Duration(DurationError),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedOnbuild,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    Trigger(Keyword),
    #[error("a trigger is one instruction, not {0}")]
    TriggerCount(usize),
    #[error("failed to parse csv mounts: {0:?}")]
    MountFields(String),
    #[error("unsupported mount type {0:?}")]
    MountType(String),
    #[error("unsupported sharing value {0:?}")]
    MountSharing(String),
    #[error("invalid field '{0}' must be a key=value pair")]
    MountField(String),
    #[error("unexpected key '{key}' in '{field}'")]
    MountKey { key: String, field: String },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    MountKeyForType { key: String, kind: &'static str },
    #[error("invalid value for {key}: {value}")]
    MountValue { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    MountNumber { key: &'static str, value: String },
    #[error("{key} not allowed for {kind:?} type mounts")]
    MountOwner {
        key: &'static str,
        kind: &'static str,
    },
    #[error("{0}")]
    MountRule(&'static str),
    #[error("{0}")]
    Expand(ExpandError),
}

impl From<DurationError> for Problem {
    fn from(error: DurationError) -> Self {
        Self::Duration(error)
    }
}

impl From<ExpandError> for Problem {
    fn from(error: ExpandError) -> Self {
        Self::Expand(error)
    }
}
