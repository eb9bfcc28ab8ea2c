//! A small directory to run from, with traps in it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::scratch;

/// A directory as rootfs: busybox, and whatever a test adds.
pub(crate) struct Rootfs {
    dir: tempfile::TempDir,
}

impl Rootfs {
    pub(crate) fn new() -> Self {
        let dir = scratch();
        for name in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", dir.path().join("bin/busybox")).unwrap();
        for name in [
            "sh", "cat", "ls", "stat", "readlink", "test", "echo", "sleep", "mkdir", "mv", "ln",
            "rm", "true",
        ] {
            symlink("busybox", dir.path().join("bin").join(name)).unwrap();
        }
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// The same with a symbolic link in it.
    pub(crate) fn link(self, name: &str, target: &Path) -> Self {
        symlink(target, self.dir.path().join(name)).unwrap();
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn text(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }
}
