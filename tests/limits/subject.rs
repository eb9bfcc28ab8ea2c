//! A sandbox that is limited and looked at from both sides.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use shedbox_client::Client;
use shedbox_client::spec::api::{SandboxInfo, SandboxStats};

use crate::support::{Home, unique};

/// One sandbox of the host's own programs, removed at the end.
pub(crate) struct Subject {
    pub(crate) home: Home,
    pub(crate) name: String,
    client: Arc<Client>,
}

impl Subject {
    /// Starts it with options of `shedbox run`, in the home of the run.
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::in_home(Home::shared(), options)
    }

    pub(crate) fn in_home(home: Home, options: &[&str]) -> Self {
        let name = unique("subject");
        let mut arguments = vec!["run", "--detach", "--name", &name];
        arguments.extend(options);
        arguments.extend(["host", "sleep", "1000000"]);
        home.run(arguments);
        // Asked in this process: a program takes its time in an emulated guest.
        let client = Client::with_paths(home.paths());
        Self { home, name, client }
    }

    /// A command on it, its name last; what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.home
            .run(arguments.iter().copied().chain([self.name.as_str()]))
    }

    /// A shell script inside, however it ends.
    pub(crate) fn try_sh(&self, script: &str) -> Output {
        self.home
            .shedbox(["exec", &self.name, "sh", "-c", script])
            .output()
            .expect("run shedbox")
    }

    /// A shell script inside, which succeeds; what it prints.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        assert!(
            output.status.success(),
            "{script}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn python(&self, program: &str) -> Output {
        self.home
            .shedbox(["exec", &self.name, "python3", "-c", program])
            .output()
            .expect("run shedbox")
    }

    fn handle(&self) -> shedbox_client::Sandbox {
        self.client.sandbox(&self.name).expect("the sandbox")
    }

    pub(crate) fn info(&self) -> SandboxInfo {
        self.handle().info().expect("info")
    }

    pub(crate) fn stats(&self) -> SandboxStats {
        self.handle().stats().expect("stats")
    }

    /// Directory of its cgroup on the host.
    pub(crate) fn group(&self) -> PathBuf {
        self.info().cgroup.expect("it has a cgroup").into()
    }

    /// A file of its cgroup, as the host sees it.
    pub(crate) fn outside(&self, file: &str) -> String {
        let path = self.group().join(file);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }

    /// The same as the sandbox sees it.
    pub(crate) fn inside(&self, file: &str) -> String {
        self.sh(&format!("cat /sys/fs/cgroup/{file}"))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.home.shedbox(["rm", "-f", &self.name]).output();
    }
}
