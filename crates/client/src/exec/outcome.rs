//! How a command ended, with what it wrote.

use std::fmt;
use std::path::PathBuf;

use shedbox_spec::exec::{End, ExecResult};
use shedbox_spec::signal;

use super::capture::Captured;

/// How a command ended; as [`std::process::ExitStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitStatus(End);

impl ExitStatus {
    pub(crate) fn new(end: End) -> Self {
        Self(end)
    }

    /// It returned 0.
    pub fn success(&self) -> bool {
        matches!(self.0, End::Exited { code: 0 })
    }

    /// Its exit status when it returned by itself.
    pub fn code(&self) -> Option<u8> {
        match self.0 {
            End::Exited { code } => Some(code),
            _ => None,
        }
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        match self.0 {
            End::Signaled { signal, .. } => Some(signal),
            _ => None,
        }
    }

    /// It ran out of time.
    pub fn timed_out(&self) -> bool {
        matches!(self.0, End::TimedOut { .. })
    }

    /// The kernel ended it, or a child of it, because the memory limit was reached.
    pub fn out_of_memory(&self) -> bool {
        matches!(self.0, End::OutOfMemory { .. })
    }

    /// It failed on the pids limit.
    pub fn pids_limit(&self) -> bool {
        matches!(self.0, End::PidsLimit { .. })
    }

    /// It failed on the disk limit.
    pub fn disk_limit(&self) -> bool {
        matches!(self.0, End::DiskLimit { .. })
    }

    /// The sandbox was reset, stopped or removed under it.
    pub fn interrupted(&self) -> bool {
        matches!(self.0, End::Reset | End::Stopped | End::Removed { .. })
    }

    /// The status that a shell would see, see [`End::status`].
    pub fn shell_status(&self) -> u8 {
        self.0.status()
    }

    /// In full.
    pub fn end(&self) -> &End {
        &self.0
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            End::Exited { code } => write!(f, "exit status {code}"),
            End::Signaled { signal, .. } => write!(f, "ended by {}", signal::name(*signal)),
            End::TimedOut { .. } => f.write_str("timed out"),
            end @ (End::OutOfMemory { .. } | End::PidsLimit { .. } | End::DiskLimit { .. }) => {
                f.write_str(end.explanation().as_deref().unwrap_or_default())
            }
            End::Reset => f.write_str("ended by a reset of the sandbox"),
            End::Stopped => f.write_str("ended by a stop of the sandbox"),
            End::Removed { .. } => f.write_str("ended by the removal of the sandbox"),
            End::NotStarted(why) => write!(f, "not started: {}", why.message),
        }
    }
}

/// What a command wrote and how it ended; as [`std::process::Output`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Standard output was longer than `stdout`.
    pub stdout_truncated: bool,
    /// Standard error was longer than `stderr`.
    pub stderr_truncated: bool,
    /// The file with the whole of standard output, when it was longer and was to be spilled.
    pub stdout_file: Option<PathBuf>,
    /// The same for standard error.
    pub stderr_file: Option<PathBuf>,
    /// Time and resources.
    pub result: ExecResult,
}

impl Output {
    pub(crate) fn new(result: ExecResult, [out, err]: [Captured; 2]) -> Self {
        Self {
            status: ExitStatus::new(result.end.clone()),
            stdout_truncated: out.truncated(),
            stderr_truncated: err.truncated(),
            stdout: out.bytes,
            stderr: err.bytes,
            stdout_file: out.spilled,
            stderr_file: err.spilled,
            result,
        }
    }
}
