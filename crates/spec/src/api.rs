//! Messages of the daemon's own HTTP API, under `/shedbox/v1` on `docker.sock`.
//!
//! | method and path | body or query | answer |
//! |---|---|---|
//! | GET `version` | | [`Version`] |
//! | POST `images/pull` | [`PullRequest`] | lines of [`PullEvent`] |
//! | GET `images` | | list of [`ImageSummary`] |
//! | GET `image` | `?ref=` | [`ImageDetail`] |
//! | DELETE `image` | `?ref=&force=` | [`Removed`] |
//! | POST `images/load` | tar stream, or `?path=` of a file or directory | lines of [`PullEvent`] |
//! | GET `images/save` | `?ref=…&ref=…&format=docker\|oci` | tar stream |
//! | POST `images/prune` | `?all=` | [`Pruned`] |
//! | POST `sandboxes` | [`CreateRequest`] | [`SandboxInfo`] |
//! | GET `sandboxes` | `?all=&label=…` | list of [`SandboxInfo`] |
//! | GET `sandboxes/{id}` | | [`SandboxInfo`] |
//! | DELETE `sandboxes/{id}` | `?force=` | empty |
//! | POST `sandboxes/{id}/start` | `?hold_main=` | [`SandboxInfo`] |
//! | POST `sandboxes/{id}/stop` | `?timeout_ms=` | empty |
//! | POST `sandboxes/{id}/kill` | `?signal=` | empty |
//! | POST `sandboxes/{id}/disown` | | empty; an owned sandbox outlives its owner from now on |
//! | POST `sandboxes/{id}/reset` | | [`ResetReport`] |
//! | POST `sandboxes/{id}/snapshots` | [`snapshot::SnapshotCreate`] | [`snapshot::SnapshotInfo`] |
//! | GET `sandboxes/{id}/snapshots` | | list of [`snapshot::SnapshotInfo`] |
//! | GET `sandboxes/{id}/snapshots/{tag}` | | [`snapshot::SnapshotInfo`] |
//! | DELETE `sandboxes/{id}/snapshots/{tag}` | | empty |
//! | GET `snapshots` | | list of [`snapshot::SnapshotInfo`]: of all sandboxes, and those without a name |
//! | POST `sandboxes/{id}/restore` | `?tag=` | [`ResetReport`] |
//! | POST `sandboxes/{id}/fork` | [`snapshot::ForkRequest`] | list of [`SandboxInfo`] |
//! | POST `sandboxes/{id}/wait` | `?condition=not-running\|removed` | [`WaitResult`] |
//! | GET `sandboxes/{id}/logs` | `?follow=&stdout=&stderr=&since_ns=&until_ns=&tail=` | frames, see [`LOG_FRAME_HEADER`] |
//! | GET `sandboxes/{id}/diff` | | list of [`Change`] |
//! | POST `sandboxes/{id}/files` | | [`FilesAccess`]: where to connect, also for a stopped sandbox |
//! | POST `sandboxes/{id}/pause` | | empty |
//! | POST `sandboxes/{id}/unpause` | | empty |
//! | POST `sandboxes/{id}/update` | [`crate::limits::Limits`] that change | [`Updated`] |
//! | POST `sandboxes/{id}/reclaim` | `?bytes=` | [`Reclaimed`] |
//! | GET `sandboxes/{id}/stats` | | [`SandboxStats`] |
//! | GET `sandboxes/{id}/pressure` | | [`PressureReport`] |
//! | GET `pressure` | | [`HostPressure`] |
//! | POST `sandboxes/{id}/sessions` | [`crate::session::SessionCreate`] | [`crate::session::SessionInfo`] |
//! | GET `sandboxes/{id}/sessions` | | list of [`crate::session::SessionInfo`] |
//! | POST `sandboxes/{id}/sessions/{session}/run` | [`crate::session::SessionRun`] | [`crate::session::SessionResult`] |
//! | DELETE `sandboxes/{id}/sessions/{session}` | | empty |
//! | POST `sandboxes/prune` | | [`Pruned`] |
//!
//! `{id}` is an id, an unambiguous prefix of one, or a name. Errors are [`crate::Error`] with its HTTP status. Streams
//! of lines are JSON, one value a line, chunked. Commands, attaching and files do not pass through the daemon: they go
//! straight to init on the sandbox socket (see [`crate::control`]).

pub mod network;
mod push;
pub mod snapshot;
mod usage;

pub use push::{PushEvent, PushRequest, PushResult, PushState, RegistryCredentials};
use serde::{Deserialize, Serialize};
pub use usage::{
    HostPressure, IoUse, MemoryUse, Pressure, PressureReport, Reclaimed, SandboxStats, Stall,
    Throttling, Updated,
};

use crate::exec::ExecResult;
use crate::limits::DiskBacking;
use crate::sandbox::SandboxSpec;
use crate::{Digest, Error, SandboxId, SnapshotId};

/// Prefix of every path of this API.
pub const PREFIX: &str = "/shedbox/v1";

/// Length of the header of a log frame: stream (1 stdout, 2 stderr), then time in nanoseconds since 1970 as u64 and
/// payload length as u32, both little-endian. The same format is on disk.
pub const LOG_FRAME_HEADER: usize = 13;

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Release of shedbox.
    pub version: String,
    /// Version of this API.
    pub api: u32,
    /// Pid of the daemon.
    pub pid: i32,
    /// The data directory.
    pub root: String,
    /// Kernel release.
    pub kernel: String,
    /// `os/arch` of the host in OCI's words.
    pub platform: String,
    /// The id map in force: `subordinate`, `single` or `root`.
    pub id_map: IdMapKind,
}

/// How ids are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdMapKind {
    /// The user's own id and a range of subordinate ids.
    Subordinate,
    /// The user's own id alone, as root inside; ownership by others is emulated.
    Single,
    /// All ids of the host, one to one: the caller is root.
    Root,
}

/// When to ask a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Only when the image is not in the store.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Never.
    Never,
}

/// Fetch an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The reference as typed.
    pub reference: String,
    /// `os/arch[/variant]`; the host's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// `Always` for an explicit pull.
    #[serde(default)]
    pub policy: PullPolicy,
    /// Where the client's credential files are: contents of DOCKER_CONFIG, REGISTRY_AUTH_FILE and HOME.
    #[serde(default)]
    pub auth: AuthSources,
}

/// Where credential files are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthSources {
    /// `$DOCKER_CONFIG`, a directory.
    pub docker_config: Option<String>,
    /// `$REGISTRY_AUTH_FILE`, a file.
    pub registry_auth_file: Option<String>,
    /// `$HOME`.
    pub home: Option<String>,
    /// `$XDG_RUNTIME_DIR` (podman keeps its file below it).
    pub runtime_dir: Option<String>,
    /// `$PATH`, for credential helpers.
    pub path: Option<String>,
    /// A login given with the request: no file is looked into then. It goes to the registry itself, never to a mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RegistryCredentials>,
}

/// One line of a pull or load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum PullEvent {
    /// The manifest is known.
    Resolved {
        /// The full reference.
        reference: String,
        /// Manifest digest.
        digest: Digest,
        /// Layers in order, lowest first: digest of the blob and its compressed size in bytes.
        layers: Vec<(Digest, u64)>,
    },
    /// A layer makes progress.
    Layer {
        /// Digest of the blob.
        digest: Digest,
        /// What it is doing.
        state: LayerState,
    },
    /// Something is worth saying and does not stop the pull.
    Warning {
        /// What.
        message: String,
    },
    /// One image is in the store. A load may say this several times.
    Done {
        /// The image.
        image: ImageSummary,
        /// It was there already and nothing was fetched.
        up_to_date: bool,
    },
    /// It failed; the last line.
    Failed {
        /// Why.
        error: Error,
    },
}

/// What a layer of a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LayerState {
    /// It is in the store already.
    Exists,
    /// Another pull is fetching it; waiting for that.
    Waiting,
    /// Bytes of the compressed blob that have arrived and been extracted (both happen in one stream).
    Progress {
        /// Compressed bytes downloaded.
        downloaded: u64,
        /// Compressed bytes consumed by the extraction.
        extracted: u64,
    },
    /// The connection broke; trying again from where it stopped.
    Retrying {
        /// Which attempt comes, from 2.
        attempt: u32,
        /// Bytes that need not be fetched again.
        resumed_at: u64,
    },
    /// It is in the store.
    Done,
}

/// An image in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSummary {
    /// Image id: the digest of its configuration.
    pub id: Digest,
    /// References that name it, short where Docker shortens them.
    pub references: Vec<String>,
    /// `repository@digest` it was pulled by.
    pub repo_digests: Vec<String>,
    /// Manifest digest.
    pub digest: Digest,
    /// Creation time as the image says, RFC 3339.
    pub created: Option<String>,
    /// Extracted size of all layers in bytes.
    pub size: u64,
    /// Id of the image that it was made from, when it was made here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Labels of its configuration.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// An image in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageDetail {
    /// What a listing shows.
    #[serde(flatten)]
    pub summary: ImageSummary,
    /// Architecture in OCI's words.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system.
    pub os: String,
    /// Who made it, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What was remarked when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
    /// The image's configuration document, as it is in the image.
    pub config: serde_json::Value,
}

/// A line of an image's history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Id of the image that ends here, where that is known.
    pub id: Option<Digest>,
    /// RFC 3339.
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// A remark.
    pub comment: String,
    /// Extracted size of its layer in bytes.
    pub size: u64,
    /// References of that image.
    pub tags: Vec<String>,
    /// It added no layer.
    pub empty: bool,
}

/// What a removal removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Removed {
    /// References that no longer name anything.
    pub untagged: Vec<String>,
    /// Images and layers that went.
    pub deleted: Vec<Digest>,
}

/// What pruning freed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pruned {
    /// Names of what went.
    pub removed: Vec<String>,
    /// Bytes freed on disk, as far as known.
    pub bytes: u64,
}

/// Create a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRequest {
    /// What to create.
    pub spec: SandboxSpec,
    /// Build the first generation at once.
    #[serde(default)]
    pub start: bool,
    /// With `start`: leave the main process to a client's [`StartMain`](crate::control::Request::StartMain).
    #[serde(default)]
    pub hold_main: bool,
    /// When the connecting process ends, the sandbox is removed.
    #[serde(default)]
    pub owned: bool,
    /// When to ask a registry for the image.
    #[serde(default)]
    pub pull: PullPolicy,
    /// For that pull.
    #[serde(default)]
    pub auth: AuthSources,
}

/// Where a sandbox is in its life; Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Recorded; no generation yet.
    Created,
    /// A generation lives.
    Running,
    /// A generation lives, and its processes are stopped where they are.
    Paused,
    /// The main process has ended, or the sandbox was stopped; its upper directory is kept.
    Exited,
    /// Being removed.
    Removing,
}

/// A sandbox in listings and in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxInfo {
    /// Identity.
    pub id: SandboxId,
    /// Name.
    pub name: String,
    /// The spec as given.
    pub spec: SandboxSpec,
    /// Image id, when made from an image.
    pub image: Option<Digest>,
    /// Where it is in its life.
    pub status: Status,
    /// Lives so far.
    pub generation: u64,
    /// A spare generation stands ready.
    pub spare: bool,
    /// Entrypoint and Cmd in force.
    pub argv: Vec<String>,
    /// Environment in force.
    pub env: Vec<String>,
    /// Working directory in force.
    pub workdir: String,
    /// User in force.
    pub user: String,
    /// Labels in force: the image's and the spec's.
    pub labels: std::collections::BTreeMap<String, String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, of the current or last generation.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// Pid of init as the daemon's callers see it.
    pub init_pid: Option<i32>,
    /// How the main process ended.
    pub result: Option<ExecResult>,
    /// Exit status of the main process, 0 while none.
    pub exit_code: u8,
    /// What could not be had and was done without.
    pub warnings: Vec<String>,
    /// Interfaces on networks.
    #[serde(default)]
    pub networks: Vec<network::EndpointInfo>,
    /// Published ports in force; none while it does not run.
    #[serde(default)]
    pub ports: Vec<crate::network::port::PublishedPort>,
    /// Egress policy in force.
    #[serde(default)]
    pub egress: Option<crate::network::egress::Egress>,
    /// Sandbox socket.
    pub socket: String,
    /// Its directory on the host.
    pub dir: String,
    /// RFC 3339: when it will be removed by itself.
    pub expires_at: Option<String>,
    /// Directory of the cgroup of the present generation, when it has one.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// The main process ran out of memory: Docker's `State.OOMKilled`.
    #[serde(default)]
    pub oom_killed: bool,
    /// How the disk limit is enforced, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskUse>,
    /// The snapshot that its files stand on; none when they stand on what it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<SnapshotId>,
    /// The snapshot that it was forked from, to which a reset goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<SnapshotId>,
}

/// A disk limit in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// What enforces it; never `auto`.
    pub backing: DiskBacking,
    /// Bytes allowed.
    pub limit_bytes: u64,
    /// Files and directories allowed, when they are limited.
    #[serde(default)]
    pub limit_inodes: Option<u64>,
    /// Bytes taken when we last looked; absent when we have not, or cannot from here.
    #[serde(default)]
    pub used_bytes: Option<u64>,
    /// Files and directories at that time.
    #[serde(default)]
    pub used_inodes: Option<u64>,
}

/// What a reset did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetReport {
    /// The new generation.
    pub generation: u64,
    /// A spare took over; otherwise one was built on the spot.
    pub from_spare: bool,
}

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitResult {
    /// Exit status of the main process.
    pub exit_code: u8,
    /// Its full result; absent when the sandbox was stopped without one.
    pub result: Option<ExecResult>,
}

/// A path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Absolute path inside, lossy where it is not UTF-8.
    pub path: String,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Changed.
    Modified,
    /// New.
    Added,
    /// Gone.
    Deleted,
}

/// Where files of a sandbox can be reached: a running sandbox's own socket, or the socket of an init that was started
/// for a stopped one and leaves when the first connection to it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesAccess {
    /// Path of the SEQPACKET socket.
    pub socket: String,
}
