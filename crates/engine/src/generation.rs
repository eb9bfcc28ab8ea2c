//! Building one generation: directories, the message to init, clone, ready.
//!
//! A generation that is ready has touched nothing that another one uses: it stands on its own directories and waits
//! for `Activate`. Should this daemon die first, its control socket closes and init leaves by itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::api::IdMapKind;
use shedbox_spec::exec::StdinMode;
use shedbox_spec::generation::{GenerationSpec, MainProcess, Rootfs};
use shedbox_spec::limits::{Limits, LimitsMode};
use shedbox_spec::sandbox::{DEFAULT_SHM_SIZE, Source};
use shedbox_store::upper;

use crate::Engine;
use crate::capabilities;
use crate::cgroup::{Lease, Lent};
use crate::disk_limit;
use crate::error::{Doing, EngineError, Result, on_path};
use crate::filter::filters_for;
use crate::init::Init;
use crate::keeper::Join;
use crate::record::Record;
use crate::sandbox::{Sandbox, Turn};
use crate::snapshot::{Base, write_link};
use shedbox_spec::network::NetworkNamespace;

/// Which directories a generation stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `live`, new or with a kept upper directory.
    Live,
    /// `spare`, which becomes `live` by an exchange.
    Spare,
    /// `live` of a sandbox that is prepared: see [`crate::recycle`]. It is connected when it starts.
    Ahead,
}

/// What a generation is built for.
pub(crate) struct Order<'a> {
    pub(crate) generation: u64,
    pub(crate) place: Place,
    /// The living generation whose user and network namespaces are kept.
    pub(crate) join: Option<&'a Init>,
}

/// A generation that was cloned and sets itself up. Dropped before it is ready, it leaves: its control socket closes.
pub(crate) struct Rising {
    sandbox: String,
    generation: u64,
    token: u64,
    cloned: (i32, OwnedFd),
    control: SeqPacket,
    lent: Lent,
    /// It shares the network namespace of a living generation.
    joined: bool,
    /// What the network could not have.
    warnings: Vec<String>,
}

impl Rising {
    /// Waits until it stands.
    pub(crate) fn ready(self) -> Result<Arc<Init>> {
        let Lent { lease, warnings } = self.lent;
        let mut init = Init::await_ready(
            &self.sandbox,
            self.generation,
            self.token,
            self.cloned,
            self.control,
        )?;
        init.cgroup = lease;
        init.joined = self.joined;
        init.warnings.extend(warnings);
        init.warnings.extend(self.warnings);
        Ok(Arc::new(init))
    }
}

impl Engine {
    /// Builds a generation that serves the sandbox socket once it is activated.
    pub(crate) fn build(
        &self,
        sandbox: &Sandbox,
        turn: &mut Turn,
        order: &Order<'_>,
    ) -> Result<Arc<Init>> {
        self.begin(sandbox, turn, order)?.ready()
    }

    /// Clones a generation and does not wait: init sets its rootfs up while the caller does something else.
    pub(crate) fn begin(
        &self,
        sandbox: &Sandbox,
        turn: &mut Turn,
        order: &Order<'_>,
    ) -> Result<Rising> {
        let adopted = sandbox.state().live.is_some();
        let listener = turn.listener(&sandbox.socket, adopted)?;
        let dir = match order.place {
            Place::Live | Place::Ahead => sandbox.layout.live(),
            Place::Spare => sandbox.layout.spare(),
        };
        let base = {
            let bases = sandbox.bases();
            match order.place {
                Place::Live | Place::Ahead => bases.live.clone(),
                Place::Spare => bases.ahead.clone(),
            }
        };
        let with_main = sandbox.has_main();
        let spec = self.generation_spec(sandbox, &dir, &base, order.generation, with_main)?;
        let mut rising = self.clone_init(sandbox, spec, listener, order.join)?;
        // A spare waits for the address of the one it follows.
        if !rising.joined && order.place == Place::Live {
            // Dropped on failure, it leaves.
            let (generation, pid) = (rising.generation, rising.cloned.0);
            self.attach(sandbox, generation, pid, &mut rising.warnings)?;
        }
        Ok(rising)
    }

    /// Clones a generation and waits until it is ready.
    pub(crate) fn launch(
        &self,
        sandbox: &Sandbox,
        mut spec: GenerationSpec,
        listener: std::os::fd::BorrowedFd<'_>,
        join: Option<&Init>,
    ) -> Result<Arc<Init>> {
        // Who only serves files needs nobody's network.
        if spec.network == NetworkNamespace::Shared {
            spec.network = NetworkNamespace::Own;
        }
        self.clone_init(sandbox, spec, listener, join)?.ready()
    }

    fn clone_init(
        &self,
        sandbox: &Sandbox,
        mut spec: GenerationSpec,
        listener: std::os::fd::BorrowedFd<'_>,
        join: Option<&Init>,
    ) -> Result<Rising> {
        let generation = spec.generation;
        let log = open_directory(&sandbox.layout.log())?;
        let (ours, theirs) = SeqPacket::pair().doing(|| "make a control socket".to_owned())?;
        let joined = join.is_some();
        let neighbour = match join {
            None if spec.network == NetworkNamespace::Shared => self.neighbour(&sandbox.record)?,
            _ => None,
        };
        let join = match (join, &neighbour) {
            (Some(init), _) => Join::Live(init.pidfd.as_fd()),
            (None, Some(neighbour)) => Join::Network(neighbour.pidfd.as_fd()),
            (None, None) => Join::Nobody,
        };
        let limits = sandbox.limits();
        let mut lent = self.cgroups.lend(&self.keeper, &limits)?;
        let in_cgroup = lent.lease.as_ref().and_then(Lease::descriptors).is_some();
        self.restrict(sandbox, &mut spec, in_cgroup)?;
        let fds = [theirs.as_fd(), listener, log.as_fd()];
        let cloned = match self.clone_into(&lent, spec.clone(), fds, join) {
            Err(EngineError::Generation { failure, .. })
                if failure.stage == "cgroup" && crate::cgroup::Cgroups::may_do_without(&limits) =>
            {
                self.cgroups.give_up(&format!(
                    "the keeper may not clone into a group of its user ({} => {})",
                    failure.call, failure.errno
                ));
                lent = self.cgroups.lend(&self.keeper, &limits)?;
                self.clone_into(&lent, spec, fds, join)?
            }
            other => other?,
        };
        if let Some(lease) = &mut lent.lease {
            lease.belongs_to(&cloned.1);
        }
        // Ours must be the only end on this side, or the end of init would go unnoticed.
        drop(theirs);
        Ok(Rising {
            sandbox: sandbox.record.id.short().to_owned(),
            generation,
            token: self.watcher.token(),
            cloned,
            control: ours,
            lent,
            joined,
            warnings: Vec::new(),
        })
    }

    /// Sets the filters. In a cgroup init starts commands by clone3, which puts them there, and has to be allowed it.
    fn restrict(
        &self,
        sandbox: &Sandbox,
        spec: &mut GenerationSpec,
        init_uses_clone3: bool,
    ) -> Result<()> {
        let filters = filters_for(
            &sandbox.record.spec.security.seccomp,
            spec.capabilities,
            self.id_map == IdMapKind::Single,
            init_uses_clone3,
        )
        .map_err(shedbox_spec::Error::from)?;
        spec.seccomp.clone_from(&filters.init);
        spec.seccomp_command.clone_from(&filters.command);
        spec.seccomp_asks = filters.asks;
        Ok(())
    }

    fn clone_into(
        &self,
        lent: &Lent,
        mut spec: GenerationSpec,
        fds: [BorrowedFd<'_>; 3],
        join: Join<'_>,
    ) -> Result<(i32, OwnedFd)> {
        let lease = lent.lease.as_ref();
        if lease.is_some_and(Lease::limits_memory) {
            spec.address_space = None;
        }
        spec.cgroup = lease.map(|lease| path_text(lease.path())).transpose()?;
        let group = lease.and_then(Lease::descriptors);
        self.keeper.spawn(spec, fds, group, join)
    }

    /// The message to init.
    pub(crate) fn generation_spec(
        &self,
        sandbox: &Sandbox,
        dir: &Path,
        base: &Base,
        generation: u64,
        with_main: bool,
    ) -> Result<GenerationSpec> {
        let record = &sandbox.record;
        let spec = &record.spec;
        let resolved = &record.resolved;
        let (etc_hosts, etc_resolv_conf) = self.etc_files(sandbox)?;
        let capabilities = capabilities::of(&spec.security)?;
        Ok(GenerationSpec {
            sandbox: record.id.as_str().to_owned(),
            generation,
            rootfs: self.rootfs(sandbox, dir, base)?,
            mountpoint: path_text(&self.paths.mountpoint())?,
            mounts: spec.mounts.clone(),
            cow_dir: path_text(&dir.join("cow"))?,
            snapshots: base
                .iter()
                .flat_map(|base| base.chain())
                .map(|snapshot| path_text(&snapshot.dir))
                .collect::<Result<_>>()?,
            read_only: spec.read_only,
            hostname: record.hostname.clone(),
            etc_hosts,
            etc_resolv_conf,
            shm_size: spec.shm_size.unwrap_or(DEFAULT_SHM_SIZE),
            network: spec.network.namespace(),
            ulimits: spec.ulimits.clone(),
            sysctls: spec.sysctls.clone(),
            capabilities,
            env: resolved.env.clone(),
            workdir: resolved.workdir.clone(),
            user: resolved.user.clone(),
            user_may_fall_back: resolved.user_may_fall_back,
            groups: crate::validate::groups(&spec.groups)?,
            main: (with_main && !resolved.argv.is_empty()).then(|| MainProcess {
                argv: resolved.argv.clone(),
                tty: spec.tty,
                stdin_open: spec.stdin == StdinMode::Pipe,
            }),
            ttl_ms: record
                .expires_at
                .map(|at| millis_until(at, Timestamp::now())),
            log_max_bytes: spec.log_max_bytes.unwrap_or(self.config.log_max_bytes),
            uid_map: self.host.uid_map.clone(),
            gid_map: self.host.gid_map.clone(),
            deny_setgroups: self.host.deny_setgroups,
            // Set with the cgroup: see `restrict`.
            seccomp: Vec::new(),
            seccomp_command: Vec::new(),
            seccomp_asks: false,
            own_keyring: capabilities::leaves_keyrings_open(&spec.security),
            no_new_privileges: spec.security.no_new_privileges,
            landlock: spec.security.landlock.clone(),
            mounts_inside: crate::validate::mounts_inside(&spec.security)?,
            masked: spec.security.masked.clone(),
            pids: self.pids(&spec.limits),
            // Taken back where there is a cgroup to hold it.
            address_space: spec
                .limits
                .memory
                .filter(|_| spec.limits.mode == LimitsMode::BestEffort),
            oom_group: spec.limits.oom_group,
            disk: disk_limit::room(record),
            oom_score_adj: spec.limits.oom_score_adj,
            cgroup: None,
        })
    }

    /// Processes that a sandbox may have: what was asked for, else what the configuration says.
    pub(crate) fn pids(&self, limits: &Limits) -> Option<u64> {
        let pids = limits.pids.unwrap_or(self.config.pids_limit);
        u64::try_from(pids).ok().filter(|pids| *pids > 0)
    }

    /// Lower directories of a sandbox, uppermost first, without those of snapshots.
    pub(crate) fn own_lowers(&self, sandbox: &Sandbox) -> Result<Vec<PathBuf>> {
        let Rootfs::Overlay { lower, .. } = self.own_parts(sandbox)?;
        Ok(lower.iter().map(PathBuf::from).collect())
    }

    fn own_parts<'s>(&self, sandbox: &'s Sandbox) -> Result<&'s Rootfs> {
        Ok(if let Some(parts) = sandbox.rootfs.get() {
            parts
        } else {
            let parts = self.lower_parts(&sandbox.record)?;
            sandbox.rootfs.get_or_init(|| parts)
        })
    }

    fn rootfs(&self, sandbox: &Sandbox, dir: &Path, base: &Base) -> Result<Rootfs> {
        let mut parts = self.own_parts(sandbox)?.clone();
        let Rootfs::Overlay {
            lower, upper, work, ..
        } = &mut parts;
        if let Some(base) = base {
            let snapshots = base
                .uppers()
                .iter()
                .map(|path| path_text(path))
                .collect::<Result<Vec<_>>>()?;
            lower.splice(..0, snapshots);
        }
        *upper = path_text(&dir.join("upper"))?;
        *work = path_text(&dir.join("work"))?;
        Ok(parts)
    }

    /// What lies below the upper directory; `upper` and `work` are empty.
    fn lower_parts(&self, record: &Record) -> Result<Rootfs> {
        let (lower, host_binds, masked) = match &record.spec.source {
            Source::Image(_) => (self.lowers(record)?, Vec::new(), Vec::new()),
            Source::Rootfs(dir) => (vec![PathBuf::from(dir)], Vec::new(), Vec::new()),
            Source::Host => {
                let host = self.host_rootfs()?;
                (vec![host.lower], host.binds, host.masked)
            }
        };
        let lower = lower
            .iter()
            .map(|path| path_text(path))
            .collect::<Result<_>>()?;
        Ok(Rootfs::Overlay {
            lower,
            upper: String::new(),
            work: String::new(),
            host_binds,
            masked,
        })
    }

    /// Lower directories of a record's image, uppermost first.
    pub(crate) fn lowers(&self, record: &Record) -> Result<Vec<PathBuf>> {
        match &record.image {
            Some(image) => Ok(self.store.lowers(image)?),
            None => Ok(Vec::new()),
        }
    }

    /// Makes the directories of the next generation in `spare`, over what the sandbox is aimed at; what an earlier one left
    /// there goes.
    pub(crate) fn prepare_spare(&self, sandbox: &Sandbox, generation: u64) -> Result<()> {
        let spare = sandbox.layout.spare();
        self.discard_if_there(&spare)?;
        self.blanks.generation(&spare)?;
        self.background.want_refill();
        let cow = sandbox.record.cow_mounts();
        if !cow.is_empty() {
            upper::make(&spare, &cow)?;
        }
        let ahead = sandbox.bases().ahead.clone();
        write_link(&spare, &ahead)?;
        // After the exchange this tells recovery that `live` is younger than the init it finds.
        let mark = spare.join(GENERATION_MARK);
        std::fs::write(&mark, generation.to_string()).doing(|| on_path("write", &mark))
    }

    /// Gives a kept upper directory fresh scratch directories.
    pub(crate) fn renew_work(&self, sandbox: &Sandbox) -> Result<()> {
        let cow = sandbox.record.cow_mounts();
        Ok(upper::renew_work(
            &sandbox.layout.live(),
            &cow,
            self.store.trash(),
        )?)
    }

    /// Moves a directory to the trash, if there is one.
    pub(crate) fn discard_if_there(&self, path: &Path) -> Result<()> {
        if std::fs::symlink_metadata(path).is_ok() {
            self.store.trash().discard(path)?;
        }
        Ok(())
    }
}

/// File in a generation's directory that tells which one it was made for.
pub(crate) const GENERATION_MARK: &str = "generation";

/// Milliseconds from `now` to `at`; at least one, because none would mean no limit to some and the past to others.
fn millis_until(at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond() - now.as_millisecond())
        .unwrap_or(0)
        .max(1)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    std::fs::File::open(path)
        .map(OwnedFd::from)
        .doing(|| on_path("open", path))
}

/// A path for a message: those are text, and the data directory was checked to be.
pub(crate) fn path_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        shedbox_spec::Error::invalid(format!("path `{}` is not UTF-8", path.display()))
            .with_hint("choose a data directory with a plain name: SHEDBOX_ROOT")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_that_is_over_leaves_a_millisecond() {
        let now = Timestamp::from_second(100).unwrap();
        let at = |milli: i64| Timestamp::from_millisecond(milli).unwrap();
        assert_eq!(millis_until(at(100_250), now), 250);
        assert_eq!(millis_until(at(100_000), now), 1);
        assert_eq!(millis_until(at(1), now), 1);
    }
}
