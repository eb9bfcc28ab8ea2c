//! What can go wrong with images, and what to do about it.

use std::path::PathBuf;

use shedbox_spec::Kind;

use crate::registry::failure::{Failure, Failures};

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a pull, load or save.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong: reference, platform.
    #[error(transparent)]
    Spec(#[from] shedbox_spec::Error),
    /// The disk.
    #[error(transparent)]
    Store(#[from] shedbox_store::StoreError),
    /// No network was allowed and the image is not here.
    #[error("image `{reference}` is not in the store{}", platform_note(.platform.as_deref()))]
    NotPresent {
        /// The full reference.
        reference: String,
        /// The platform asked for, when that is what is missing.
        platform: Option<String>,
    },
    /// No registry or mirror served it.
    #[error("cannot fetch {what}")]
    Fetch {
        /// What was wanted, with its registry.
        what: String,
        /// Each endpoint with its last failure.
        #[source]
        failures: Failures,
    },
    /// The registry did not take it.
    #[error("cannot push {what}")]
    Push {
        /// What was sent, with its reference.
        what: String,
        /// The registry with its last failure.
        #[source]
        failures: Failures,
    },
    /// A document of the image is not what the specification asks for.
    #[error("{what} is invalid: {reason}")]
    Document {
        /// Which document of which image.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is valid, but not one that can be run here.
    #[error("{what} cannot be used: {reason}")]
    Unsupported {
        /// Which image or layer.
        what: String,
        /// Why.
        reason: String,
    },
    /// The index has no image for the platform.
    #[error(
        "`{reference}` has no image for platform {wanted}; it has {}",
        list(.available)
    )]
    Platform {
        /// The full reference.
        reference: String,
        /// What was asked for.
        wanted: String,
        /// What is there.
        available: Vec<String>,
    },
    /// A credential file cannot be used.
    #[error("cannot use credential file {}: {reason}", path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential helper cannot be used.
    #[error("cannot get the credential of {server} from `{program}`: {reason}")]
    CredentialHelper {
        /// Its program.
        program: String,
        /// The registry.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The configuration of a registry cannot be used.
    #[error("cannot use the configuration of registry `{registry}`: {reason}")]
    Configuration {
        /// The registry's host.
        registry: String,
        /// What is wrong.
        reason: String,
    },
    /// An archive or layout directory is not one.
    #[error("cannot load {what}: {reason}")]
    Archive {
        /// The archive, or the member of it.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer could not be brought into the store.
    #[error("cannot extract {what}")]
    Layer {
        /// Which layer of which image.
        what: String,
        /// Why.
        #[source]
        source: shedbox_store::StoreError,
    },
    /// Reading or writing failed.
    #[error("cannot {what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

fn platform_note(platform: Option<&str>) -> String {
    platform.map_or_else(String::new, |platform| format!(" for platform {platform}"))
}

fn list(available: &[String]) -> String {
    if available.is_empty() {
        "none".to_owned()
    } else {
        available.join(", ")
    }
}

impl Error {
    /// A push failed at `host`. What is wrong on our own side is no failure of the registry's.
    pub(crate) fn push(what: &str, host: String, failure: Failure) -> Self {
        match failure {
            Failure::Local {
                message,
                hint,
                kind,
            } => Self::Spec(shedbox_spec::Error {
                kind,
                message,
                hint,
                cause: None,
            }),
            failure => Self::Push {
                what: what.to_owned(),
                failures: Failures(vec![(host, failure)]),
            },
        }
    }

    /// What a caller can act on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Spec(error) => error.kind,
            Self::Store(error) | Self::Layer { source: error, .. } => error.kind(),
            Self::NotPresent { .. } | Self::Platform { .. } => Kind::NotFound,
            Self::Fetch { failures, .. } | Self::Push { failures, .. } => failures.kind(),
            Self::Document { .. }
            | Self::Archive { .. }
            | Self::CredentialFile { .. }
            | Self::Configuration { .. } => Kind::Invalid,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::CredentialHelper { .. } => Kind::Denied,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Kind::Exhausted
                }
                std::io::ErrorKind::NotFound => Kind::NotFound,
                std::io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Internal,
            },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spec(error) => error.hint.clone(),
            Self::Store(error) | Self::Layer { source: error, .. } => error.hint(),
            Self::NotPresent { reference, .. }
                if shedbox_spec::reference::id_prefix(reference).is_some() =>
            {
                Some("`shedbox images` lists what is there".to_owned())
            }
            Self::NotPresent { reference, .. } => Some(format!(
                "fetch it with `shedbox pull {reference}`, or allow that with `--pull missing`"
            )),
            Self::Fetch { failures, .. } | Self::Push { failures, .. } => failures.hint(),
            Self::Platform { available, .. } => available
                .first()
                .map(|first| format!("choose one with `--platform {first}`")),
            Self::CredentialFile { path, .. } => Some(format!(
                "mend {} or log in again with `docker login` or `podman login`",
                path.display()
            )),
            Self::CredentialHelper { .. } => Some(
                "install or mend the helper, or remove it from `credsStore` and `credHelpers` of the credential file"
                    .to_owned(),
            ),
            Self::Archive { .. } => Some(
                "an archive of `docker save`, `podman save` or `shedbox save`, or an OCI layout, is wanted".to_owned(),
            ),
            Self::Io { source, .. } if self.kind() == Kind::Exhausted => Some(format!(
                "make room and try again ({source}); `shedbox prune` removes what nothing uses"
            )),
            Self::Configuration { .. } => {
                Some("see `[registries]` in the configuration file".to_owned())
            }
            Self::Document { .. } | Self::Unsupported { .. } | Self::Io { .. } => None,
        }
    }
}

impl From<Error> for shedbox_spec::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: shedbox_spec::error::chain(&error),
            hint: error.hint(),
            cause: None,
        }
    }
}

/// What a remote party said, cut to a length that fits a message, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    if line.chars().count() <= MAX {
        line
    } else {
        line.chars().take(MAX).collect::<String>() + "…"
    }
}
