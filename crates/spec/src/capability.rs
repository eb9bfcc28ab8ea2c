//! Capabilities by name. Source: capabilities(7).

use serde::{Deserialize, Serialize};

/// A capability by its number in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "the names are the kernel's; capabilities(7) explains them"
)]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    NetBindService = 10,
    NetAdmin = 12,
    NetRaw = 13,
    SysChroot = 18,
    SysPtrace = 19,
    SysAdmin = 21,
    Mknod = 27,
    AuditWrite = 29,
    Setfcap = 31,
}

impl Capability {
    /// Its bit in a capability set.
    pub fn bit(self) -> u64 {
        1 << (self as u8)
    }
}
