//! What can go wrong in the engine, and what a caller is told about it.

use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_spec::control::Failure;
use shedbox_spec::{Error, Kind};

/// Results of the engine.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// An error of the engine. [`Error`] is made from it by `From`.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The request cannot be met, and the text says why.
    #[error(transparent)]
    Refused(#[from] Error),
    /// A file operation failed.
    #[error("cannot {action}")]
    Io {
        /// What was being done, with the path.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A kernel call failed.
    #[error("cannot {action}")]
    Kernel {
        /// What was being done.
        action: String,
        /// The call.
        #[source]
        source: shedbox_linux::Error,
    },
    /// Keeper or init could not set a generation up.
    #[error("cannot start sandbox {sandbox}: stage `{}`: {} => {}", .failure.stage, .failure.call, errno_text(.failure.errno))]
    Generation {
        /// Short id of the sandbox.
        sandbox: String,
        /// What they reported.
        failure: Failure,
    },
    /// The keeper or an init did not say what it should have.
    #[error("{party} {complaint}")]
    Protocol {
        /// Who.
        party: String,
        /// What it did.
        complaint: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] shedbox_store::StoreError),
    /// A registry or an archive failed.
    #[error(transparent)]
    Image(#[from] shedbox_image::Error),
}

impl EngineError {
    /// The disk, a quota or the inode table is full.
    pub(crate) fn is_no_space(&self) -> bool {
        let full = |errno| matches!(Errno::from_raw(errno), Errno::ENOSPC | Errno::EDQUOT);
        match self {
            Self::Io { source, .. } => source.raw_os_error().is_some_and(full),
            Self::Kernel { source, .. } => full(source.errno as i32),
            // The limit on namespaces has the same number.
            Self::Generation { failure, .. } => {
                full(failure.errno) && failure.stage != "namespaces"
            }
            Self::Store(error) => error.is_no_space(),
            Self::Refused(_) | Self::Protocol { .. } | Self::Image(_) => false,
        }
    }
}

/// Adds what was being done to an error below.
pub(crate) trait Doing<T> {
    /// `action` completes the sentence "cannot …"; it runs only on failure.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| EngineError::Io {
            action: action(),
            source,
        })
    }
}

impl<T> Doing<T> for shedbox_linux::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| EngineError::Kernel {
            action: action(),
            source,
        })
    }
}

/// `make directory /a/b`, for [`Doing::doing`].
pub(crate) fn on_path(verb: &str, path: &Path) -> String {
    format!("{verb} {}", path.display())
}

fn errno_text(errno: i32) -> String {
    if errno == 0 {
        return "failed".to_owned();
    }
    let errno = Errno::from_raw(errno);
    format!("{errno:?} ({})", errno.desc())
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let message = shedbox_spec::error::chain(&error);
        let (kind, hint) = match error {
            EngineError::Refused(error) => return error,
            EngineError::Store(error) => return error.into(),
            EngineError::Image(error) => return error.into(),
            EngineError::Io { source, .. } => advice("", "", source.raw_os_error().unwrap_or(0)),
            EngineError::Kernel { source, .. } => advice("", source.call, source.errno as i32),
            EngineError::Generation { failure, .. } => {
                advice(&failure.stage, &failure.call, failure.errno)
            }
            EngineError::Protocol { .. } => (
                Kind::Internal,
                Some("look into daemon.log in the data directory".to_owned()),
            ),
        };
        Self {
            kind,
            message,
            hint,
            cause: None,
        }
    }
}

/// Kind and hint of a failed call. `stage` is the stage of a generation's set-up, empty elsewhere.
fn advice(stage: &str, call: &str, errno: i32) -> (Kind, Option<String>) {
    let namespaces = ["clone", "unshare", "setns"]
        .iter()
        .any(|name| call.starts_with(name));
    let hint = |text: &str| Some(text.to_owned());
    match Errno::from_raw(errno) {
        Errno::EPERM | Errno::EACCES if namespaces => (
            Kind::Denied,
            hint(
                "user namespaces are closed to this user; `shedbox doctor` names the setting to change. Without them, \
                 `shedbox run --isolation landlock host COMMAND` runs a command with weaker isolation",
            ),
        ),
        Errno::ENOSPC if namespaces => (
            Kind::Exhausted,
            hint(
                "too many namespaces: raise the user.max_*_namespaces sysctls, or remove sandboxes",
            ),
        ),
        Errno::EAGAIN if namespaces => (
            Kind::Exhausted,
            hint("too many processes: raise `ulimit -u` or kernel.pid_max, or remove sandboxes"),
        ),
        Errno::EMFILE | Errno::ENFILE => (
            Kind::Exhausted,
            hint(
                "too many open files: raise the hard limit (`ulimit -Hn`) of the session that starts the daemon",
            ),
        ),
        Errno::ENOSPC | Errno::EDQUOT => (
            Kind::Exhausted,
            hint(
                "the file system of the data directory is full: remove sandboxes, or run `shedbox prune`",
            ),
        ),
        Errno::ENOMEM => (Kind::Exhausted, hint("the host is out of memory")),
        Errno::EROFS => (
            Kind::Denied,
            hint(
                "the data directory is on a read-only file system; choose another with SHEDBOX_ROOT",
            ),
        ),
        Errno::ENOENT | Errno::ENOTDIR if stage == "volume" => (
            Kind::Invalid,
            hint("the source of a volume must exist on the host"),
        ),
        Errno::EACCES | Errno::EPERM if stage == "volume" => (
            Kind::Denied,
            hint("a volume must be readable by the user that runs the daemon"),
        ),
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP if stage == "landlock" => (
            Kind::Invalid,
            hint(
                "a path of `--landlock-ro` or `--landlock-rw` must exist inside the sandbox; `--workdir` makes a directory",
            ),
        ),
        Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG if stage == "working directory" => (
            Kind::Invalid,
            hint("the working directory must be or become a directory inside the sandbox"),
        ),
        Errno::ENOENT if stage == "sysctl" => (
            Kind::Invalid,
            hint("this kernel has no such parameter, or not in a namespace of its own"),
        ),
        Errno::EINVAL | Errno::ERANGE if stage == "sysctl" => {
            (Kind::Invalid, hint("the kernel does not take this value"))
        }
        Errno::EACCES | Errno::EPERM if stage == "sysctl" => (
            Kind::Unsupported,
            hint(
                "this kernel lets only root set the parameter: those of IPC can be set in a user namespace from Linux 6.9",
            ),
        ),
        Errno::EOPNOTSUPP if stage == "disk limit" => (
            Kind::Unsupported,
            hint(
                "an upper directory in memory needs Linux 6.6; `--disk SIZE,backing=watchdog` does without",
            ),
        ),
        Errno::EINVAL | Errno::EPERM | Errno::ENODEV if stage == "overlay" => (
            Kind::Unsupported,
            hint(
                "the data directory needs a file system that overlay accepts as an upper layer (ext4, xfs, btrfs, \
                  tmpfs) and Linux 5.11; see `shedbox doctor`",
            ),
        ),
        Errno::ENOSYS => (
            Kind::Unsupported,
            hint("this kernel is too old; see `shedbox doctor`"),
        ),
        _ if stage == "user" => (
            Kind::Invalid,
            hint("the user must be a number or be in the image's /etc/passwd"),
        ),
        _ => (Kind::Internal, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(stage: &str, call: &str, errno: Errno) -> Error {
        EngineError::Generation {
            sandbox: "3f2a".into(),
            failure: Failure {
                stage: stage.into(),
                call: call.into(),
                errno: errno as i32,
            },
        }
        .into()
    }

    #[test]
    fn failures_of_a_generation_say_what_to_do() {
        let error = generation("namespaces", "clone3(NEWUSER|NEWNS)", Errno::EPERM);
        assert_eq!(error.kind, Kind::Denied);
        assert_eq!(
            error.message,
            "cannot start sandbox 3f2a: stage `namespaces`: clone3(NEWUSER|NEWNS) => EPERM (Operation not permitted)"
        );
        assert!(error.hint.is_some_and(|hint| hint.contains("doctor")));
        let table = [
            (
                "namespaces",
                "clone3(NEWUSER)",
                Errno::ENOSPC,
                Kind::Exhausted,
                "max_*_namespaces",
            ),
            (
                "overlay",
                "mkdir(/x)",
                Errno::ENOSPC,
                Kind::Exhausted,
                "full",
            ),
            (
                "volume",
                "open_tree(/missing)",
                Errno::ENOENT,
                Kind::Invalid,
                "source",
            ),
            (
                "namespaces",
                "clone3(NEWUSER)",
                Errno::EAGAIN,
                Kind::Exhausted,
                "processes",
            ),
            (
                "overlay",
                "fsconfig(upperdir)",
                Errno::EINVAL,
                Kind::Unsupported,
                "overlay",
            ),
            (
                "working directory",
                "openat2(/proc/self/root)",
                Errno::ELOOP,
                Kind::Invalid,
                "directory inside",
            ),
            (
                "namespaces",
                "socketpair()",
                Errno::EMFILE,
                Kind::Exhausted,
                "open files",
            ),
        ];
        for (stage, call, errno, kind, word) in table {
            let error = generation(stage, call, errno);
            assert_eq!(error.kind, kind, "{stage} {call}");
            assert!(
                error.hint.is_some_and(|hint| hint.contains(word)),
                "{stage} {call}"
            );
        }
    }

    #[test]
    fn the_chain_is_one_line() {
        let source = std::io::Error::from_raw_os_error(Errno::ENOSPC as i32);
        let error = EngineError::Io {
            action: "make directory /x".into(),
            source,
        };
        let error = Error::from(error);
        assert_eq!(error.kind, Kind::Exhausted);
        assert_eq!(
            error.message,
            "cannot make directory /x: No space left on device (os error 28)"
        );
    }
}
