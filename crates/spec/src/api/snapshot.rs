//! Snapshots, and what starts from them.

use serde::{Deserialize, Serialize};

use crate::SnapshotId;

/// Keep the files of a sandbox as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotCreate {
    /// Its tag; the next number when absent.
    pub tag: Option<String>,
    /// End the sandbox's processes first and start it again afterwards: a rename instead of a copy.
    pub stop: bool,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// Identity.
    pub id: SnapshotId,
    /// Name of its sandbox; absent when nothing but sandboxes that stand on it knows it any more.
    pub sandbox: Option<String>,
    /// Tag; absent together with the sandbox.
    pub tag: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// The snapshot that its files lie on; none when they lie on what the sandbox was made from.
    pub parent: Option<SnapshotId>,
    /// How many snapshots its files consist of, itself included.
    pub depth: usize,
    /// Bytes that it takes on the disk, without its parents. Not in the answer to who takes one: counting can take longer
    /// than that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Nothing was written while it was made. Without a control group a sandbox that runs cannot be held: what changed
    /// meanwhile may be kept half.
    pub consistent: bool,
    /// What could not be kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Names of the sandboxes whose files lie on it.
    pub used_by: Vec<String>,
}

/// Make sandboxes that start from the files of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForkRequest {
    /// The snapshot; one that is made now, without a name, when absent.
    pub tag: Option<String>,
    /// Names; those that are missing are generated.
    pub names: Vec<String>,
    /// How many; as many as there are names, at least one, when absent.
    pub count: Option<usize>,
    /// Start them.
    pub start: bool,
    /// When the connecting process ends, they are removed.
    pub owned: bool,
}

impl Default for ForkRequest {
    fn default() -> Self {
        Self {
            tag: None,
            names: Vec::new(),
            count: None,
            start: true,
            owned: false,
        }
    }
}
