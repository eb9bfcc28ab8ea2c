//! What can go wrong for a program that uses shedbox.

use std::path::PathBuf;

use shedbox_linux::errno::Errno;
use shedbox_spec::Kind;
use shedbox_spec::exec::NotStarted;

/// An error of this crate. [`Error::kind`] is what a program acts on, [`Error::hint`] what a person does.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon or the sandbox refused.
    #[error(transparent)]
    Refused(#[from] shedbox_spec::Error),
    /// A kernel call failed on this side.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: String,
        /// The call.
        #[source]
        source: shedbox_linux::Error,
    },
    /// Reading or writing failed on this side.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The daemon could not be started.
    #[error("cannot start the daemon: {reason}")]
    DaemonStart {
        /// Its own words, or what was seen of its end.
        reason: String,
        /// What it says can be done.
        hint: Option<String>,
        /// Where it writes what it has to say.
        log: PathBuf,
    },
    /// The other side broke the protocol: another version of shedbox, as a rule.
    #[error("unexpected answer from {from}: {what}")]
    Protocol {
        /// Who answered.
        from: &'static str,
        /// What was wrong with it.
        what: String,
    },
    /// The sandbox ended while a command ran in it, and took the command's result along.
    #[error("sandbox {sandbox} was killed while the command ran")]
    Killed {
        /// Id or name.
        sandbox: String,
    },
    /// The sandbox ended before it took the request: nothing was done.
    #[error("sandbox {sandbox} ended before it took the request")]
    NotTaken {
        /// Id or name.
        sandbox: String,
    },
    /// The command could not be started.
    #[error("{}", .0.message)]
    NotStarted(NotStarted),
    /// An archive from a sandbox tried to reach outside the directory it was unpacked into, or cannot be represented.
    #[error("entry `{entry}` of the archive {why}")]
    Archive {
        /// Its name in the archive.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(shedbox_linux::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    pub(crate) fn protocol(from: &'static str, what: impl Into<String>) -> Self {
        Self::Protocol {
            from,
            what: what.into(),
        }
    }

    /// What a program can act on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(error) => error.kind,
            Self::System { source, .. } => kind_of(source.errno),
            Self::Io { source, .. } => match source.raw_os_error() {
                Some(code) => kind_of(Errno::from_raw(code)),
                None => Kind::Internal,
            },
            Self::DaemonStart { .. } | Self::Protocol { .. } => Kind::Internal,
            Self::Killed { .. } | Self::NotTaken { .. } => Kind::Conflict,
            Self::NotStarted(NotStarted { code: 127, .. }) => Kind::NotFound,
            Self::NotStarted(_) | Self::Archive { .. } => Kind::Invalid,
        }
    }

    /// What to do about it, when there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(error) => error.hint.clone(),
            Self::System { source, .. } => hint_of(source.errno).map(str::to_owned),
            Self::Io { source, .. } => source
                .raw_os_error()
                .and_then(|code| hint_of(Errno::from_raw(code)))
                .map(str::to_owned),
            Self::DaemonStart { hint, log, .. } => Some(match hint {
                Some(hint) => hint.clone(),
                None => format!("see {} and `shedbox doctor`", log.display()),
            }),
            Self::Protocol { .. } => Some(
                "client and daemon may be of different versions; run `shedbox daemon stop` and try again".to_owned(),
            ),
            Self::Killed { .. } | Self::NotTaken { .. } => Some("look at it with `shedbox ps -a` and `shedbox logs`".to_owned()),
            Self::NotStarted(_) => None,
            Self::Archive { .. } => Some("nothing outside the target directory was touched".to_owned()),
        }
    }
}

impl From<Error> for shedbox_spec::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(error) => error,
            other => Self {
                kind: other.kind(),
                hint: other.hint(),
                message: shedbox_spec::error::chain(&other),
                cause: None,
            },
        }
    }
}

fn kind_of(errno: Errno) -> Kind {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH => Kind::NotFound,
        Errno::EACCES | Errno::EPERM | Errno::EROFS => Kind::Denied,
        Errno::EEXIST | Errno::EBUSY | Errno::ENOTEMPTY | Errno::EISDIR => Kind::Conflict,
        Errno::EINVAL | Errno::ELOOP | Errno::ENAMETOOLONG | Errno::E2BIG => Kind::Invalid,
        Errno::ENOSPC | Errno::EDQUOT | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => {
            Kind::Exhausted
        }
        Errno::ENOSYS | Errno::EOPNOTSUPP => Kind::Unsupported,
        Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::EPIPE => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn hint_of(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EMFILE => "raise the limit of open files: `ulimit -n`",
        Errno::ENOSPC | Errno::EDQUOT => {
            "the disk is full; `shedbox prune` removes what nothing uses"
        }
        Errno::EACCES | Errno::EPERM => "check the owner and the mode of that path",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_crosses_the_border_once() {
        let error = Error::io("read /x")(std::io::Error::from_raw_os_error(28));
        let wire = shedbox_spec::Error::from(error);
        assert_eq!(wire.kind, Kind::Exhausted);
        assert_eq!(
            wire.message,
            "cannot read /x: No space left on device (os error 28)"
        );
        assert!(wire.hint.is_some());
        let refused = shedbox_spec::Error::not_found("no sandbox x").with_hint("h");
        assert_eq!(
            shedbox_spec::Error::from(Error::from(refused.clone())),
            refused
        );
    }
}
