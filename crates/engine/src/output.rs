//! What a sandbox has written: its log, and its changes of the image.

use shedbox_spec::api::Change;
use shedbox_spec::mount::Mount;
use shedbox_spec::{Error, Kind};
use shedbox_store::diff;

use crate::Engine;
use crate::disk_limit;
use crate::error::Result;
use crate::record::Record;

/// What init itself mounts or makes; no change of the sandbox's.
const OURS: &[&str] = &[
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
];

impl Engine {
    /// Paths that differ from the image, or from the snapshot that the sandbox stands on.
    pub fn diff(&self, name: &str) -> Result<Vec<Change>> {
        let sandbox = self.find(name)?;
        let record = &sandbox.record;
        if disk_limit::is_in_memory(record) {
            return Err(Error::new(
                Kind::Unsupported,
                format!(
                    "what `{}` has written is in memory, inside of it alone",
                    sandbox.name()
                ),
            )
            .with_hint("use another backing for its disk limit")
            .into());
        }
        let base = sandbox.bases().live.clone();
        let mut lowers = base.map_or_else(Vec::new, |base| base.uppers());
        lowers.extend(self.own_lowers(&sandbox)?);
        Ok(diff::changes(
            &sandbox.layout.live().join("upper"),
            &lowers,
            &hidden_paths(record),
        )?)
    }

    /// The directory of a sandbox's log.
    pub fn log_directory(&self, name: &str) -> Result<std::path::PathBuf> {
        Ok(self.find(name)?.layout.log())
    }

    /// Whether a sandbox runs: a log that is followed ends when it does not.
    pub fn is_running(&self, name: &str) -> bool {
        self.find(name)
            .is_ok_and(|sandbox| sandbox.state().life.status == shedbox_spec::api::Status::Running)
    }
}

/// Paths inside that lie under mounts of ours: what the upper directory has there is no change of the sandbox's.
pub(crate) fn hidden_paths(record: &Record) -> Vec<String> {
    OURS.iter()
        .map(|path| (*path).to_owned())
        .chain(
            record
                .spec
                .mounts
                .iter()
                .map(Mount::target)
                .map(str::to_owned),
        )
        .collect()
}
