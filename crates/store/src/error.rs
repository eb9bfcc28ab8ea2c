//! What can go wrong on the disk.

use std::path::PathBuf;

use shedbox_linux::errno::Errno;
use shedbox_spec::{Digest, Error as SpecError, Kind};

/// Results of this crate.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failure of the store. [`StoreError::to_spec`] gives the kind, message and hint that callers see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A kernel call failed.
    #[error("cannot {what}")]
    Kernel {
        /// What was being done, with the file's name.
        what: String,
        /// The call.
        #[source]
        source: shedbox_linux::Error,
    },
    /// A file of the store could not be read or written.
    #[error("cannot {what}")]
    Io {
        /// What was being done, with the file's name.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The compressed stream could not be read from its source (network, archive).
    #[error("cannot read the layer's data")]
    Source(#[source] std::io::Error),
    /// The other half of an ingest has failed; its error is the one to report.
    #[error("stopped because another part has failed")]
    Aborted,
    /// Another daemon owns the root.
    #[error("`{}` is in use by another daemon{}", root.display(), holder.map_or_else(String::new, |pid| format!(" (pid {pid})")))]
    Locked {
        /// The data directory.
        root: PathBuf,
        /// Its pid, when it has written one.
        holder: Option<u32>,
    },
    /// The store was written by a shedbox whose format this one does not know.
    #[error("store `{}` needs the unknown features {}", root.display(), features.join(", "))]
    Format {
        /// The store directory.
        root: PathBuf,
        /// What this build does not know.
        features: Vec<String>,
    },
    /// A file of the store does not say what it must.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Content is not what its digest says.
    #[error("{what} is {actual}, expected {expected}")]
    DigestMismatch {
        /// `blob`, `compressed layer` or `extracted layer`.
        what: &'static str,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// A blob is longer or shorter than its descriptor says.
    #[error("blob has {actual} bytes or more, expected {expected}")]
    SizeMismatch {
        /// What was asked for.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The compressed stream is broken or ends early.
    #[error("layer data is broken ({encoding})")]
    Corrupt {
        /// `gzip`, `zstd` or `tar`.
        encoding: &'static str,
        /// What the decoder says.
        #[source]
        source: std::io::Error,
    },
    /// The tar stream is malformed.
    #[error("layer is not a valid tar archive: {0}")]
    Tar(String),
    /// An entry of a layer cannot be accepted.
    #[error("layer entry `{entry}`: {reason}")]
    Entry {
        /// The name in the archive, lossy and shortened.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry belongs to an id that the id map does not have.
    #[error("layer entry `{entry}` belongs to {which} {id}, and ids above {max} are not mapped")]
    UnmappedId {
        /// The name in the archive.
        entry: String,
        /// `uid` or `gid`.
        which: &'static str,
        /// The id.
        id: u64,
        /// The highest one that is mapped.
        max: u32,
    },
    /// A limit of [`UnpackLimits`](crate::UnpackLimits) was reached.
    #[error("layer exceeds the limit of {limit} {what}")]
    Limit {
        /// `bytes`, `entries`, …
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The configuration field that raises it.
        setting: &'static str,
    },
    /// A layer is not the one any more that its record describes.
    #[error("layer {diff_id} cannot be written as it came: {reason}")]
    NotReproduced {
        /// The layer.
        diff_id: Digest,
        /// What does not fit.
        reason: String,
    },
    /// A sandbox has changed more paths than can be listed.
    #[error("the sandbox has changed more than 256 MiB of paths")]
    TooManyChanges,
    /// No such blob, layer, image or reference.
    #[error("no such {what}: `{name}`")]
    NotFound {
        /// `blob`, `layer`, `image`.
        what: &'static str,
        /// Its name or digest.
        name: String,
    },
    /// A short id fits several images.
    #[error("`{name}` fits several images")]
    Ambiguous {
        /// What was asked for.
        name: String,
    },
    /// The image is in use.
    #[error("image {id} is in use by a sandbox")]
    InUse {
        /// Image id.
        id: Digest,
    },
}

impl StoreError {
    /// Whether the disk (or a quota, or the inode table) is full.
    pub fn is_no_space(&self) -> bool {
        let code = match self {
            Self::Kernel { source, .. } => Some(source.errno as i32),
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        };
        code.is_some_and(|code| matches!(Errno::from_raw(code), Errno::ENOSPC | Errno::EDQUOT))
    }

    /// The kind that decides exit and HTTP codes.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kernel { .. } | Self::Io { .. } => {
                if self.is_no_space() {
                    return Kind::Exhausted;
                }
                let code = match self {
                    Self::Kernel { source, .. } => source.errno,
                    Self::Io { source, .. } => {
                        source.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
                    }
                    _ => Errno::EIO,
                };
                match code {
                    Errno::EACCES | Errno::EPERM | Errno::EROFS => Kind::Denied,
                    Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Kind::Exhausted,
                    _ => Kind::Internal,
                }
            }
            Self::Source(_) => Kind::Unavailable,
            Self::Locked { .. } | Self::InUse { .. } => Kind::Conflict,
            Self::Format { .. } => Kind::Unsupported,
            Self::Damaged { .. } | Self::Aborted | Self::NotReproduced { .. } => Kind::Internal,
            Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::Corrupt { .. }
            | Self::Tar(_)
            | Self::Entry { .. }
            | Self::UnmappedId { .. }
            | Self::Ambiguous { .. } => Kind::Invalid,
            Self::Limit { .. } | Self::TooManyChanges => Kind::Exhausted,
            Self::NotFound { .. } => Kind::NotFound,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kernel { .. } | Self::Io { .. } if self.is_no_space() => Some(
                "the disk is full (bytes or inodes): `shedbox prune --all` removes what nothing uses; \
                 SHEDBOX_ROOT moves the store to another disk"
                    .to_owned(),
            ),
            Self::Kernel { .. } | Self::Io { .. } => match self.kind() {
                Kind::Denied => Some(
                    "the data directory must be writable by you and on a file system without `ro`; \
                     see `shedbox doctor`"
                        .to_owned(),
                ),
                Kind::Exhausted => Some("raise the limit of open files (`ulimit -n`)".to_owned()),
                _ => None,
            },
            Self::Locked { .. } => Some(
                "use the running daemon, stop it, or set SHEDBOX_ROOT to another directory".to_owned(),
            ),
            Self::Format { .. } => Some(
                "it was written by a newer shedbox: use that one, or set SHEDBOX_ROOT to another directory"
                    .to_owned(),
            ),
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } | Self::Corrupt { .. } => Some(
                "the registry or archive served damaged data: pull again, or ask its owner".to_owned(),
            ),
            Self::UnmappedId { max, .. } => Some(format!(
                "give your user more than {} subordinate ids (`usermod --add-subuids FIRST-LAST \
                 --add-subgids FIRST-LAST $USER`), see `shedbox doctor`",
                u64::from(*max) + 1
            )),
            Self::Limit { setting, .. } => {
                Some(format!("raise `{setting}` in config.toml if the image is to be trusted"))
            }
            Self::Damaged { .. } | Self::NotReproduced { .. } => {
                Some("remove the image and pull it again; the file may have been lost in a crash".to_owned())
            }
            Self::TooManyChanges => Some("reset or remove the sandbox".to_owned()),
            Self::Ambiguous { .. } => Some("give more digits".to_owned()),
            Self::InUse { .. } => Some("remove the sandbox first, see `shedbox ps --all`".to_owned()),
            Self::Source(_)
            | Self::Aborted
            | Self::Tar(_)
            | Self::Entry { .. }
            | Self::NotFound { .. } => None,
        }
    }

    /// The error as it crosses process borders.
    pub fn to_spec(&self) -> SpecError {
        let error = SpecError::new(self.kind(), shedbox_spec::error::chain(self));
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<StoreError> for SpecError {
    fn from(error: StoreError) -> Self {
        error.to_spec()
    }
}

/// Says what was being done when a call failed.
pub(crate) trait Doing<T> {
    /// `what` runs only on failure and continues "cannot …".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for shedbox_linux::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| StoreError::Kernel {
            what: what(),
            source,
        })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| StoreError::Io {
            what: what(),
            source,
        })
    }
}
