//! The Landlock domain of a sandbox. Source: landlock(7).

use serde::{Deserialize, Serialize};

/// What was asked for. With no lists the domain is the sandbox's own tree and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LandlockSpec {
    /// What to do where the kernel offers less than was asked for.
    pub level: LandlockLevel,
    /// Paths inside that may be read and executed. With `ro` or `rw` given, nothing else of the tree is in reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ro: Vec<String>,
    /// Paths inside that may be written too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rw: Vec<String>,
    /// Ports to which TCP connections may be made; absent: every port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_connect: Option<Vec<u16>>,
    /// Ports that TCP sockets may be bound to; absent: every port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_bind: Option<Vec<u16>>,
}

/// How much of Landlock must be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LandlockLevel {
    /// No domain at all.
    Off,
    /// All that the running kernel offers; the level in force is reported. What was asked for by path or port is
    /// required even so.
    #[default]
    BestEffort,
    /// Everything of the newest ABI that shedbox knows, or an error.
    Require,
}
