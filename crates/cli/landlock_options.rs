//! Options about the Landlock domain.

use anyhow::Result;
use shedbox_spec::landlock::LandlockSpec;

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct LandlockOptions {
    /// Only this path and others named so may be read and executed
    #[arg(long, value_name = "PATH")]
    landlock_ro: Vec<String>,
    /// Only this path and others named so may be written
    #[arg(long, value_name = "PATH")]
    landlock_rw: Vec<String>,
}

impl LandlockOptions {
    pub(crate) fn spec(&self) -> Result<LandlockSpec> {
        Ok(LandlockSpec {
            ro: self.landlock_ro.clone(),
            rw: self.landlock_rw.clone(),
            ..LandlockSpec::default()
        })
    }
}
