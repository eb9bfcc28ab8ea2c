//! What is mounted into a sandbox beside its rootfs.

use serde::{Deserialize, Serialize};

/// A mount that the spec names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Mount {
    /// A host path made visible inside.
    Bind {
        /// Absolute host path.
        source: String,
        /// Absolute path inside.
        target: String,
        /// How writes are treated.
        access: Access,
    },
    /// An empty memory file system, new in each generation.
    Tmpfs {
        /// Absolute path inside.
        target: String,
        /// Size limit in bytes; the kernel's default (half of memory) when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// Mode of its root directory; 1777 when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// Read-only.
        #[serde(default)]
        read_only: bool,
        /// Executables may be run from it. Docker's default is `noexec`.
        #[serde(default)]
        exec: bool,
    },
}

/// How writes to a bind mount are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Writes go to the host.
    #[default]
    Rw,
    /// Writes are refused.
    Ro,
    /// Writes go to the sandbox's own upper directory and are shed by a reset: a copy-on-write view.
    Cow,
}

impl Mount {
    /// The path inside.
    pub fn target(&self) -> &str {
        match self {
            Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } => target,
        }
    }
}
