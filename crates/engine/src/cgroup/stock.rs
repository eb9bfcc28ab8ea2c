//! All groups of a data directory: made ahead of need, lent to generations, removed when those are over.
//!
//! Making a group takes the kernel about as long as cloning a process, several times over with the leaf and the
//! namespace; so a few are kept, as directories are (see [`crate::blanks`]). Removing waits until the last process has
//! gone, and nobody waits for it.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use shedbox_linux::{pidfd, userns};
use shedbox_spec::error::chain;
use shedbox_spec::limits::{Limits, LimitsMode};
use shedbox_spec::{Error, Kind};

use super::delegation::{Absence, Delegation, MOUNT};
use super::group::{self, Group};
use super::lease::Lease;
use super::plan::{self, Setting};
use super::{check, read};
use crate::background::{Background, Job};
use crate::error::Result;
use crate::keeper::Keeper;

/// How many empty groups are kept.
const KEPT: usize = 8;
/// Between two attempts to remove a group that still has a process.
const AGAIN: Duration = Duration::from_millis(20);
/// First letter of the names of generations' groups.
const PREFIX: char = 'g';

/// See the module.
#[derive(Debug)]
pub(crate) struct Cgroups {
    place: Result<Delegation, Absence>,
    /// Set when the kernel refused what `place` seemed to allow.
    broken: OnceLock<Absence>,
    default_pids: i64,
    background: Arc<Background>,
    next: AtomicU64,
    blanks: Mutex<Vec<Group>>,
    retired: Mutex<Vec<Retired>>,
    /// A sweep is on its way.
    sweeping: AtomicBool,
}

/// A group without a use.
#[derive(Debug)]
struct Retired {
    path: PathBuf,
    /// Of the init that was in it: nothing is killed before that has ended. `None`: nothing is killed at all.
    init: Option<OwnedFd>,
}

/// A group that was lent, or none, and what is to be said about it.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    pub(crate) lease: Option<Lease>,
    pub(crate) warnings: Vec<String>,
}

impl Cgroups {
    /// Finds the place for groups. None is no error as long as nobody asks for a limit.
    pub(crate) fn open(
        keeper: &Keeper,
        root: &Path,
        default_pids: i64,
        background: Arc<Background>,
    ) -> Arc<Self> {
        let place = match keeper.pid() {
            Ok(pid) => Delegation::find(pid, &base_name(root), outer_uid()),
            Err(error) => Err(Absence {
                reason: chain(&error),
                fix: None,
            }),
        };
        match &place {
            Ok(place) => {
                tracing::info!(base = %place.base.display(), controllers = place.controllers.join(" "), "cgroups");
            }
            Err(absence) => tracing::info!(reason = absence.reason, "no cgroups"),
        }
        Arc::new(Self {
            place,
            broken: OnceLock::new(),
            default_pids,
            background,
            next: AtomicU64::new(0),
            blanks: Mutex::default(),
            retired: Mutex::default(),
            sweeping: AtomicBool::new(false),
        })
    }

    /// The place, or why there is none.
    pub(super) fn place(&self) -> Result<&Delegation, &Absence> {
        match self.broken.get() {
            Some(absence) => Err(absence),
            None => self.place.as_ref(),
        }
    }

    /// Refuses limits that make no sense, that this host cannot give, or that nothing here can enforce.
    pub(crate) fn check(&self, limits: &Limits) -> shedbox_spec::Result<()> {
        limits.validate()?;
        check::against_host(limits)?;
        self.plan(limits).map(drop)
    }

    /// What is to be written for `limits`, and warnings about what will not be.
    fn plan(&self, limits: &Limits) -> shedbox_spec::Result<(Vec<Setting>, Vec<String>)> {
        let best_effort = limits.mode == LimitsMode::BestEffort;
        let place = match self.place() {
            Ok(place) => place,
            Err(absence) => {
                let asked = limits.needing_cgroup();
                if asked.is_empty() {
                    return Ok((Vec::new(), Vec::new()));
                }
                if !best_effort {
                    return Err(unavailable(&asked.join(" and "), absence));
                }
                let warnings = asked
                    .into_iter()
                    .map(|option| without(option, &absence.reason))
                    .collect();
                return Ok((Vec::new(), warnings));
            }
        };
        let mut warnings = Vec::new();
        let mut settings = plan::settings(limits, self.default_pids, check::device)?;
        let mut lacking = Vec::new();
        settings.retain(|setting| {
            let there = place
                .controllers
                .iter()
                .any(|name| name == setting.controller);
            if !there && let Some(option) = setting.option {
                lacking.push((option, setting.controller));
            }
            there
        });
        for (option, controller) in lacking {
            let reason = format!("the controller `{controller}` is not delegated to this user");
            if !best_effort {
                let fix = Some(super::delegation::DELEGATE_ALL.to_owned());
                return Err(unavailable(option, &Absence { reason, fix }));
            }
            warnings.push(without(option, &reason));
        }
        Ok((settings, warnings))
    }

    /// A group with these limits for a new generation; none where there are no cgroups and none are needed.
    pub(crate) fn lend(self: &Arc<Self>, keeper: &Keeper, limits: &Limits) -> Result<Lent> {
        let (settings, mut warnings) = self.plan(limits)?;
        let Ok(place) = self.place() else {
            return Ok(Lent {
                lease: None,
                warnings,
            });
        };
        let kept = lock(&self.blanks).pop();
        let lent = match kept {
            Some(group) => Ok(group),
            None => self.make(keeper, place),
        }
        .and_then(|group| {
            let lease = Lease::new(group, Arc::clone(self));
            lease.group().set(&settings)?;
            Ok(lease)
        });
        match lent {
            Ok(lease) => Ok(Lent {
                lease: Some(lease),
                warnings,
            }),
            Err(error) if Self::may_do_without(limits) => {
                tracing::warn!(error = chain(&error), "no cgroup for a sandbox");
                warnings.extend(
                    limits
                        .needing_cgroup()
                        .into_iter()
                        .map(|option| without(option, &chain(&error))),
                );
                Ok(Lent {
                    lease: None,
                    warnings,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing was asked for that needs a group, or it is to be tried only.
    pub(crate) fn may_do_without(limits: &Limits) -> bool {
        limits.mode == LimitsMode::BestEffort || limits.needing_cgroup().is_empty()
    }

    /// The kernel does not let the keeper clone into our groups: none are lent from now on.
    pub(crate) fn give_up(&self, reason: &str) {
        let absence = Absence {
            reason: reason.to_owned(),
            fix: Some(super::delegation::start_manager(outer_uid())),
        };
        if self.broken.set(absence).is_ok() {
            tracing::warn!(reason, "cgroups cannot be used");
        }
        let blanks = std::mem::take(&mut *lock(&self.blanks));
        for blank in blanks {
            self.retire(blank.path, None);
        }
    }

    /// Values for a group that is in use.
    pub(super) fn settings(&self, limits: &Limits) -> shedbox_spec::Result<Vec<Setting>> {
        self.plan(limits).map(|(settings, _)| settings)
    }

    fn make(&self, keeper: &Keeper, place: &Delegation) -> Result<Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        Group::make(place.base.join(name), keeper, &place.controllers)
    }

    /// Makes one that is missing of those kept; false when none is.
    pub(crate) fn refill(&self, keeper: &Keeper) -> Result<bool> {
        let Ok(place) = self.place() else {
            return Ok(false);
        };
        if lock(&self.blanks).len() >= KEPT {
            return Ok(false);
        }
        match self.make(keeper, place) {
            Ok(group) => {
                lock(&self.blanks).push(group);
                Ok(true)
            }
            Err(crate::EngineError::Generation { failure, .. }) => {
                self.give_up(&format!("{} => {}", failure.call, failure.errno));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The group that an init of an earlier daemon is in.
    pub(crate) fn adopt(self: &Arc<Self>, pid: i32, init: &OwnedFd) -> Option<Lease> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let leaf = PathBuf::from(format!("{MOUNT}{}", read::own_group(&text)?));
        let path = leaf.parent()?;
        let is_ours = leaf.file_name()? == shedbox_spec::control::INIT_LEAF
            && path.file_name()?.to_str()?.starts_with(PREFIX)
            && path
                .parent()?
                .file_name()?
                .to_str()?
                .starts_with("shedbox-");
        if !is_ours {
            return None;
        }
        let mut lease = Lease::new(Group::adopt(path.to_owned()), Arc::clone(self));
        lease.belongs_to(init);
        Some(lease)
    }

    /// Takes away what an earlier daemon left and nobody uses. `used` are the groups of living generations.
    pub(crate) fn recover(&self, used: &HashSet<PathBuf>) {
        let Ok(place) = &self.place else { return };
        let left = group::children(&place.base).unwrap_or_default();
        for path in left {
            if !used.contains(&path) {
                self.retire(path, None);
            }
        }
    }

    pub(super) fn retire(&self, path: PathBuf, init: Option<OwnedFd>) {
        lock(&self.retired).push(Retired { path, init });
        self.sweep_soon();
    }

    fn sweep_soon(&self) {
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            self.background
                .push_at(Instant::now() + AGAIN, Job::SweepCgroups);
        }
    }

    /// Removes groups that are no longer used, as far as their processes have gone; the rest later.
    pub(crate) fn sweep(&self) {
        self.sweeping.store(false, Ordering::Release);
        if self.sweep_once() > 0 {
            self.sweep_soon();
        }
    }

    /// How many are left.
    fn sweep_once(&self) -> usize {
        let retired = std::mem::take(&mut *lock(&self.retired));
        let left: Vec<Retired> = retired
            .into_iter()
            .filter(|retired| !retired.is_gone())
            .collect();
        let mut list = lock(&self.retired);
        list.extend(left);
        list.len()
    }

    /// Takes away what no living generation needs; called when this daemon leaves.
    pub(crate) fn close(&self) {
        let Ok(place) = &self.place else { return };
        let blanks = std::mem::take(&mut *lock(&self.blanks));
        for blank in blanks {
            lock(&self.retired).push(Retired {
                path: blank.path,
                init: None,
            });
        }
        for _ in 0..20 {
            if self.sweep_once() == 0 {
                break;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the kernel tells nobody that a group can be removed"
            )]
            std::thread::sleep(Duration::from_millis(5));
        }
        // Generations that live keep it.
        let _ = std::fs::remove_dir(&place.base);
    }
}

impl Retired {
    /// Removes it if that is possible by now.
    fn is_gone(&self) -> bool {
        if let Some(init) = &self.init {
            if !pidfd::wait(init.as_fd(), Some(Duration::ZERO)).unwrap_or(true) {
                return false;
            }
            // Init's end has ended all others, but for what the kernel is still about to take down.
            if group::is_populated(&self.path)
                && let Err(error) = std::fs::write(self.path.join("cgroup.kill"), "1")
            {
                tracing::debug!(%error, path = %self.path.display(), "not killed");
            }
        }
        if group::is_populated(&self.path) {
            return false;
        }
        match group::remove(&self.path) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => false,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "a group stays");
                true
            }
        }
    }
}

/// The error of a limit that nothing here can enforce.
fn unavailable(options: &str, absence: &Absence) -> Error {
    let reason = &absence.reason;
    let fix = absence.fix.as_ref().map_or_else(
        || "use `--limits=best-effort` for what rlimits can do".to_owned(),
        |fix| format!("{fix}\nor use `--limits=best-effort` for what rlimits can do"),
    );
    Error::new(
        Kind::Unsupported,
        format!("{options} needs a control group, and there is none to use: {reason}"),
    )
    .with_hint(fix)
}

/// What a sandbox is told that asked for best effort.
fn without(option: &str, reason: &str) -> String {
    let instead = match option {
        "--memory" => "only the address space of each process is limited",
        "--pids-limit" => "only RLIMIT_NPROC limits processes",
        _ => "not in force",
    };
    format!("{option}: {instead} ({reason})")
}

/// Name of the base of a data directory. Source: FNV-1a, 32 bits.
fn base_name(root: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let hash = root
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    format!("shedbox-{hash:08x}")
}

/// The user's own uid, outside of our user namespace.
fn outer_uid() -> u32 {
    let text = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    userns::parse_map(&text)
        .iter()
        .find(|extent| extent.inside == 0)
        .map_or(0, |extent| extent.outside)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroups(place: Result<Delegation, Absence>) -> Cgroups {
        Cgroups {
            place,
            broken: OnceLock::new(),
            default_pids: 2048,
            background: Background::new(),
            next: AtomicU64::new(0),
            blanks: Mutex::default(),
            retired: Mutex::default(),
            sweeping: AtomicBool::new(false),
        }
    }

    fn nowhere() -> Result<Delegation, Absence> {
        Err(Absence {
            reason: "because".into(),
            fix: Some("mend it".into()),
        })
    }

    fn memory(mode: LimitsMode) -> Limits {
        Limits {
            memory: Some(64 << 20),
            nano_cpus: Some(10_000_000),
            mode,
            ..Limits::default()
        }
    }

    #[test]
    fn without_a_place_only_what_was_asked_for_is_missed() {
        let cgroups = cgroups(nowhere());
        assert_eq!(cgroups.check(&Limits::default()), Ok(()));
        let error = cgroups.check(&memory(LimitsMode::Require)).unwrap_err();
        assert_eq!(error.kind, Kind::Unsupported);
        assert_eq!(
            error.message,
            "--memory and --cpus needs a control group, and there is none to use: because"
        );
        let hint = error.hint.unwrap();
        assert!(hint.starts_with("mend it\n") && hint.contains("best-effort"));
        let (settings, warnings) = cgroups.plan(&memory(LimitsMode::BestEffort)).unwrap();
        assert_eq!(
            (settings, warnings),
            (
                vec![],
                vec![
                    "--memory: only the address space of each process is limited (because)".into(),
                    "--cpus: not in force (because)".into()
                ]
            )
        );
    }

    #[test]
    fn a_missing_controller_is_named() {
        let cgroups = cgroups(Ok(Delegation {
            base: "/nowhere".into(),
            controllers: vec!["memory".into()],
        }));
        let error = cgroups.check(&memory(LimitsMode::Require)).unwrap_err();
        assert!(error.message.starts_with("--cpus needs") && error.message.contains("`cpu`"));
        let (settings, warnings) = cgroups.plan(&memory(LimitsMode::BestEffort)).unwrap();
        let files: Vec<_> = settings.iter().map(|setting| setting.file).collect();
        // The default number of processes is nobody's wish.
        assert_eq!(files, ["memory.max", "memory.swap.max"]);
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_base_for_each_data_directory() {
        let one = base_name(Path::new("/a/b"));
        assert_eq!(one, base_name(Path::new("/a/b")));
        assert_ne!(one, base_name(Path::new("/a/c")));
        assert_eq!(one.len(), "shedbox-".len() + 8);
    }

    #[test]
    fn a_group_goes_when_its_init_has_ended_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let group = directory.path().join("g1-0");
        std::fs::create_dir_all(group.join("init")).unwrap();
        let own = pidfd::open(std::process::id() as i32).unwrap();
        let cgroups = cgroups(nowhere());
        cgroups.retire(group.clone(), Some(own));
        assert_eq!(cgroups.sweep_once(), 1);
        assert!(group.exists());
        lock(&cgroups.retired).clear();
        cgroups.retire(group.clone(), None);
        assert_eq!(cgroups.sweep_once(), 0);
        assert!(!group.exists());
    }
}
