//! A data directory with its own daemon.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::Command as Shedbox;

use super::processes::{self, Process};
use super::{Registry, eventually};

/// A private `SHEDBOX_ROOT` and runtime directory. When it goes away its sandboxes are removed, its daemon and keeper
/// are stopped (found by this home's own directory, so nobody else's are touched), and what is left is a failure of
/// the test.
pub(crate) struct Home {
    dir: PathBuf,
    runtime: PathBuf,
    shared: bool,
    /// Tests that kill or fill things on purpose check for leaks themselves.
    checked: bool,
}

impl Home {
    /// A new, empty home.
    pub(crate) fn new() -> Self {
        Self::in_directory(&super::scratch_base())
    }

    /// A new home on the file system of `parent`: a small tmpfs, say.
    pub(crate) fn in_directory(parent: &Path) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("h.")
            .tempdir_in(parent)
            .expect("create a home")
            .keep();
        // Short, because the path of a socket is limited to 107 bytes and 76 of them are ours.
        let runtime = tempfile::Builder::new()
            .prefix("sb.")
            .tempdir_in(runtime_base())
            .expect("create a runtime directory")
            .keep();
        Self {
            dir,
            runtime,
            shared: false,
            checked: true,
        }
    }

    /// The home that cases share when the run has one (`SHEDBOX_TEST_HOME`), otherwise a new one.
    pub(crate) fn shared() -> Self {
        let Some(dir) = std::env::var_os("SHEDBOX_TEST_HOME").map(PathBuf::from) else {
            return Self::new();
        };
        // Named after the run's scratch directory, so that two runs of one user do not meet.
        let run = dir.parent().and_then(Path::file_name).unwrap_or_default();
        let runtime = runtime_base().join(format!("sb.{}", run.to_string_lossy()));
        for path in [&dir, &runtime] {
            std::fs::create_dir_all(path).expect("create the shared home");
            std::fs::set_permissions(path, Permissions::from_mode(0o700)).expect("chmod");
        }
        Self {
            dir,
            runtime,
            shared: true,
            checked: false,
        }
    }

    /// The same home without the leak check at its end; what it started is stopped all the same.
    #[must_use]
    pub(crate) fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    /// `SHEDBOX_ROOT`: store, sandboxes, trash.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// `SHEDBOX_RUNTIME_DIR`: the sockets.
    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// `SHEDBOX_CONFIG`: the configuration file, which does not exist before [`Home::configure`].
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Writes the configuration file. Before the daemon starts.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.config(), toml).expect("write the configuration");
    }

    /// The variables that lead a program to this home.
    pub(crate) fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("SHEDBOX_ROOT", self.root()),
            ("SHEDBOX_RUNTIME_DIR", self.runtime.clone()),
            ("SHEDBOX_CONFIG", self.config()),
            ("SHEDBOX_KEEPER", super::keeper_program()),
        ]
    }

    /// Where this home's things are.
    pub(crate) fn paths(&self) -> shedbox_client::spec::paths::Paths {
        shedbox_client::spec::paths::Paths {
            root: self.root(),
            runtime: self.runtime.clone(),
            config: self.config(),
        }
    }

    /// A client of this home. Its daemon is started through the program first, because one that this process starts
    /// would take its directories from our environment.
    pub(crate) fn client(&self) -> std::sync::Arc<shedbox_client::Client> {
        self.run(["ps", "--quiet"]);
        shedbox_client::Client::with_paths(self.paths())
    }

    /// `shedbox` with arguments, in this home, to be asserted on. Ends after two minutes.
    pub(crate) fn shedbox<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Shedbox {
        let mut command = Shedbox::from_std(self.command(arguments));
        command.timeout(super::patience(std::time::Duration::from_mins(2)));
        command
    }

    /// The same as a plain command, to be spawned.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(super::program());
        command.args(arguments).envs(self.variables());
        command
    }

    /// Runs `shedbox`, which must succeed, and returns its standard output without the last newline.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let arguments: Vec<_> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        let output = self.shedbox(&arguments).output().expect("run shedbox");
        assert!(
            output.status.success(),
            "shedbox {arguments:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let mut text = String::from_utf8(output.stdout).expect("output is UTF-8");
        if text.ends_with('\n') {
            text.pop();
        }
        text
    }

    /// Removes a sandbox when its test is over: that must work, unless the test has failed already.
    pub(crate) fn remove_at_end(&self, name: &str) {
        let output = self.shedbox(["rm", "-f", name]).output();
        if !std::thread::panicking() {
            let output = output.expect("run shedbox rm");
            assert!(
                output.status.success(),
                "rm -f {name}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    /// Runs `shedbox`, which must end with `status` and say `part` on standard error.
    #[track_caller]
    pub(crate) fn refused<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        status: i32,
        part: &str,
    ) {
        let output = self.shedbox(arguments).output().expect("run shedbox");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(part), "no `{part}` in:\n{stderr}");
    }

    /// The reference of an image of `scripts/test-images`, pulled into this home from the read-only registry.
    pub(crate) fn image(&self, name: &str) -> String {
        let reference = Registry::shared().reference(&format!("{name}:latest"));
        // Tests of one run share homes: the first pulls, the others wait and find it done.
        let lock = File::create(self.dir.join(format!(".pull-{name}"))).expect("create the lock");
        lock.lock().expect("lock");
        let done = self.dir.join(format!(".pulled-{name}"));
        if !done.exists() {
            self.run(["pull", "--quiet", &reference]);
            File::create(done).expect("note the pull");
        }
        reference
    }

    /// Processes of this home.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::of_home(&self.root())
    }

    /// The daemon and the keeper: processes outside of sandboxes.
    pub(crate) fn servants(&self) -> Vec<Process> {
        let mut list = self.processes();
        list.retain(|process| !process.in_sandbox);
        list
    }

    /// Removes every sandbox by `rm -f`.
    pub(crate) fn remove_sandboxes(&self) {
        let ids = self.run(["ps", "--all", "--quiet"]);
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            self.run(["rm", "-f"].into_iter().chain(ids));
        }
    }

    /// Ends the daemon and the keeper by SIGTERM.
    pub(crate) fn stop_servants(&self) {
        for process in self.servants() {
            // It may have gone meanwhile.
            let _ = shedbox_linux::process::signal(process.pid, 15);
        }
        eventually("daemon and keeper leave after SIGTERM", || {
            self.servants().is_empty()
        });
    }

    /// What must not be there when every sandbox was removed: processes inside, records, sockets, trash.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let mut leaks: Vec<String> = self
            .processes()
            .iter()
            .filter(|process| process.in_sandbox)
            .map(|process| format!("process {process:?}"))
            .collect();
        for (what, dir) in [
            ("sandbox", self.root().join("sandboxes")),
            ("snapshot", self.root().join("snapshots")),
            ("trash", self.root().join("trash")),
            ("ingest", self.root().join("store/ingest")),
            ("socket", self.runtime.join("sandboxes")),
            ("name", self.runtime.join("sandboxes/names")),
        ] {
            let Ok(entries) = std::fs::read_dir(&dir) else {
                continue; // not made yet
            };
            leaks.extend(
                entries
                    .flatten()
                    .filter(|entry| entry.file_name() != "names" && !is_blank(&entry.path()))
                    .map(|entry| format!("{what} {}", entry.path().display())),
            );
        }
        leaks
    }

    fn finish(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        if self.checked && self.runtime.join("docker.sock").exists() {
            self.remove_sandboxes();
            // Trash is emptied after the answer, at idle priority.
            let end =
                std::time::Instant::now() + super::patience(std::time::Duration::from_mins(1));
            leaks = self.leaks();
            while !leaks.is_empty() && std::time::Instant::now() < end {
                super::wait::pause();
                leaks = self.leaks();
            }
        }
        for number in [15, 9, 9] {
            for process in self.processes() {
                let _ = shedbox_linux::process::signal(process.pid, number);
            }
            let end =
                std::time::Instant::now() + super::patience(std::time::Duration::from_secs(5));
            while !self.processes().is_empty() && std::time::Instant::now() < end {
                super::wait::pause();
            }
            if self.checked && number == 15 {
                leaks.extend(
                    self.processes()
                        .iter()
                        .map(|process| format!("still there after SIGTERM: {process:?}")),
                );
            }
        }
        leaks
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.shared {
            return;
        }
        if std::thread::panicking() {
            self.checked = false; // one failure at a time
        }
        let leaks = self.finish();
        remove_tree(&self.dir);
        remove_tree(&self.runtime);
        assert!(leaks.is_empty(), "left behind: {leaks:#?}");
    }
}

/// A set of empty directories that the daemon has made ahead of need: `.new-*`, with a record in which nothing is yet,
/// or none.
pub(crate) fn is_blank(path: &Path) -> bool {
    let ahead = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(".new-"));
    ahead && std::fs::metadata(path.join("spec.json")).map_or(true, |record| record.len() == 0)
}

/// Where runtime directories are made.
fn runtime_base() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// Removes a directory in which subordinate ids may own files and directories may be closed to their owner.
pub(crate) fn remove_tree(path: &Path) {
    if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
        return;
    }
    let mapped = Command::new("unshare")
        .args(["--map-root-user", "--map-auto", "rm", "-rf"])
        .arg(path)
        .output();
    if mapped.is_ok_and(|output| output.status.success()) {
        return;
    }
    for (program, arguments) in [("chmod", ["-R", "u+rwx"]), ("rm", ["-rf", "--"])] {
        let output = Command::new(program).args(arguments).arg(path).output();
        assert!(
            output.is_ok_and(|output| output.status.success()),
            "{program} {} failed",
            path.display()
        );
    }
}
