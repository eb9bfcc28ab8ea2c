//! Where things are: one function of the environment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The data directory holds what lasts; the runtime directory holds sockets.
///
/// ```text
/// root:    $SHEDBOX_ROOT, else $XDG_DATA_HOME/shedbox (root: /var/lib/shedbox)
/// runtime: $SHEDBOX_RUNTIME_DIR, else $XDG_RUNTIME_DIR/shedbox (root: /run/shedbox; none set: /tmp/shedbox-<uid>)
///          with SHEDBOX_ROOT set: the same with `-<hash of the root>` at the end, so that roots do not meet
/// config:  $SHEDBOX_CONFIG, else $XDG_CONFIG_HOME/shedbox/config.toml (root: /etc/shedbox/config.toml)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// The data directory.
    pub root: PathBuf,
    /// The runtime directory, mode 0700.
    pub runtime: PathBuf,
    /// The configuration file; need not exist.
    pub config: PathBuf,
}

impl Paths {
    /// Resolves the directories for `uid` from environment variables.
    pub fn resolve(uid: u32, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let home = || set("HOME").unwrap_or_else(|| "/".to_owned());
        let explicit_root = set("SHEDBOX_ROOT");
        let root = match &explicit_root {
            Some(root) => PathBuf::from(root),
            None if uid == 0 => PathBuf::from("/var/lib/shedbox"),
            None => set("XDG_DATA_HOME")
                .map_or_else(|| Path::new(&home()).join(".local/share"), PathBuf::from)
                .join("shedbox"),
        };
        let runtime = set("SHEDBOX_RUNTIME_DIR").map_or_else(
            || {
                let base = match set("XDG_RUNTIME_DIR") {
                    Some(dir) => format!("{dir}/shedbox"),
                    None if uid == 0 => "/run/shedbox".to_owned(),
                    None => format!("/tmp/shedbox-{uid}"),
                };
                match &explicit_root {
                    Some(root) => PathBuf::from(format!("{base}-{:08x}", fnv1a(root.as_bytes()))),
                    None => PathBuf::from(base),
                }
            },
            PathBuf::from,
        );
        let config = set("SHEDBOX_CONFIG").map_or_else(
            || match set("XDG_CONFIG_HOME") {
                Some(dir) => PathBuf::from(dir).join("shedbox/config.toml"),
                None if uid == 0 => PathBuf::from("/etc/shedbox/config.toml"),
                None => Path::new(&home()).join(".config/shedbox/config.toml"),
            },
            PathBuf::from,
        );
        Self {
            root,
            runtime,
            config,
        }
    }

    /// The API socket.
    pub fn api_socket(&self) -> PathBuf {
        self.runtime.join("docker.sock")
    }

    /// The keeper's socket.
    pub fn keeper_socket(&self) -> PathBuf {
        self.runtime.join("keeper.sock")
    }

    /// The gateway's socket.
    pub fn gateway_socket(&self) -> PathBuf {
        self.runtime.join("gateway.sock")
    }

    /// Networks and the audit log of egress policies.
    pub fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    /// The audit log.
    pub fn audit(&self) -> PathBuf {
        self.network().join("egress.jsonl")
    }

    /// Where sandbox sockets are: `<id>.sock`, and `names/<name>`, a symbolic link to the id.
    pub fn sandbox_sockets(&self) -> PathBuf {
        self.runtime.join("sandboxes")
    }

    /// Where names are: each a symbolic link whose target is `../<id>.sock`.
    pub fn names(&self) -> PathBuf {
        self.runtime.join("sandboxes/names")
    }

    /// What has to be there before an engine starts, below the two directories; outer ones first.
    pub fn directories(&self) -> [PathBuf; 7] {
        [
            self.store(),
            self.sandboxes(),
            self.snapshots(),
            self.trash(),
            self.sandbox_sockets(),
            self.names(),
            self.mountpoint(),
        ]
    }

    /// An empty directory on which inits mount their root before they pivot into it.
    pub fn mountpoint(&self) -> PathBuf {
        self.runtime.join("mnt")
    }

    /// Images and layers.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Records and writable directories of sandboxes.
    pub fn sandboxes(&self) -> PathBuf {
        self.root.join("sandboxes")
    }

    /// Files of snapshots, which sandboxes share.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// What waits for deletion.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(uid: u32, vars: &[(&str, &str)]) -> Paths {
        Paths::resolve(uid, |name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults() {
        let user = resolve(
            1000,
            &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1000")],
        );
        assert_eq!(user.root, Path::new("/home/u/.local/share/shedbox"));
        assert_eq!(user.runtime, Path::new("/run/user/1000/shedbox"));
        assert_eq!(
            user.config,
            Path::new("/home/u/.config/shedbox/config.toml")
        );
        let root = resolve(0, &[]);
        assert_eq!(root.root, Path::new("/var/lib/shedbox"));
        assert_eq!(root.runtime, Path::new("/run/shedbox"));
        assert_eq!(resolve(7, &[]).runtime, Path::new("/tmp/shedbox-7"));
    }

    #[test]
    fn an_explicit_root_has_its_own_runtime_directory() {
        let one = resolve(1000, &[("SHEDBOX_ROOT", "/a"), ("XDG_RUNTIME_DIR", "/r")]);
        let two = resolve(1000, &[("SHEDBOX_ROOT", "/b"), ("XDG_RUNTIME_DIR", "/r")]);
        assert_ne!(one.runtime, two.runtime);
        assert_eq!(one.root, Path::new("/a"));
    }
}
