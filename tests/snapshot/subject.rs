//! A sandbox in a home of its own, and words for what is done to it.

use shedbox_client::spec::api::SandboxInfo;
use shedbox_client::spec::api::snapshot::SnapshotInfo;

use crate::support::{Home, unique};

/// A sandbox from the image `tiny` that does nothing by itself.
pub(crate) struct Subject {
    pub(crate) home: Home,
    pub(crate) name: String,
}

impl Subject {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With options of `shedbox run`.
    pub(crate) fn with(options: &[&str]) -> Self {
        let home = Home::new();
        let tiny = home.image("tiny");
        let name = unique("snap");
        let arguments: Vec<&str> = ["run", "--detach", "--name", &name]
            .into_iter()
            .chain(options.iter().copied())
            .chain([tiny.as_str(), "sleep", "1000000"])
            .collect();
        home.run(&arguments);
        Self { home, name }
    }

    /// Runs a script inside, which must succeed, and gives its output.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.sh_in(&self.name, script)
    }

    /// The same in another sandbox of this home.
    pub(crate) fn sh_in(&self, sandbox: &str, script: &str) -> String {
        self.home.run(["exec", sandbox, "sh", "-ec", script])
    }

    /// Takes a snapshot.
    pub(crate) fn snapshot(&self, tag: &str) {
        assert_eq!(self.home.run(["snapshot", "create", &self.name, tag]), tag);
    }

    /// Takes one of the stopped sandbox, which runs again afterwards.
    pub(crate) fn snapshot_at_rest(&self, tag: &str) {
        self.home.run(["stop", "--time=0", &self.name]);
        self.snapshot(tag);
        self.home.run(["start", &self.name]);
    }

    pub(crate) fn restore(&self, tag: &str) {
        self.home.run(["restore", &self.name, tag]);
    }

    pub(crate) fn info(&self) -> SandboxInfo {
        let client = self.home.client();
        client.sandbox(&self.name).unwrap().info().unwrap()
    }

    /// Everything there is to know about all snapshots.
    pub(crate) fn snapshots(&self) -> Vec<SnapshotInfo> {
        self.home.client().snapshots().unwrap()
    }

    /// How many directories of files there are, half-made ones included.
    pub(crate) fn directories(&self) -> usize {
        std::fs::read_dir(self.home.root().join("snapshots"))
            .unwrap()
            .count()
    }
}
