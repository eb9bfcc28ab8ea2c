//! What one generation is made of: the message from the daemon through the keeper to a new init.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::landlock::LandlockSpec;
use crate::mount::Mount;
use crate::network::NetworkNamespace;
use crate::ulimit::Ulimit;
use crate::user::NameOrId;

/// Everything init needs. Paths are the host's, as the daemon sees them, until `pivot_root`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationSpec {
    /// Sandbox id, for messages and the host name.
    pub sandbox: String,
    /// Counts the lives of a sandbox, from 1.
    pub generation: u64,
    /// Where the root comes from.
    pub rootfs: Rootfs,
    /// An existing empty directory on which the new root is mounted before pivot_root.
    pub mountpoint: String,
    /// Volumes and tmpfs, in mount order. `Cow` binds use `cow_dir`.
    pub mounts: Vec<Mount>,
    /// For each copy-on-write bind, `<cow_dir>/<index in mounts>/{upper,work}` exists.
    pub cow_dir: String,
    /// Directories of the snapshots that this generation stands on, uppermost first: what each of them has at
    /// `cow/<index in mounts>/upper` lies between the host's directory and what this generation writes.
    #[serde(default)]
    pub snapshots: Vec<String>,
    /// The rootfs is read-only.
    pub read_only: bool,
    /// Host name.
    pub hostname: String,
    /// Contents of /etc/hosts, /etc/hostname and /etc/resolv.conf.
    pub etc_hosts: String,
    /// See `etc_hosts`.
    pub etc_resolv_conf: String,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// Network namespace it lives in.
    pub network: NetworkNamespace,
    /// Resource limits of every command.
    pub ulimits: Vec<Ulimit>,
    /// Capabilities of root inside, as a bit set.
    pub capabilities: u64,
    /// Environment of every command: the image's and the spec's, merged.
    pub env: Vec<String>,
    /// Working directory of every command; created when missing.
    pub workdir: String,
    /// User of every command, as `--user` takes it.
    pub user: String,
    /// A user that cannot be had on a single-id map runs as root instead of failing (an image's own User, not one that
    /// was asked for).
    pub user_may_fall_back: bool,
    /// Groups of every command besides its user's own.
    #[serde(default)]
    pub groups: Vec<NameOrId>,
    /// Kernel parameters of its network and IPC namespaces.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The main process, when there is one.
    pub main: Option<MainProcess>,
    /// Milliseconds from creation until init ends the generation by itself.
    pub ttl_ms: Option<u64>,
    /// Cap on the log in bytes.
    pub log_max_bytes: u64,
    /// One line per extent of the daemon's own map: (first id, count). Inside and parent ids are equal.
    pub uid_map: Vec<(u32, u32)>,
    /// The same for groups.
    pub gid_map: Vec<(u32, u32)>,
    /// setgroups(2) is denied (single-id map without subordinate ids).
    pub deny_setgroups: bool,
    /// seccomp filter as `struct sock_filter` packed in u64, little-endian; empty for none. Init installs it in itself
    /// once, and every command inherits it.
    pub seccomp: Vec<u64>,
    /// A further filter that each command installs in itself: one that init could not live with.
    #[serde(default)]
    pub seccomp_command: Vec<u64>,
    /// `seccomp` asks about what the default profile would deny: init answers, counts and lets it pass.
    #[serde(default)]
    pub seccomp_asks: bool,
    /// The filter leaves keyrings open: init starts with a session keyring of its own, not with the keeper's, which
    /// other sandboxes have too.
    #[serde(default)]
    pub own_keyring: bool,
    /// No program gains privileges by being executed.
    pub no_new_privileges: bool,
    /// The Landlock domain that init enters and every command inherits.
    pub landlock: LandlockSpec,
    /// Programs may mount in namespaces of their own: the domain leaves files alone, because one that handles files
    /// forbids every mount.
    #[serde(default)]
    pub mounts_inside: bool,
    /// Paths inside that are hidden on top of the usual ones.
    #[serde(default)]
    pub masked: Vec<String>,
    /// Processes and threads that the sandbox may have, enforced without a cgroup as far as the kernel can; absent for
    /// no limit.
    #[serde(default)]
    pub pids: Option<u64>,
    /// Address space of every process in bytes: stands in for a memory limit where there is no cgroup.
    #[serde(default)]
    pub address_space: Option<u64>,
    /// The whole generation ends when the kernel has killed one of its processes for want of memory. Needs a cgroup.
    #[serde(default)]
    pub oom_group: bool,
    /// Room for what the sandbox writes, when it is limited.
    #[serde(default)]
    pub disk: Option<DiskRoom>,
    /// Added to the badness of every command when memory runs out.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
    /// Directory of the generation's own cgroup on the host, when it has one; shown read-only at `/sys/fs/cgroup`.
    #[serde(default)]
    pub cgroup: Option<String>,
}

/// The room for upper directories, as init has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRoom {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories; absent for no limit of its own.
    #[serde(default)]
    pub inodes: Option<u64>,
    /// Init puts the upper directories into a memory file system of this size.
    pub in_memory: bool,
    /// The file system keeps it, and says through statfs how much is left.
    pub by_file_system: bool,
}

/// The lower layers and the upper directory of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Rootfs {
    /// An overlay.
    Overlay {
        /// Lower directories, uppermost first.
        lower: Vec<String>,
        /// The sandbox's own writable diff.
        upper: String,
        /// overlay's scratch directory, empty, on the same file system.
        work: String,
        /// Host directories bound read-only over the overlay (source, target inside): the `host` image.
        host_binds: Vec<(String, String)>,
        /// Paths inside that are hidden: a file reads as empty, a directory is empty.
        masked: Vec<String>,
    },
}

/// The main process of a sandbox: Docker's "container process".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainProcess {
    /// Program and arguments: Entrypoint and Cmd, merged.
    pub argv: Vec<String>,
    /// With a pseudo terminal.
    pub tty: bool,
    /// Standard input stays open for clients that attach; otherwise it is `/dev/null` unless the client that starts
    /// the process brings one.
    #[serde(default)]
    pub stdin_open: bool,
}
