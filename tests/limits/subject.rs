//! A sandbox that is limited and looked at from both sides.

use std::path::PathBuf;
use std::process::Output;

use shedbox_client::spec::api::SandboxInfo;

use crate::support::{Home, unique};

/// One sandbox of the host's own programs in a home of its own.
pub(crate) struct Subject {
    pub(crate) home: Home,
    pub(crate) name: String,
}

impl Subject {
    /// Starts it with options of `shedbox run`.
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::in_home(Home::new(), options)
    }

    pub(crate) fn in_home(home: Home, options: &[&str]) -> Self {
        let name = unique("subject");
        let mut arguments = vec!["run", "--detach", "--name", &name];
        arguments.extend(options);
        arguments.extend(["host", "sleep", "1000000"]);
        home.run(arguments);
        Self { home, name }
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

    pub(crate) fn info(&self) -> SandboxInfo {
        let text = self.run(&["inspect"]);
        let mut all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("inspect");
        serde_json::from_value(all.remove(0)).expect("a sandbox")
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
