//! Snapshots of a sandbox, and what starts from them.

use std::sync::Arc;

use shedbox_spec::api::snapshot::{ForkRequest, SnapshotCreate, SnapshotInfo};
use shedbox_spec::api::{ResetReport, SandboxInfo};

use crate::client::json;
use crate::http::{Payload, Target};
use crate::{Client, Result, Sandbox};

impl Sandbox {
    /// Keeps its files as they are, under a tag; `None` takes the next number. What runs goes on, after it has stood still
    /// while its files are copied.
    pub fn snapshot(&self, tag: Option<&str>) -> Result<SnapshotInfo> {
        self.snapshot_with(&SnapshotCreate {
            tag: tag.map(str::to_owned),
            stop: false,
        })
    }

    /// The same with all there is to choose.
    pub fn snapshot_with(&self, request: &SnapshotCreate) -> Result<SnapshotInfo> {
        self.client()
            .pool
            .json("POST", &self.target("snapshots"), json(request)?)
    }

    /// Its snapshots, oldest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        self.client()
            .pool
            .json("GET", &self.target("snapshots"), Payload::Empty)
    }

    /// One of them.
    pub fn snapshot_info(&self, tag: &str) -> Result<SnapshotInfo> {
        self.client()
            .pool
            .json("GET", &self.one_snapshot(tag), Payload::Empty)
    }

    /// Takes the name of a snapshot away. Its files go with the last sandbox that stands on them.
    pub fn remove_snapshot(&self, tag: &str) -> Result<()> {
        self.client()
            .pool
            .done("DELETE", &self.one_snapshot(tag), Payload::Empty)
    }

    /// Sheds what it has written since, and every process: its files are those of the snapshot.
    pub fn restore(&self, tag: &str) -> Result<ResetReport> {
        self.client().pool.json(
            "POST",
            &self.target("restore").query("tag", tag),
            Payload::Empty,
        )
    }

    /// `count` new sandboxes with the same spec that start from its files: those of a snapshot, or as they are now. Each is
    /// owned by its handle, as one that was created.
    pub fn fork(&self, tag: Option<&str>, count: usize) -> Result<Vec<Self>> {
        self.fork_with(&ForkRequest {
            tag: tag.map(str::to_owned),
            count: Some(count),
            owned: true,
            ..ForkRequest::default()
        })
    }

    /// The same with all there is to choose.
    pub fn fork_with(&self, request: &ForkRequest) -> Result<Vec<Self>> {
        let infos: Vec<SandboxInfo> =
            self.client()
                .pool
                .json("POST", &self.target("fork"), json(request)?)?;
        Ok(infos
            .into_iter()
            .map(|info| Self::from_info(Arc::clone(self.client()), info, request.owned))
            .collect())
    }

    fn one_snapshot(&self, tag: &str) -> Target {
        Target::new(["sandboxes", self.id().as_str(), "snapshots", tag])
    }
}

impl Client {
    /// The snapshots of all sandboxes, oldest first; those without a name, too.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        self.pool
            .json("GET", &Target::new(["snapshots"]), Payload::Empty)
    }
}
