//! Podman through its command line: it has no daemon, so that is what its users wait for.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::bail;

/// Podman with a storage of its own.
pub(crate) struct Podman {
    storage: PathBuf,
    run: PathBuf,
    image: String,
}

impl Podman {
    /// Pulls the image into a new storage below `dir`; an error says why podman does not work here.
    pub(crate) fn new(dir: &std::path::Path, image: &str) -> anyhow::Result<Self> {
        let podman = Self {
            storage: dir.join("podman"),
            run: dir.join("podman-run"),
            image: image.to_owned(),
        };
        podman.call(&["pull", "--quiet", "--tls-verify=false", image])?;
        let id = podman.create()?;
        podman.exec(&id)?;
        podman.remove(&id)?;
        Ok(podman)
    }

    /// `podman run -d --network none IMAGE sleep`; the id.
    pub(crate) fn create(&self) -> anyhow::Result<String> {
        self.call(&[
            "run",
            "--detach",
            "--network",
            "none",
            // Its defaults are beyond the hard limits of some sessions.
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
            &self.image,
            "sleep",
            "1000000",
        ])
    }

    /// `podman exec ID /bin/true`.
    pub(crate) fn exec(&self, id: &str) -> anyhow::Result<()> {
        self.call(&["exec", id, "/bin/true"]).map(drop)
    }

    /// `podman rm -f ID`.
    pub(crate) fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.call(&["rm", "--force", "--time", "0", id]).map(drop)
    }

    /// Removes the storage, in which subordinate ids own files.
    pub(crate) fn clean_up(&self) -> anyhow::Result<()> {
        self.call(&["rmi", "--all", "--force"])?;
        let mut command = Command::new(if shedbox_linux::process::own_uid() == 0 {
            "env"
        } else {
            "podman"
        });
        if shedbox_linux::process::own_uid() != 0 {
            command.arg("unshare");
        }
        let status = command
            .args(["rm", "-rf"])
            .arg(&self.storage)
            .arg(&self.run)
            .status()?;
        if !status.success() {
            bail!("cannot remove {}: {status}", self.storage.display());
        }
        Ok(())
    }

    fn call(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("podman")
            .arg("--root")
            .arg(&self.storage)
            .arg("--runroot")
            .arg(&self.run)
            // crun of Debian 12 refuses machines with cgroup v1.
            .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"])
            .args(["--events-backend", "none"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!(
                "podman {}: {}",
                arguments[0],
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
