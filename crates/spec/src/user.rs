//! Users: what `--user` says, and the passwd and group files that give it meaning.

use serde::{Deserialize, Serialize};

/// The value of `--user` or of the image's `User`: `name|uid[:group|gid]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// User name or number.
    pub user: NameOrId,
    /// Group name or number; the user's own groups when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<NameOrId>,
}

/// A name to look up, or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameOrId {
    /// To be looked up in the rootfs's passwd or group file.
    Name(String),
    /// Taken as it is.
    Id(u32),
}

/// What a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id inside the sandbox.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, the primary one included.
    pub groups: Vec<u32>,
    /// Home directory; `/` when passwd has no such user.
    pub home: String,
}
