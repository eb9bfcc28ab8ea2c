//! What to run, and how it ended.

use serde::{Deserialize, Serialize};

/// Where standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe from the client.
    Pipe,
}

/// One command to run in a sandbox. Sent on the sandbox socket.
///
/// Descriptors that travel with it, in this order: standard input when `stdin` is `Pipe`, then, without a terminal,
/// standard output and standard error, each when its flag is set. Only pipes and sockets are accepted: any other
/// descriptor could be opened anew from inside through `/proc/self/fd`, with more rights than it was given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecRequest {
    /// Program and arguments as bytes that are UTF-8 in most cases. The program is looked up in the PATH of the
    /// command's own environment, inside the rootfs.
    #[serde(with = "byte_strings")]
    pub argv: Vec<Vec<u8>>,
    /// `NAME=VALUE`, on top of the sandbox's environment.
    #[serde(with = "byte_strings")]
    pub env: Vec<Vec<u8>>,
    /// Working directory; the sandbox's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// `name|uid[:group|gid]`; the sandbox's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A standard input descriptor is attached.
    pub stdin: StdinMode,
    /// A standard output descriptor is attached; `/dev/null` otherwise.
    pub stdout: bool,
    /// A standard error descriptor is attached; `/dev/null` otherwise.
    pub stderr: bool,
    /// Allocate a pseudo terminal; its master comes back with [`Reply::Started`](crate::control::Reply::Started).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<TtySize>,
    /// The command outlives the client's connection.
    pub detach: bool,
    /// Milliseconds until the command's process tree gets SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Milliseconds between that SIGTERM and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Answer with `Started` before the result. Implied by `tty` and `detach`.
    pub report_start: bool,
}

/// Default grace between SIGTERM and SIGKILL of a command that timed out, in milliseconds.
pub const DEFAULT_GRACE_MS: u64 = 2_000;

/// Size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtySize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// How a command ended and what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    /// How it ended.
    pub end: End,
    /// Wall time from the start of the program to its end, in microseconds.
    pub wall_us: u64,
    /// User CPU time of the command and of the children it waited for, in microseconds.
    pub user_us: u64,
    /// System CPU time of the same, in microseconds.
    pub system_us: u64,
    /// Peak resident memory of the largest of these processes, in bytes.
    pub max_rss: u64,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum End {
    /// It returned.
    Exited {
        /// Its exit status.
        code: u8,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran out of time and was ended.
    TimedOut {
        /// The exit status or 128 + signal that it ended with.
        status: u8,
    },
    /// The sandbox was reset under it.
    Reset,
    /// The sandbox was stopped under it.
    Stopped,
    /// The sandbox was removed under it.
    Removed,
    /// It could not be started.
    NotStarted {
        /// 127 when the program was not found, 126 when it could not be run.
        code: u8,
        /// Why.
        message: String,
    },
}

impl End {
    /// The exit status that a shell would see: the command's own, 128 + n for a signal, 124 after a time-out, 126 or
    /// 127 when it could not be started, 137 when the sandbox was taken away under it.
    pub fn status(&self) -> u8 {
        match self {
            End::Exited { code } | End::NotStarted { code, .. } => *code,
            End::Signaled { signal } => (128 + signal) as u8,
            End::TimedOut { .. } => 124,
            End::Reset | End::Stopped | End::Removed => 137,
        }
    }
}

/// Byte strings in JSON: a plain string when it is UTF-8, an array of numbers when it is not.
pub mod byte_strings {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(serde::Serialize, Deserialize)]
    #[serde(untagged)]
    enum Text<'a> {
        Utf8(std::borrow::Cow<'a, str>),
        Bytes(Vec<u8>),
    }

    /// Writes the list.
    pub fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => Text::Utf8(text.into()),
            Err(_) => Text::Bytes(bytes.clone()),
        }))
    }

    /// Reads the list.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<Text<'de>>::deserialize(deserializer)?;
        Ok(list
            .into_iter()
            .map(|item| match item {
                Text::Utf8(text) => text.into_owned().into_bytes(),
                Text::Bytes(bytes) => bytes,
            })
            .collect())
    }
}
