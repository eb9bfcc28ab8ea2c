//! bubblewrap, one shot: a whole sandbox for one program.

use std::process::{Command, Stdio};

use anyhow::bail;

/// `bwrap` over the lowest lower directory, with the namespaces a sandbox has.
pub(crate) struct Bubblewrap {
    rootfs: String,
}

impl Bubblewrap {
    pub(crate) fn new(rootfs: &str) -> anyhow::Result<Self> {
        let bubblewrap = Self {
            rootfs: rootfs.to_owned(),
        };
        bubblewrap.one_shot()?;
        Ok(bubblewrap)
    }

    /// Sandbox and `/bin/true`, whole process.
    pub(crate) fn one_shot(&self) -> anyhow::Result<()> {
        let status = Command::new("bwrap")
            .args(["--unshare-all", "--ro-bind", &self.rootfs, "/"])
            .args(["--proc", "/proc", "--dev", "/dev", "--", "/bin/true"])
            .stdin(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("bwrap: {status}");
        }
        Ok(())
    }
}
