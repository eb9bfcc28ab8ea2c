//! The one error that crosses process borders: a kind, a message, a hint.

use serde::{Deserialize, Serialize};

use crate::SandboxId;
use crate::exec::NotStarted;

/// What went wrong, as far as a caller can act on it. The only source of exit codes and HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The named thing does not exist.
    NotFound,
    /// The named thing is in a state, or has an owner, that forbids this now.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// The caller or the host's policy does not allow it.
    Denied,
    /// This host or this build cannot do it.
    Unsupported,
    /// Out of a resource: disk, memory, ids, descriptors.
    Exhausted,
    /// A remote party (registry, proxy) failed or did not answer.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// The HTTP status for this kind.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::Invalid => 400,
            Kind::Denied => 403,
            Kind::Unsupported => 501,
            Kind::Exhausted => 507,
            Kind::Unavailable => 502,
            Kind::Internal => 500,
        }
    }
}

/// What exactly happened, for a front end that has words of its own for it, as Docker's API has: nobody takes a message
/// apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The name of a sandbox is that of the sandbox with this id.
    NameTaken(SandboxId),
    /// A sandbox was to get the name that it has.
    SameName,
    /// No sandbox has this name or id.
    NoSandbox(String),
    /// The sandbox whose network is to be shared does not run.
    NeighbourStopped(SandboxId),
    /// No network has this name or id.
    NoNetwork(String),
    /// A network has this name already.
    NetworkExists,
    /// The sandbox is on this network already.
    Connected,
    /// Something else listens at this address and port of the host.
    PortTaken(String),
    /// A sandbox was made from the image.
    ImageInUse(SandboxId),
    /// The image has several names.
    ManyNames,
    /// The file system or the volume is read-only.
    ReadOnly,
    /// The main process could not be started.
    NotStarted(NotStarted),
}

/// An error as the API and the sandbox socket carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What a caller can act on.
    pub kind: Kind,
    /// What went wrong, with the value that was wrong. Lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What exactly happened, where somebody wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Cause>>,
}

/// Results of this crate and of the API.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            cause: None,
        }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// The named thing does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// The thing's state forbids it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// A defect or an unexpected failure of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with what exactly happened.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// What exactly happened.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_deref()
    }
}

/// The whole chain of an error on one line, outermost first: `a: b: c`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
