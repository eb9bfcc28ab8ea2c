//! The engine itself: what all operations share.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use shedbox_linux::{disk, userns};
use shedbox_spec::api::IdMapKind;
use shedbox_spec::config::Config;
use shedbox_spec::paths::Paths;
use shedbox_spec::{SandboxId, id};
use shedbox_store::{IdPolicy, Store, StoreOptions, UnpackLimits};

use crate::background::{Background, Worker};
use crate::blanks::Blanks;
use crate::cgroup::Cgroups;
use crate::disk_limit::Watchdog;
use crate::error::{Doing, Result, on_path};
use crate::events::Listeners;
use crate::host_rootfs::{self, HostRootfs};
use crate::keeper::Keeper;
use crate::network::Networks;
use crate::recycle::Pool;
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::session::Sessions;
use crate::snapshot::Snapshots;
use crate::watcher::{Observer, Watcher};

/// How an engine is opened. The process has entered its user namespace and holds the lock of the root.
#[derive(Debug)]
pub struct EngineOptions {
    /// Where things are. The directories exist.
    pub paths: Paths,
    /// The configuration file's content.
    pub config: Config,
    /// The id map that is in force.
    pub id_map: IdMapKind,
    /// Where the keeper writes its last words.
    pub log: Option<PathBuf>,
}

/// All sandboxes of one root. Every method may be called from any thread.
pub struct Engine {
    pub(crate) paths: Paths,
    pub(crate) config: Config,
    pub(crate) id_map: IdMapKind,
    pub(crate) store: Arc<Store>,
    pub(crate) images: shedbox_image::ImageService,
    pub(crate) keeper: Keeper,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) background: Arc<Background>,
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) blanks: Blanks,
    pub(crate) pool: Pool,
    pub(crate) sessions: Sessions,
    pub(crate) watchdog: Arc<Watchdog>,
    pub(crate) networks: Networks,
    pub(crate) snapshots: Snapshots,
    pub(crate) listeners: Listeners,
    pub(crate) host: Host,
    host_rootfs: Mutex<Option<HostRootfs>>,
    /// Second in the lock order, see [`crate::sandbox`].
    registry: Mutex<Registry<Sandbox>>,
    random: File,
    /// The directory of sandboxes, for a look at the room on its disk.
    pub(crate) disk: File,
    /// This engine, for the threads it starts.
    own: OnceLock<Weak<Engine>>,
}

/// What every generation on this host has in common.
#[derive(Debug)]
pub(crate) struct Host {
    /// (first, count) of each extent of this process's own map; ids are equal inside and outside.
    pub(crate) uid_map: Vec<(u32, u32)>,
    pub(crate) gid_map: Vec<(u32, u32)>,
    pub(crate) deny_setgroups: bool,
}

impl Engine {
    /// Opens the root, starts the keeper if none lives, and finds what an earlier daemon left.
    pub fn open(options: EngineOptions) -> Result<Arc<Self>> {
        let EngineOptions {
            paths,
            config,
            id_map,
            log,
        } = options;
        let host = Host::look()?;
        let limits = UnpackLimits {
            max_layer_bytes: config.max_layer_bytes,
            max_entries: config.max_layer_entries,
            ..UnpackLimits::default()
        };
        let store_options = StoreOptions {
            ids: host.id_policy(id_map),
            limits,
        };
        let store = Arc::new(Store::open(&paths.store(), &paths.trash(), store_options)?);
        let images = shedbox_image::ImageService::new(Arc::clone(&store), config.clone());
        let random = File::open("/dev/urandom").doing(|| "open /dev/urandom".to_owned())?;
        let disk = File::open(paths.sandboxes()).doing(|| on_path("open", &paths.sandboxes()))?;
        let networks = Networks::open(&paths, &config.network.pools, log.clone())?;
        let keeper = Keeper::new(paths.keeper_socket(), log);
        keeper.ensure()?;
        let background = Background::new();
        let cgroups = Cgroups::open(
            &keeper,
            &paths.root,
            config.pids_limit,
            Arc::clone(&background),
        );
        let engine = Arc::new(Self {
            keeper,
            watcher: Watcher::new()?,
            background,
            cgroups,
            blanks: Blanks::new(paths.sandboxes()),
            pool: Pool::default(),
            sessions: Sessions::default(),
            watchdog: Arc::default(),
            networks,
            snapshots: Snapshots::new(paths.snapshots()),
            listeners: Listeners::default(),
            host_rootfs: Mutex::new(None),
            registry: Mutex::default(),
            own: OnceLock::new(),
            paths,
            config,
            id_map,
            store,
            images,
            host,
            random,
            disk,
        });
        let weak = Arc::downgrade(&engine);
        engine.own.get_or_init(|| weak.clone());
        engine.recover()?;
        engine.rewire(true);
        engine.background.want_refill();
        let observer: Weak<dyn Observer> = weak.clone();
        engine.watcher.start(observer)?;
        engine
            .watchdog
            .start(weak.clone())
            .doing(|| "start a thread".to_owned())?;
        let worker: Weak<dyn Worker> = weak;
        engine
            .background
            .start(worker)
            .doing(|| "start a thread".to_owned())?;
        Ok(engine)
    }

    /// Where things are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The id map in force.
    pub fn id_map(&self) -> IdMapKind {
        self.id_map
    }

    /// Nothing needs this daemon: no sandbox runs, and neither a lifetime nor an owner is to be watched.
    pub fn is_idle(&self) -> bool {
        use shedbox_spec::api::Status;
        let sandboxes = self.registry().all();
        sandboxes.iter().all(|sandbox| {
            let status = sandbox.state().life.status;
            !matches!(status, Status::Running | Status::Removing)
                && sandbox.record.expires_at.is_none()
                && (sandbox.record.owner.is_none() || sandbox.disowned.load(std::sync::atomic::Ordering::Acquire))
                // Busy, or somebody reads its files.
                && sandbox.try_turn().is_some_and(|turn| turn.files.is_none())
        })
    }

    /// Stops the engine's threads. Sandboxes go on; spares leave as soon as this process has ended.
    pub fn close(&self) {
        self.background.close();
        self.cgroups.close();
        let sandboxes = self.registry().all();
        for sandbox in sandboxes {
            if let Some(mut turn) = sandbox.try_turn() {
                turn.end_files();
            }
        }
    }

    /// Refuses when the disk has less room than the configuration wants to be left.
    pub(crate) fn require_room(&self) -> Result<()> {
        let room = disk::room(&self.disk).doing(|| "see how much room the disk has".to_owned())?;
        if room.free_bytes >= self.config.min_free_bytes {
            return Ok(());
        }
        Err(shedbox_spec::Error::new(
            shedbox_spec::Kind::Exhausted,
            format!(
                "the disk of {} has {} bytes left, and `min_free_bytes` is {}",
                self.paths.root.display(),
                room.free_bytes,
                self.config.min_free_bytes
            ),
        )
        .with_hint("remove sandboxes, or run `shedbox prune --all`; SHEDBOX_ROOT moves everything to another disk")
        .into())
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry<Sandbox>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a sandbox by name, id or prefix.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<Arc<Sandbox>> {
        Ok(self.registry().find(name_or_id)?)
    }

    /// The skeleton of the `host` image; looked at anew until it can be made.
    pub(crate) fn host_rootfs(&self) -> Result<HostRootfs> {
        let mut known = self
            .host_rootfs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(rootfs) => Ok(rootfs.clone()),
            None => Ok(known
                .insert(host_rootfs::prepare(&self.paths.root.join("host"))?)
                .clone()),
        }
    }

    /// A new identity.
    pub(crate) fn new_id(&self) -> Result<SandboxId> {
        let mut bytes = [0; 32];
        self.fill_random(&mut bytes)?;
        Ok(SandboxId::from_bytes(&bytes))
    }

    /// Random bytes.
    pub(crate) fn fill_random(&self, bytes: &mut [u8]) -> Result<()> {
        (&self.random)
            .read_exact(bytes)
            .doing(|| "read /dev/urandom".to_owned())
    }

    /// This engine, for threads that must not keep it alive.
    pub(crate) fn weak(&self) -> Weak<Engine> {
        self.own.get().cloned().unwrap_or_default()
    }

    /// Takes the name that was asked for, or a readable one that is free.
    pub(crate) fn reserve_name(&self, wanted: Option<&str>, id: &SandboxId) -> Result<String> {
        if let Some(name) = wanted {
            self.registry().reserve(name, id)?;
            return Ok(name.to_owned());
        }
        let mut random = [0; 8];
        for attempt in 0.. {
            self.fill_random(&mut random)?;
            let name = id::generated_name(u64::from_ne_bytes(random), attempt.min(1));
            if self.registry().reserve(&name, id).is_ok() {
                return Ok(name);
            }
            // 400 million names: this many failures mean that something else is wrong.
            if attempt > 1000 {
                break;
            }
        }
        Err(shedbox_spec::Error::conflict("no generated name is free")
            .with_hint("give the sandbox a name")
            .into())
    }

    pub(crate) fn sandbox_socket(&self, id: &SandboxId) -> PathBuf {
        self.paths.sandbox_sockets().join(format!("{id}.sock"))
    }

    pub(crate) fn name_link(&self, name: &str) -> PathBuf {
        self.paths.names().join(name)
    }
}

impl Host {
    fn look() -> Result<Self> {
        let extents = |path: &str| -> Result<Vec<(u32, u32)>> {
            let text = std::fs::read_to_string(path).doing(|| on_path("read", Path::new(path)))?;
            Ok(userns::parse_map(&text)
                .iter()
                .map(|extent| (extent.inside, extent.count))
                .collect())
        };
        let setgroups = std::fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
        Ok(Self {
            uid_map: extents("/proc/self/uid_map")?,
            gid_map: extents("/proc/self/gid_map")?,
            deny_setgroups: setgroups.trim() == "deny",
        })
    }

    fn id_policy(&self, id_map: IdMapKind) -> IdPolicy {
        let highest = |map: &[(u32, u32)]| {
            map.iter()
                .map(|(first, count)| first + (count - 1))
                .max()
                .unwrap_or(0)
        };
        match id_map {
            IdMapKind::Single => IdPolicy::Single,
            IdMapKind::Subordinate | IdMapKind::Root => IdPolicy::Mapped {
                max_uid: highest(&self.uid_map),
                max_gid: highest(&self.gid_map),
            },
        }
    }
}
