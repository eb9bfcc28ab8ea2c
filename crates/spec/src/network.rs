//! Network modes.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a sandbox is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A private network namespace with only its own loopback.
    #[default]
    None,
    /// The host's network namespace: no isolation of the network at all.
    Host,
}

impl Network {
    /// Parses the value of `--network`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            other => Err(Error::invalid(format!("unknown network `{other}`"))
                .with_hint("use `none` (the default) or `host`")),
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
        }
    }
}
