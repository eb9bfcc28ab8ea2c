//! Options about limits on resources.

use anyhow::Result;
use shedbox_spec::limits::Limits;
use shedbox_spec::size;

/// See the module.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitOptions {
    /// Limit on memory, for example `512m`
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
}

impl LimitOptions {
    pub(crate) fn spec(&self) -> Result<Limits> {
        Ok(Limits {
            memory: self.memory.as_deref().map(size::parse_bytes).transpose()?,
            ..Limits::default()
        })
    }
}
