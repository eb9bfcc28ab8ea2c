//! What this host can do for sandboxes, what is missing, and the command that mends it.
//!
//! What can be tried is tried, in a child process and in a scratch directory that is removed again; settings are read
//! only to say why a try failed, or how soon a limit will be reached. Each check is a pure function of what was found,
//! so that its words and levels are tested with samples; reading is separate.
//!
//! Every id has an entry in the troubleshooting page.

mod cgroup;
mod host_settings;
mod ids;
mod kernel;
mod limits;
mod modes;
mod namespaces;
mod network;
mod overlay;
mod places;
mod proc_files;
mod security;

use serde::Serialize;
use shedbox_linux::process;
use shedbox_spec::paths::Paths;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Sandboxes run, with less of something.
    Degraded,
    /// Sandboxes cannot run.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Names it in the troubleshooting page.
    pub id: &'static str,
    /// Names it for people.
    pub title: &'static str,
    /// How it came out.
    pub level: Level,
    /// What is there.
    pub found: String,
    /// What follows from it.
    pub means: String,
    /// The command that mends it, for Debian and Ubuntu; absent when nothing needs to be or can be done.
    pub fix: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they are shown.
    pub checks: Vec<Check>,
}

impl Report {
    /// Nothing that sandboxes need is missing.
    pub fn can_run(&self) -> bool {
        self.worst() < Level::Missing
    }

    /// The worst level of all checks.
    pub fn worst(&self) -> Level {
        self.checks
            .iter()
            .map(|check| check.level)
            .max()
            .unwrap_or(Level::Ok)
    }
}

/// Looks at the host.
#[derive(Debug)]
pub struct Doctor;

impl Doctor {
    /// Looks at everything, as the user who calls. Leaves nothing behind.
    pub fn run(paths: &Paths) -> Report {
        let uid = process::own_uid();
        let tried = overlay::Trial::run(&paths.root);
        let mut checks = kernel::checks();
        checks.extend(namespaces::checks(&tried.namespaces));
        checks.extend(overlay::checks(&tried, &paths.root));
        checks.push(ids::check(uid));
        checks.push(cgroup::check(uid));
        checks.extend(network::checks());
        checks.extend(places::checks(paths, &tried, uid));
        checks.extend(limits::checks());
        Report { checks }
    }
}

/// A check by parts; `fix` is left out when all is well.
struct Entry {
    id: &'static str,
    title: &'static str,
}

impl Entry {
    fn ok(self, found: impl Into<String>, means: impl Into<String>) -> Check {
        self.at(Level::Ok, found, means, None)
    }

    fn degraded(
        self,
        found: impl Into<String>,
        means: impl Into<String>,
        fix: impl Into<Option<String>>,
    ) -> Check {
        self.at(Level::Degraded, found, means, fix.into())
    }

    fn missing(
        self,
        found: impl Into<String>,
        means: impl Into<String>,
        fix: impl Into<Option<String>>,
    ) -> Check {
        self.at(Level::Missing, found, means, fix.into())
    }

    fn at(
        self,
        level: Level,
        found: impl Into<String>,
        means: impl Into<String>,
        fix: Option<String>,
    ) -> Check {
        Check {
            id: self.id,
            title: self.title,
            level,
            found: found.into(),
            means: means.into(),
            fix,
        }
    }
}

/// The command that sets a sysctl now and at each start.
fn set_sysctl(settings: &[(&str, u64)]) -> String {
    let lines: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    format!(
        "printf '{}\\n' | sudo tee -a /etc/sysctl.d/90-shedbox.conf && sudo sysctl --system",
        lines.join("\\n")
    )
}

/// The command that adds a word to the kernel's command line.
fn add_kernel_argument(file: &str, argument: &str) -> String {
    format!(
        "echo \"GRUB_CMDLINE_LINUX=\\\"\\$GRUB_CMDLINE_LINUX {argument}\\\"\" | sudo tee /etc/default/grub.d/{file}.cfg && \
         sudo update-grub && sudo reboot"
    )
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
