//! Options about capabilities, the system call filter and what is hidden.

use anyhow::Result;
use shedbox_spec::security::Security;

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct SecurityOptions {
    /// Add a capability to the default ones; `ALL` for every one
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Take a capability away; `ALL` for every one
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
}

impl SecurityOptions {
    pub(crate) fn spec(&self) -> Result<Security> {
        Ok(Security {
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            ..Security::default()
        })
    }
}
