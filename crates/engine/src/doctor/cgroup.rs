//! Control groups: whether limits on memory, processor and processes can be set.

use std::path::{Path, PathBuf};

use super::proc_files::{is_mounted, read, unified_path};
use super::{Check, Entry, add_kernel_argument};

const ROOT: &str = "/sys/fs/cgroup";
/// What limits need.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Facts {
    /// Not the unified hierarchy.
    Old,
    /// The group that would be ours, the controllers in it, and whether we may make groups there.
    Unified {
        group: String,
        controllers: String,
        writable: bool,
    },
}

pub(super) fn check(uid: u32) -> Check {
    judge(&look(uid), uid)
}

fn look(uid: u32) -> Facts {
    if !is_mounted(
        &read("/proc/self/mountinfo").unwrap_or_default(),
        ROOT,
        "cgroup2",
    ) {
        return Facts::Old;
    }
    let own = read("/proc/self/cgroup").unwrap_or_default();
    let own = unified_path(&own).unwrap_or("/");
    // A login session is not ours to divide, but the user's own service manager is.
    let manager = format!("/user.slice/user-{uid}.slice/user@{uid}.service");
    let group = if own.starts_with(&manager)
        || !Path::new(&format!("{ROOT}{manager}")).exists()
        || uid == 0
    {
        own.to_owned()
    } else {
        manager
    };
    let dir = PathBuf::from(format!("{ROOT}{group}"));
    Facts::Unified {
        controllers: read(dir.join("cgroup.controllers")).unwrap_or_default(),
        writable: std::fs::File::options()
            .write(true)
            .open(dir.join("cgroup.procs"))
            .is_ok(),
        group,
    }
}

fn judge(facts: &Facts, uid: u32) -> Check {
    let entry = Entry {
        id: "cgroup",
        title: "Control groups",
    };
    let without = "limits on memory, processor and processes cannot be set; rlimits still can";
    match facts {
        Facts::Old => entry.degraded(
            "version 1, or version 2 beside it",
            without,
            add_kernel_argument("cgroup2", "systemd.unified_cgroup_hierarchy=1"),
        ),
        Facts::Unified {
            group,
            controllers,
            writable,
        } => {
            let lacking: Vec<&str> = NEEDED
                .into_iter()
                .filter(|needed| {
                    !controllers
                        .split_ascii_whitespace()
                        .any(|word| word == *needed)
                })
                .collect();
            if !writable {
                entry.degraded(
                    format!("version 2, {group} belongs to somebody else"),
                    without,
                    format!("sudo apt install dbus-user-session && sudo loginctl enable-linger {uid} && sudo systemctl start user@{uid}"),
                )
            } else if lacking.is_empty() {
                entry.ok(
                    format!("version 2, {} in {group}", NEEDED.join(" ")),
                    "limits can be set",
                )
            } else {
                entry.degraded(
                    format!("version 2, {group} lacks {}", lacking.join(" ")),
                    format!("limits that need {} cannot be set", lacking.join(" or ")),
                    "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee \
                     /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload"
                        .to_owned(),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn levels() {
        let unified = |controllers: &str, writable| Facts::Unified {
            group: "/user.slice".into(),
            controllers: controllers.into(),
            writable,
        };
        assert_eq!(judge(&Facts::Old, 1000).level, Level::Degraded);
        assert_eq!(
            judge(&unified("cpuset cpu io memory pids\n", true), 1000).level,
            Level::Ok
        );
        let partly = judge(&unified("memory pids\n", true), 1000);
        assert_eq!(
            (partly.level, partly.means.as_str()),
            (Level::Degraded, "limits that need cpu cannot be set")
        );
        // `cpuset` is not `cpu`.
        assert_eq!(
            judge(&unified("cpuset memory pids", true), 1000).level,
            Level::Degraded
        );
        let foreign = judge(&unified("cpu memory pids", false), 1000);
        assert!(foreign.fix.unwrap().contains("enable-linger 1000"));
    }
}
