//! Messages on the keeper socket and on the sandbox sockets: one JSON value per SEQPACKET frame, descriptors beside it.
//!
//! Three conversations use these types:
//!
//! - daemon → keeper: [`KeeperRequest`], answered by [`KeeperReply`];
//! - new init → daemon, on the control socket that the daemon made for it: [`InitEvent`];
//! - client or daemon → init, on the sandbox socket: [`Request`], answered by one or more [`Reply`]s. What may follow a
//!   request on the same connection is a [`FollowUp`].

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::exec::{DiskUnit, ExecRequest, ExecResult, TtySize};
use crate::features::Probe;
use crate::generation::GenerationSpec;
use crate::landlock::LandlockInForce;

/// Version of all messages in this module. A daemon refuses a keeper or an init of another version.
pub const PROTOCOL_VERSION: u32 = 3;

/// The cgroup below a generation's own that init is in. Processes are only in such leaves: the kernel lets none be in a
/// cgroup whose children have controllers.
pub const INIT_LEAF: &str = "init";

/// To the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request")]
pub enum KeeperRequest {
    /// Who are you? Answered by `Hello` with the keeper's user namespace as a descriptor.
    Hello,
    /// Make a cgroup namespace whose root is a cgroup. Descriptor: the cgroup's directory; no controller is enabled
    /// for its children yet. Answered by `Namespace`.
    CgroupNamespace,
    /// Clone a generation. Descriptors: [control socket of init, listening sandbox socket, directory of the log,
    /// then, when `cgroup` is set, directory of the generation's cgroup and a cgroup namespace whose root it is,
    /// then, when `join` is set, a pidfd of the living init whose user and network namespaces are shared, or, when
    /// `join_network` is set, of one whose network namespace alone is].
    Spawn {
        /// What the generation is made of.
        spec: Box<GenerationSpec>,
        /// Init starts in [`INIT_LEAF`] of a cgroup.
        #[serde(default)]
        cgroup: bool,
        /// Join the user and network namespaces of another init.
        join: bool,
        /// Join the network namespace of another sandbox's init.
        #[serde(default)]
        join_network: bool,
    },
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum KeeperReply {
    /// The keeper's version and pid. Descriptor: its user namespace.
    Hello {
        /// [`PROTOCOL_VERSION`] of the keeper.
        version: u32,
        /// Its pid, in the pid namespace of the daemon.
        pid: i32,
    },
    /// The cgroup namespace, as a descriptor.
    Namespace,
    /// Cloned. Descriptor: a pidfd of init.
    Spawned {
        /// Pid of init, in the pid namespace of the daemon.
        pid: i32,
    },
    /// Not cloned.
    Failed(Failure),
}

/// A failed kernel call, with the stage of the set-up it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done: `namespaces`, `id map`, `overlay`, `volume`, …
    pub stage: String,
    /// The call with its arguments, as far as they help.
    pub call: String,
    /// The errno; 0 when it was not a kernel call that failed.
    pub errno: i32,
}

/// From a new init to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum InitEvent {
    /// The rootfs stands; init waits for [`Request::Activate`].
    Ready {
        /// What could not be had and was done without.
        warnings: Vec<String>,
        /// The Landlock domain that init and its commands are in.
        landlock: LandlockInForce,
    },
    /// The set-up failed; init has gone.
    Failed(Failure),
    /// The main process has ended (also recorded in the log directory as `exit.json`).
    MainExited {
        /// How.
        result: ExecResult,
    },
}

/// To init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request")]
pub enum Request {
    /// Start to accept connections on the sandbox socket. Only on the control socket.
    Activate,
    /// Run a command. See [`ExecRequest`] for the descriptors.
    Exec(ExecRequest),
    /// Start the main process, once. Descriptors as for `Attach`.
    StartMain(Attach),
    /// Follow the main process. Descriptors: standard input when `stdin`, then standard output when `stdout`, standard
    /// error when `stderr`; pipes or sockets. With a terminal everything comes on standard output.
    Attach(Attach),
    /// Read or write files. Descriptor: the pipe or socket that carries the tar stream.
    Files(FileRequest),
    /// Processes and their use of resources.
    Stats,
    /// What the filter of the log mode would have denied.
    Denials,
    /// What this init is.
    Status,
    /// What a process that is started now finds in force: one is started as a command is, and looks at itself.
    Features,
    /// Start nothing from now on, or start again: the daemon freezes and thaws the cgroups of the commands. Needs a
    /// cgroup.
    Pause {
        /// Which.
        paused: bool,
    },
    /// Send a signal to the main process.
    Kill {
        /// Number of the signal.
        signal: i32,
    },
    /// End the main process: its stop signal, a grace, SIGKILL; then the generation. Ends at once what does not handle
    /// the signal.
    Stop {
        /// Number of the signal.
        signal: i32,
        /// Milliseconds before SIGKILL.
        timeout_ms: u64,
    },
    /// End every process of the sandbox now, answer `Done` when none is left, and leave.
    Die {
        /// What execs in flight are told.
        reason: DieReason,
    },
}

/// Why a generation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DieReason {
    /// A new generation takes over.
    Reset,
    /// The sandbox stops and may be started again.
    Stop,
    /// The sandbox is being removed.
    Remove,
    /// The same, because its time to live is over.
    Lifetime,
    /// The same, because the process that owns it has ended.
    Owner,
    /// Its files take more than its disk limit allows.
    DiskLimit {
        /// What ran out.
        unit: DiskUnit,
        /// How much of it is taken.
        used: u64,
        /// The limit.
        limit: u64,
    },
}

/// Which streams of the main process a client takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attach {
    /// A standard input descriptor is attached.
    pub stdin: bool,
    /// A standard output descriptor is attached.
    pub stdout: bool,
    /// A standard error descriptor is attached.
    pub stderr: bool,
    /// The size of the client's terminal.
    pub tty: Option<TtySize>,
    /// Do not answer `Exited`; the client leaves after `Started`.
    pub detach: bool,
}

/// A file operation inside a sandbox. Paths are the sandbox's own and absolute; symbolic links resolve inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum FileRequest {
    /// Write a tar stream of `path` (file or tree; the top entry has its base name).
    Pack {
        /// What to read.
        path: String,
        /// Follow a symbolic link at `path` itself.
        follow: bool,
    },
    /// Unpack a tar stream into the existing directory `path`.
    Unpack {
        /// Where to.
        path: String,
        /// Refuse to replace a directory by a file and the other way round.
        no_overwrite_kind: bool,
        /// Keep the owners in the archive; otherwise everything belongs to root.
        keep_owner: bool,
    },
    /// What is at `path`; answered by [`Reply::Stat`].
    Stat {
        /// The path.
        path: String,
    },
    /// Write a tar stream of the whole root file system. What is mounted in it is left out: of directories and files there
    /// are empty ones.
    Export,
}

/// From init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and a box on the exec path costs more than the bytes"
)]
pub enum Reply {
    /// The command runs. Descriptor with a terminal: its master side.
    Started {
        /// Pid inside the sandbox.
        pid: i32,
    },
    /// The command has ended.
    Exited(ExecResult),
    /// It is done.
    Done,
    /// It failed.
    Failed(Error),
    /// Answer to [`Request::Stats`].
    Stats(Stats),
    /// Answer to [`Request::Denials`].
    Denials {
        /// Absent when the sandbox is not in the log mode.
        seen: Option<Vec<Denial>>,
    },
    /// Answer to [`Request::Status`].
    Status(InitStatus),
    /// Answer to [`Request::Features`].
    Features(Box<Probe>),
    /// Answer to [`FileRequest::Stat`].
    Stat(FileStat),
}

/// What may follow a request on its connection. Closing the connection without `Detach` ends a foreground command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "follow_up")]
pub enum FollowUp {
    /// Send a signal to the command (only to the process itself).
    Signal {
        /// Number of the signal.
        signal: i32,
    },
    /// Note what has come of the command so far; answered by [`Reply::Done`].
    NoteOffspring,
    /// Send a signal to every process that came of the command since, but neither to the command itself nor to what is
    /// below a process that was noted.
    SignalOffspring {
        /// Number of the signal.
        signal: i32,
    },
    /// Say when all signals that were asked for before are sent; answered by [`Reply::Done`].
    Settle,
    /// The client's terminal has a new size.
    Resize(TtySize),
    /// The client leaves; the command stays.
    Detach,
}

/// What an init is, for a daemon that found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitStatus {
    /// [`PROTOCOL_VERSION`] of the init.
    pub version: u32,
    /// The sandbox it belongs to.
    pub sandbox: String,
    /// Which life of it.
    pub generation: u64,
    /// The main process: absent when there is none or it was not started.
    pub main_pid: Option<i32>,
    /// How the main process ended, when it has.
    pub main_result: Option<ExecResult>,
    /// Commands running now, the main process not counted.
    pub execs: u32,
    /// Connections on the sandbox socket, the asking one among them.
    #[serde(default)]
    pub clients: u32,
    /// The Landlock domain that init and its commands are in.
    #[serde(default)]
    pub landlock: LandlockInForce,
    /// See [`Request::Pause`].
    #[serde(default)]
    pub paused: bool,
}

/// Use of resources of a whole sandbox, read from its own /proc.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// CPU time of the living processes, in microseconds.
    pub cpu_us: u64,
    /// Resident memory of the living processes added up, in bytes (shared pages count in each).
    pub rss: u64,
    /// Processes, init not counted.
    pub processes: Vec<ProcessStats>,
}

/// One process of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStats {
    /// Pid inside the sandbox.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// State letter as in proc_pid_stat(5).
    pub state: char,
    /// User id inside the sandbox.
    pub uid: u32,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Command line, arguments joined by spaces; the name in brackets when it has none.
    pub command: String,
    /// Name as the kernel keeps it, 15 bytes at most.
    pub name: String,
    /// Address space in bytes.
    pub vsize: u64,
    /// Time since it began, in microseconds.
    pub age_us: u64,
    /// Number of its controlling terminal; 0 for none.
    pub tty: u32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// The process group in the foreground of its terminal.
    pub foreground: i32,
    /// Nice value.
    pub nice: i32,
    /// Threads.
    pub threads: u32,
}

/// A system call that the default profile would have denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The kernel's name of the ABI that it was made by, AUDIT_ARCH_*.
    pub architecture: u32,
    /// Its number in that ABI.
    pub call: i32,
    /// How often it was made.
    pub count: u64,
    /// Different first three arguments, lower halves.
    pub arguments: Vec<[u32; 3]>,
    /// There were more than are listed.
    pub more_arguments: bool,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Base name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// `st_mode` of stat(2).
    pub mode: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Target when it is a symbolic link.
    pub link_target: Option<String>,
}
