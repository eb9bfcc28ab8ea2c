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
/// standard output and standard error, then the one for `report`, each when its flag is set. Only pipes and sockets are accepted: any other
/// descriptor could be opened anew from inside through `/proc/self/fd`, with more rights than it was given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecRequest {
    /// Program and arguments as bytes that are UTF-8 in most cases. The program is looked up in the PATH of the
    /// command's own environment, inside the rootfs.
    #[serde(with = "byte_strings")]
    pub argv: Vec<Vec<u8>>,
    /// `NAME=VALUE`, on top of the sandbox's environment; `NAME` alone takes a variable away.
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
    /// A further descriptor is attached, the last, which the command has under the number 3. All that came of the command
    /// ends with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub report: bool,
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
    /// What the whole tree of the command used, background processes included; absent without a cgroup of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<ExecUse>,
}

/// What all processes of one exec used together, as its cgroup counted. Source: cgroup-v2.rst.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecUse {
    /// User CPU time in microseconds (`cpu.stat`).
    pub user_us: u64,
    /// System CPU time in microseconds.
    pub system_us: u64,
    /// Time in which a CPU limit of its own cgroup held it up, in microseconds.
    pub throttled_us: u64,
    /// Most memory at once in bytes, page cache included (`memory.peak`, Linux 5.19; 0 before).
    pub memory_peak: u64,
    /// Processes that the kernel killed for want of memory (`memory.events`).
    pub oom_kills: u64,
    /// Most processes and threads at once (`pids.peak`, Linux 6.1; 0 before).
    pub pids_peak: u64,
    /// Forks that a limit refused (`pids.events`).
    pub forks_refused: u64,
    /// Bytes read from block devices (`io.stat`).
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub write_bytes: u64,
    /// Time in which some process waited for a CPU, for memory, for a disk, in microseconds (`*.pressure`).
    pub pressure: Stalls,
}

/// Pressure stall totals in microseconds: the time in which at least one process waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stalls {
    /// For a CPU.
    pub cpu_us: u64,
    /// For memory.
    pub memory_us: u64,
    /// For a disk.
    pub io_us: u64,
}

/// Who ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Killer {
    /// SIGKILL from nobody that we know of: a process of the sandbox, or the kernel when the host has no memory left.
    /// The two are alike unless the command has a cgroup.
    #[default]
    Unknown,
    /// The sandbox itself: a process inside, or a fault of the command's own.
    Inside,
    /// A client, by a signal that it asked for.
    Client,
    /// A stop of the sandbox.
    Stop,
    /// The end of the sandbox's time to live.
    Lifetime,
    /// The end of the process that owned the sandbox.
    Owner,
}

/// What a disk limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskUnit {
    /// Bytes on the disk.
    #[default]
    Bytes,
    /// Files and directories.
    Inodes,
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
        /// Who sent it.
        #[serde(default)]
        by: Killer,
    },
    /// It ran out of time and was ended.
    TimedOut {
        /// The exit status or 128 + signal that it ended with.
        status: u8,
    },
    /// The kernel ended it, or a process that it had started, because the memory limit was reached.
    OutOfMemory {
        /// The exit status or 128 + signal that it ended with.
        status: u8,
        /// The limit in bytes, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// It failed, and the pids limit refused a fork while it ran.
    PidsLimit {
        /// The exit status or 128 + signal that it ended with.
        status: u8,
        /// The limit, in processes and threads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// It failed on a disk limit that had no room left, or was ended because the sandbox was above it.
    DiskLimit {
        /// The exit status or 128 + signal that it ended with.
        status: u8,
        /// What ran out.
        #[serde(default)]
        unit: DiskUnit,
        /// How much of it was taken.
        #[serde(default)]
        used: u64,
        /// The limit.
        #[serde(default)]
        limit: u64,
    },
    /// The sandbox was reset under it.
    Reset,
    /// The sandbox was stopped under it.
    Stopped,
    /// The sandbox was removed under it.
    Removed {
        /// Why.
        #[serde(default = "Killer::client")]
        by: Killer,
    },
    /// It could not be started.
    NotStarted(Box<NotStarted>),
}

/// Why a command could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// 127 when the program was not found, 126 when it could not be run.
    pub code: u8,
    /// Why.
    pub message: String,
    /// What stood in the way.
    #[serde(default, skip_serializing_if = "Obstacle::is_other")]
    pub obstacle: Obstacle,
}

impl From<NotStarted> for End {
    fn from(why: NotStarted) -> Self {
        Self::NotStarted(Box::new(why))
    }
}

impl NotStarted {
    /// It could not be run, for a reason that is none of those that [`Obstacle`] names.
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            code: 126,
            message: message.into(),
            obstacle: Obstacle::Other,
        }
    }
}

/// What stood in the way of a command that could not be started. Reasons are the kernel's, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// Its user or one of its groups: the sandbox has none of that name.
    User,
    /// Its working directory.
    WorkingDirectory {
        /// As it was asked for.
        path: String,
        /// Why.
        reason: String,
    },
    /// The program itself.
    Program {
        /// Why.
        reason: String,
    },
    /// Anything else.
    #[default]
    Other,
}

impl Obstacle {
    fn is_other(&self) -> bool {
        *self == Self::Other
    }
}

impl Killer {
    fn client() -> Self {
        Self::Client
    }
}

impl End {
    /// The exit status that a shell would see: the command's own, 128 + n for a signal, 124 after a time-out, 126 or
    /// 127 when it could not be started, 137 when it ran out of memory or the sandbox was taken away under it.
    pub fn status(&self) -> u8 {
        match self {
            End::Exited { code } => *code,
            End::NotStarted(why) => why.code,
            End::Signaled { signal, .. } => (128 + signal) as u8,
            End::TimedOut { .. } => 124,
            // Docker's number, also when the process that the kernel chose was a child.
            End::OutOfMemory { .. } | End::Reset | End::Stopped | End::Removed { .. } => 137,
            End::PidsLimit { status, .. } | End::DiskLimit { status, .. } => *status,
        }
    }

    /// One sentence about an end that is not the command's own, for people; `None` for one that speaks for itself.
    pub fn explanation(&self) -> Option<String> {
        use crate::size::format_bytes_binary as human_bytes;
        let bytes = |limit: &Option<u64>| {
            limit.map_or_else(String::new, |limit| {
                format!(": limit {}", human_bytes(limit))
            })
        };
        Some(match self {
            End::Exited { .. } | End::NotStarted(_) => return None,
            End::Signaled { by, .. } => match by {
                Killer::Unknown | Killer::Inside | Killer::Client => return None,
                Killer::Stop => "ended by a stop of the sandbox".to_owned(),
                Killer::Lifetime => "the sandbox's time to live is over".to_owned(),
                Killer::Owner => "the process that owned the sandbox has ended".to_owned(),
            },
            End::TimedOut { .. } => "the command ran out of time".to_owned(),
            End::OutOfMemory { limit, .. } => format!("out of memory{}", bytes(limit)),
            End::PidsLimit { limit, .. } => {
                let limit = limit.map_or_else(String::new, |limit| format!(": limit {limit}"));
                format!("no more processes{limit}")
            }
            End::DiskLimit {
                unit: DiskUnit::Bytes,
                used,
                limit,
                ..
            } => format!(
                "disk limit: {} used of {}",
                human_bytes(*used),
                human_bytes(*limit)
            ),
            End::DiskLimit {
                unit: DiskUnit::Inodes,
                used,
                limit,
                ..
            } => format!("disk limit: {used} files used of {limit}"),
            End::Reset => "the sandbox was reset under the command".to_owned(),
            End::Stopped => "the sandbox was stopped under the command".to_owned(),
            End::Removed {
                by: Killer::Lifetime,
            } => "the sandbox's time to live is over; it was removed under the command".to_owned(),
            End::Removed { by: Killer::Owner } => {
                "the process that owned the sandbox has ended; it was removed under the command"
                    .to_owned()
            }
            End::Removed { .. } => "the sandbox was removed under the command".to_owned(),
        })
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
