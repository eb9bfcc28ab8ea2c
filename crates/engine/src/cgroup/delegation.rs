//! Where groups may be made: looked for once, when the engine opens.
//!
//! A process may be put into a group by whoever may write `cgroup.procs` there and in the lowest group above both
//! places. So it is the keeper's place that counts: from there upwards, the highest group that is ours holds the base.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::Errno;

use super::read::{is_unified, own_group};
use super::scope;

/// Where the unified hierarchy is mounted.
pub(super) const MOUNT: &str = "/sys/fs/cgroup";
/// What is enabled for the groups of generations, where it is delegated.
pub(super) const CONTROLLERS: [&str; 5] = ["cpu", "io", "memory", "pids", "cpuset"];
/// Group for our own processes where they are in the way: no controller is given to the children of a group that has
/// processes.
pub(super) const SERVANTS: &str = "shedbox-servants";

/// A place for groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Directory in which every generation gets its group.
    pub base: PathBuf,
    /// Controllers that limits can be set with.
    pub controllers: Vec<String>,
}

/// Why there is none, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// Completes the sentence "there are no cgroups to use: …".
    pub reason: String,
    /// The command that mends it, for Debian and Ubuntu.
    pub fix: Option<String>,
}

impl Absence {
    fn new(reason: impl Into<String>, fix: impl Into<Option<String>>) -> Self {
        Self {
            reason: reason.into(),
            fix: fix.into(),
        }
    }
}

/// The command that has systemd delegate every controller to the managers of users.
pub(crate) const DELEGATE_ALL: &str = "sudo mkdir -p /etc/systemd/system/user@.service.d && \
     printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | \
     sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload";

/// The command that starts the manager of a user.
pub(crate) fn start_manager(uid: u32) -> String {
    format!(
        "sudo apt install dbus-user-session && sudo loginctl enable-linger {uid} && sudo systemctl start user@{uid}"
    )
}

/// The command that boots with version 2 alone.
pub(crate) const BOOT_UNIFIED: &str = "echo \"GRUB_CMDLINE_LINUX=\\\"\\$GRUB_CMDLINE_LINUX systemd.unified_cgroup_hierarchy=1\\\"\" | \
     sudo tee /etc/default/grub.d/cgroup2.cfg && sudo update-grub && sudo reboot";

impl Delegation {
    /// Looks for a place for processes that the keeper (`keeper`, its pid) will clone, and makes the base there.
    /// `name` keeps the data directories of one user apart; `uid` is the user's own, for messages.
    pub fn find(keeper: i32, name: &str, uid: u32) -> Result<Self, Absence> {
        let group = Self::group_of(keeper)?;
        let mut candidates = writable(Path::new(MOUNT), &group, uid)?;
        // A scope that systemd has made for us is the place it wants us to use; others it would rather divide itself.
        if scope::is_ours(&group) {
            candidates.reverse();
        }
        let mut last = None;
        for candidate in &candidates {
            match Self::make(candidate, name, keeper) {
                Ok(found) => return Ok(found),
                Err(absence) => last = Some(absence),
            }
        }
        Err(last.unwrap_or_else(|| nowhere(&group, uid)))
    }

    /// The highest group that would be ours, and the controllers there; nothing is made.
    pub fn look(process: i32, uid: u32) -> Result<Self, Absence> {
        let group = Self::group_of(process)?;
        let base = writable(Path::new(MOUNT), &group, uid)?
            .into_iter()
            .next()
            .ok_or_else(|| nowhere(&group, uid))?;
        let controllers = words(&base.join("cgroup.controllers"));
        Ok(Self { base, controllers })
    }

    fn group_of(process: i32) -> Result<String, Absence> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        if !is_unified(&read("/proc/self/mountinfo"), MOUNT) {
            return Err(Absence::new(
                "this host has control groups of version 1, or version 2 beside it",
                BOOT_UNIFIED.to_owned(),
            ));
        }
        let text = read(&format!("/proc/{process}/cgroup"));
        match own_group(&text) {
            Some(group) if !group.starts_with("/..") => Ok(group.to_owned()),
            _ => Err(Absence::new(
                "the keeper's control group lies outside of what is visible here",
                None,
            )),
        }
    }

    /// Makes the base in a group that is ours.
    fn make(parent: &Path, name: &str, keeper: i32) -> Result<Self, Absence> {
        let wanted: Vec<String> = words(&parent.join("cgroup.controllers"))
            .into_iter()
            .filter(|controller| CONTROLLERS.contains(&controller.as_str()))
            .collect();
        let base = parent.join(name);
        let refused = |what: &str, error: &io::Error| {
            Absence::new(format!("{what} {}: {error}", parent.display()), None)
        };
        match fs::create_dir(&base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused("no group can be made in", &error));
            }
            _ => {}
        }
        let enabled = enable(parent, &wanted).or_else(|error| {
            if is(&error, Errno::EBUSY) && step_aside(parent, keeper) {
                enable(parent, &wanted)
            } else {
                Err(error)
            }
        });
        match enabled.and_then(|()| enable(&base, &words(&base.join("cgroup.controllers")))) {
            Ok(()) => {}
            Err(error) if is(&error, Errno::EBUSY) => {
                let _ = fs::remove_dir(&base); // empty: just made, or left by a daemon that met the same
                let parent = parent.display();
                return Err(Absence::new(
                    format!(
                        "processes of others are in {parent}, so its children get no controllers"
                    ),
                    format!(
                        "mkdir -p {parent}/rest && for p in $(cat {parent}/cgroup.procs); do echo $p > {parent}/rest/cgroup.procs; done"
                    ),
                ));
            }
            Err(error) => return Err(refused("no controllers can be enabled in", &error)),
        }
        Ok(Self {
            controllers: words(&base.join("cgroup.subtree_control")),
            base,
        })
    }
}

/// The groups from the highest one that is ours down to `group` itself.
fn writable(mount: &Path, group: &str, uid: u32) -> Result<Vec<PathBuf>, Absence> {
    let mut found = Vec::new();
    for directory in ancestors(mount, group) {
        let open = |file: &str| fs::File::options().write(true).open(directory.join(file));
        match open("cgroup.procs").and_then(|_| open("cgroup.subtree_control")) {
            Ok(_) => found.push(directory),
            Err(error) if is(&error, Errno::EROFS) => {
                return Err(Absence::new(
                    format!("{} is mounted read-only", mount.display()),
                    Some("run shedbox outside of the container, or give the container a writable cgroup".to_owned()),
                ));
            }
            // Somebody else's.
            Err(_) => found.clear(),
        }
    }
    if found.is_empty() {
        return Err(nowhere(group, uid));
    }
    Ok(found)
}

/// The directories of a group and of all above it, the highest first.
fn ancestors(mount: &Path, group: &str) -> Vec<PathBuf> {
    let mut directory = mount.to_owned();
    let mut all = vec![directory.clone()];
    for part in group.split('/').filter(|part| !part.is_empty()) {
        directory.push(part);
        all.push(directory.clone());
    }
    all
}

fn nowhere(group: &str, uid: u32) -> Absence {
    Absence::new(
        format!("the control group {group} and all above it belong to somebody else"),
        start_manager(uid),
    )
}

/// Gives the children of a group these controllers, as far as they have them not.
fn enable(directory: &Path, controllers: &[String]) -> io::Result<()> {
    let control = directory.join("cgroup.subtree_control");
    let there = words(&control);
    for controller in controllers {
        if there.contains(controller) || !CONTROLLERS.contains(&controller.as_str()) {
            continue;
        }
        match fs::write(&control, format!("+{controller}")) {
            // One that the group above keeps for itself, such as cpu with real-time processes, or that goes at this
            // moment: the others are of use without it.
            Err(error) if !is(&error, Errno::EBUSY) => {
                tracing::debug!(%error, controller, directory = %directory.display(), "controller not enabled");
            }
            other => other?,
        }
    }
    Ok(())
}

/// Moves the daemon and the keeper into a group below, when nobody else is in theirs.
fn step_aside(directory: &Path, keeper: i32) -> bool {
    let ours = [std::process::id() as i32, keeper];
    let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) else {
        return false;
    };
    let inside: Vec<&str> = text.lines().collect();
    let only_ours = inside
        .iter()
        .all(|pid| pid.parse().is_ok_and(|pid| ours.contains(&pid)));
    if !only_ours {
        return false;
    }
    let aside = directory.join(SERVANTS);
    let _ = fs::create_dir(&aside); // there already, or the writes below fail
    inside
        .iter()
        .all(|pid| fs::write(aside.join("cgroup.procs"), pid).is_ok())
}

fn words(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for file in ["cgroup.procs", "cgroup.subtree_control"] {
            fs::write(directory.join(file), "").unwrap();
        }
    }

    #[test]
    fn groups_from_the_top() {
        let mount = Path::new("/m");
        assert_eq!(ancestors(mount, "/"), [mount]);
        assert_eq!(
            ancestors(mount, "/a/b"),
            [mount, Path::new("/m/a"), Path::new("/m/a/b")]
        );
    }

    #[test]
    fn only_what_is_ours_without_a_gap() {
        let mount = tempfile::tempdir().unwrap();
        let path = |name: &str| mount.path().join(name);
        for name in ["a", "a/b", "a/b/c", "a/b/c/d"] {
            group(&path(name));
        }
        // What cannot be opened is somebody else's: here a file that is not there, because root may open all.
        fs::remove_file(path("a/b/cgroup.procs")).unwrap();
        assert_eq!(
            writable(mount.path(), "/a/b/c/d", 7).unwrap(),
            [path("a/b/c"), path("a/b/c/d")]
        );
        let absence = writable(mount.path(), "/a/b", 7).unwrap_err();
        assert!(absence.reason.contains("/a/b"), "{absence:?}");
        assert!(absence.fix.unwrap().contains("enable-linger 7"));
    }

    #[test]
    fn only_our_own_processes_step_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        group(path);
        group(&path.join(SERVANTS));
        let own = std::process::id();
        fs::write(path.join("cgroup.procs"), format!("{own}\n1\n")).unwrap();
        assert!(!step_aside(path, 77));
        fs::write(path.join("cgroup.procs"), format!("{own}\n77\n")).unwrap();
        assert!(step_aside(path, 77));
        assert_eq!(
            fs::read_to_string(path.join(SERVANTS).join("cgroup.procs")).unwrap(),
            "77"
        );
    }
}
