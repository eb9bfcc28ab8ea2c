//! The group of one generation.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shedbox_linux::errno::Errno;
use shedbox_spec::control::INIT_LEAF;
use shedbox_spec::{Error, Kind};

use super::plan::Setting;
use super::read;
use crate::error::{Doing, Result, on_path};
use crate::keeper::Keeper;

/// Controllers of the groups of single commands: what they are measured by. The others are the sandbox's as a whole,
/// and each one costs a little in every fork and every switch.
const LEAF_CONTROLLERS: [&str; 3] = ["memory", "pids", "io"];
/// A process that was asked to stop where it is takes this long at most, unless a disk or the network holds it.
const FREEZES_WITHIN: Duration = Duration::from_secs(10);

/// See the module. Dropping it closes descriptors and leaves the directory alone.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) path: PathBuf,
    /// Of the directory; absent when an earlier daemon made the group.
    pub(super) directory: Option<OwnedFd>,
    /// The cgroup namespace whose root it is; absent likewise.
    pub(super) namespace: Option<OwnedFd>,
}

impl Group {
    /// An empty group with a leaf for init.
    pub(super) fn make(path: PathBuf, keeper: &Keeper, controllers: &[String]) -> Result<Self> {
        fs::create_dir(&path).doing(|| on_path("make group", &path))?;
        let made = Self::furnish(path.clone(), keeper, controllers);
        if made.is_err() {
            let _ = remove(&path); // nothing is in it; recovery tries again
        }
        made
    }

    fn furnish(path: PathBuf, keeper: &Keeper, controllers: &[String]) -> Result<Self> {
        use std::os::fd::AsFd;
        let directory: OwnedFd = fs::File::open(&path)
            .doing(|| on_path("open", &path))?
            .into();
        // Before any controller: the child that makes the namespace is in the group for a moment.
        let namespace = keeper.cgroup_namespace(directory.as_fd())?;
        let leaf = path.join(INIT_LEAF);
        fs::create_dir(&leaf).doing(|| on_path("make group", &leaf))?;
        let enable: Vec<String> = LEAF_CONTROLLERS
            .iter()
            .filter(|name| controllers.iter().any(|there| there == *name))
            .map(|name| format!("+{name}"))
            .collect();
        if !enable.is_empty() {
            write(&path, "cgroup.subtree_control", &enable.join(" "))?;
        }
        Ok(Self {
            path,
            directory: Some(directory),
            namespace: Some(namespace),
        })
    }

    /// The group of a generation that an earlier daemon started.
    pub(super) fn adopt(path: PathBuf) -> Self {
        Self {
            path,
            directory: None,
            namespace: None,
        }
    }

    /// Writes limits. One that nobody asked for and that cannot be had is left out.
    pub(super) fn set(&self, settings: &[Setting]) -> Result<()> {
        for setting in settings {
            match fs::File::options()
                .write(true)
                .open(self.path.join(setting.file))
                .and_then(|mut file| io::Write::write_all(&mut file, setting.value.as_bytes()))
            {
                Ok(()) => {}
                Err(error) => match setting.option {
                    Some(option) => return Err(refused(option, setting, &error).into()),
                    None => {
                        tracing::debug!(%error, file = setting.file, "not set");
                    }
                },
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path.join(file)).ok()
    }

    /// Groups below in which commands are: all but init's own.
    fn commands(&self) -> Result<Vec<PathBuf>> {
        let mut all = children(&self.path).doing(|| on_path("read directory", &self.path))?;
        all.retain(|path| path.file_name().is_none_or(|name| name != INIT_LEAF));
        Ok(all)
    }

    /// Stops all commands where they are, and waits until the last one has; or lets them go on.
    pub(super) fn freeze(&self, frozen: bool) -> Result<()> {
        let commands = self.commands()?;
        for leaf in &commands {
            match write(leaf, "cgroup.freeze", if frozen { "1" } else { "0" }) {
                // Its last process has ended since.
                Err(error) if error.is_missing() => {}
                other => other?,
            }
        }
        let end = Instant::now() + FREEZES_WITHIN;
        for leaf in &commands {
            while !is_settled(leaf, frozen) {
                if Instant::now() > end {
                    return Err(Error::new(
                        Kind::Unavailable,
                        "a process waits for a disk or the network and does not stop",
                    )
                    .with_hint("it stops as soon as it can; `shedbox unpause` takes the wish back")
                    .into());
                }
                pause();
            }
        }
        Ok(())
    }

    /// Ends every process in it.
    pub(super) fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }
}

impl crate::error::EngineError {
    /// A file or directory was not there any more.
    fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } => [Errno::ENOENT, Errno::ENODEV]
                .iter()
                .any(|errno| source.raw_os_error() == Some(*errno as i32)),
            _ => false,
        }
    }
}

/// Whether a group has reached the state that was asked for; one that has gone has.
fn is_settled(leaf: &Path, frozen: bool) -> bool {
    let Ok(events) = fs::read_to_string(leaf.join("cgroup.events")) else {
        return true;
    };
    // One without processes freezes at once and says so.
    read::keyed(&events, "frozen").is_none_or(|now| (now == 1) == frozen)
}

/// Whether a process is in the group or below it; false when it is not there.
pub(super) fn is_populated(path: &Path) -> bool {
    fs::read_to_string(path.join("cgroup.events"))
        .is_ok_and(|events| read::keyed(&events, "populated") == Some(1))
}

/// Removes a group and all below it, from the bottom up. One that is not there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match children(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => {
            for child in found? {
                remove(&child)?;
            }
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The groups in a group.
pub(super) fn children(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

pub(super) fn write(directory: &Path, file: &str, value: &str) -> Result<()> {
    let path = directory.join(file);
    fs::write(&path, value).doing(|| format!("write `{value}` to {}", path.display()))
}

/// Why a limit that was asked for could not be set.
fn refused(option: &str, setting: &Setting, error: &io::Error) -> Error {
    let (file, value) = (setting.file, &setting.value);
    let (kind, hint) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => (
            Kind::Unsupported,
            format!("this kernel has no {file} (built without it, or booted with it switched off)"),
        ),
        Some(Errno::ENODEV) => (
            Kind::Invalid,
            "the kernel knows no such disk; name a whole disk, not a partition or a network file system"
                .to_owned(),
        ),
        Some(Errno::EBUSY) => (
            Kind::Conflict,
            "the sandbox uses more than that and gives nothing back".to_owned(),
        ),
        Some(Errno::EINVAL | Errno::ERANGE) => (
            Kind::Invalid,
            format!("the kernel does not take this value for {file}"),
        ),
        _ => (Kind::Denied, "see `shedbox doctor`".to_owned()),
    };
    Error::new(
        kind,
        format!("{option}: cannot write `{value}` to {file}: {error}"),
    )
    .with_hint(hint)
}

/// A moment, for states of the kernel's that cannot be waited for.
fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "cgroup.events tells a poll of changes, but not of one that came before it"
    )]
    std::thread::sleep(Duration::from_millis(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_goes_bottom_up_and_is_quiet_about_what_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let group = directory.path().join("g");
        fs::create_dir_all(group.join("x/y")).unwrap();
        fs::create_dir(group.join("init")).unwrap();
        remove(&group).unwrap();
        assert!(!group.exists());
        remove(&group).unwrap();
    }

    #[test]
    fn populated_and_frozen_are_read_from_events() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(directory.path().join("cgroup.events"), text).unwrap();
        assert!(!is_populated(directory.path()) && is_settled(directory.path(), true));
        write("populated 1\nfrozen 0\n");
        assert!(is_populated(directory.path()));
        assert!(is_settled(directory.path(), false) && !is_settled(directory.path(), true));
    }

    #[test]
    fn a_limit_that_was_asked_for_is_an_error_and_a_default_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let group = Group::adopt(directory.path().to_owned());
        let mut setting = Setting {
            controller: "memory",
            file: "memory.max",
            value: "1".into(),
            option: None,
        };
        group.set(std::slice::from_ref(&setting)).unwrap();
        setting.option = Some("--memory");
        let error = Error::from(group.set(&[setting]).unwrap_err());
        assert_eq!(error.kind, Kind::Unsupported);
        assert!(
            error
                .message
                .starts_with("--memory: cannot write `1` to memory.max")
        );
    }
}
