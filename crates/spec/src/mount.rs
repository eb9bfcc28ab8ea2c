//! What is mounted into a sandbox beside its rootfs, and how people write it.
//!
//! `--volume` and `--mount` may name a source relative to the caller's directory: they parse to a [`VolumeArg`] that
//! becomes a [`Mount`] by [`VolumeArg::resolve`], in the process that knows that directory. A spec holds only absolute
//! paths; [`validate_mounts`] checks that, for specs from wherever they come.

use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Result};

mod parse;

pub use parse::{parse_mount, parse_tmpfs, parse_volume};

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

impl Access {
    /// The word that `--volume` uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rw => "rw",
            Self::Ro => "ro",
            Self::Cow => "cow",
        }
    }
}

impl Mount {
    /// The path inside.
    pub fn target(&self) -> &str {
        match self {
            Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } => target,
        }
    }
}

/// A bind mount as it was typed: the source may be relative to the caller's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeArg {
    /// Host path as typed.
    pub source: String,
    /// Absolute, normalised path inside.
    pub target: String,
    /// How writes are treated.
    pub access: Access,
}

impl VolumeArg {
    /// Makes the source absolute against `cwd`, an absolute path. `.` and `..` go by their names, as in Docker's CLI:
    /// symbolic links on the way are not looked at.
    pub fn resolve(&self, cwd: &str) -> Mount {
        let whole = if self.source.starts_with('/') {
            self.source.clone()
        } else {
            format!("{cwd}/{}", self.source)
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in whole.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Mount::Bind {
            source: format!("/{}", parts.join("/")),
            target: self.target.clone(),
            access: self.access,
        }
    }
}

/// The value of `--mount`: a bind or a tmpfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountArg {
    /// `type=bind`.
    Bind(VolumeArg),
    /// `type=tmpfs`.
    Tmpfs(Mount),
}

impl MountArg {
    /// See [`VolumeArg::resolve`].
    pub fn resolve(&self, cwd: &str) -> Mount {
        match self {
            Self::Bind(volume) => volume.resolve(cwd),
            Self::Tmpfs(mount) => mount.clone(),
        }
    }
}

/// Files below /proc that may be covered by a mount, as tools that fake system information do. Source: runc.
const PROC_FILES: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// Normalises a path inside a sandbox: absolute, no empty or `.` components. Refused are relative paths, `..`, the root
/// itself, and what would replace the sandbox's own `/proc` (but for a few files, as in runc) or the whole of `/dev`.
pub fn normalise_target(target: &str) -> Result<String> {
    let error = |why: &str| {
        Error::invalid(format!(
            "invalid mount path `{}`: {why}",
            target.escape_debug()
        ))
    };
    if !target.starts_with('/') {
        return Err(error("mount path must be absolute")
            .with_hint("write the path inside the sandbox from `/` on"));
    }
    if target.contains('\0') {
        return Err(error("it has a NUL byte"));
    }
    let mut path = String::with_capacity(target.len());
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(error("`..` is not allowed in a mount path")),
            part => {
                path.push('/');
                path.push_str(part);
            }
        }
    }
    if path.is_empty() {
        return Err(error("destination can't be `/`")
            .with_hint("use `--rootfs DIR` to make a directory the root of a sandbox"));
    }
    let below_proc = path == "/proc" || path.starts_with("/proc/");
    if (below_proc && !PROC_FILES.contains(&path.as_str())) || path == "/dev" {
        return Err(error(
            "it would replace what the sandbox itself mounts there",
        ));
    }
    Ok(path)
}

/// Checks the mounts of a spec: paths absolute and in normal form, no target twice, modes within 7777.
pub fn validate_mounts(mounts: &[Mount]) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for mount in mounts {
        let target = mount.target();
        if normalise_target(target)? != target {
            return Err(Error::invalid(format!(
                "invalid mount path `{target}`: it is not in normal form"
            )));
        }
        if !seen.insert(target) {
            return Err(Error::invalid(format!("duplicate mount point: {target}"))
                .with_hint("name each path inside only once"));
        }
        match mount {
            Mount::Bind { source, .. } if !source.starts_with('/') || source.contains('\0') => {
                return Err(Error::invalid(format!(
                    "invalid volume source `{}`: it must be an absolute host path",
                    source.escape_debug()
                )));
            }
            Mount::Tmpfs {
                mode: Some(mode), ..
            } if *mode > 0o7777 => {
                return Err(Error::invalid(format!(
                    "invalid mode {mode:o} of the tmpfs at {target}: it is above 7777"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Kind::Unsupported, message)
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
