//! Capabilities by name. Source: capabilities(7).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Declares the enum and its list from one table: name, number.
macro_rules! capabilities {
    ($($name:ident = $number:literal,)*) => {
        /// A capability by its number in `linux/capability.h`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        #[repr(u8)]
        #[allow(
            missing_docs,
            reason = "the names are the kernel's; capabilities(7) explains them"
        )]
        pub enum Capability {
            $($name = $number,)*
        }

        impl Capability {
            /// Every capability, in the kernel's order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the enum, which [`Capability::name`] turns into the kernel's.
            fn camel(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

capabilities! {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    MacAdmin = 33,
    Syslog = 34,
    WakeAlarm = 35,
    BlockSuspend = 36,
    AuditRead = 37,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
}

/// The word that stands for all of them.
pub const ALL: &str = "ALL";

impl Capability {
    /// Its bit in a capability set.
    pub fn bit(self) -> u64 {
        1 << (self as u8)
    }

    /// The kernel's name without `CAP_`: `SYS_PTRACE`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in self.camel().chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    /// Reads a name with or without `CAP_`, in any case.
    pub fn parse(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Self::ALL
            .iter()
            .copied()
            .find(|capability| capability.name() == name)
            .ok_or_else(|| {
                Error::invalid(format!("unknown capability `{text}`")).with_hint(
                    "capabilities(7) lists the names, such as NET_RAW or SYS_PTRACE; ALL stands for every one",
                )
            })
    }
}

/// A set of capabilities as bits.
pub fn set(capabilities: &[Capability]) -> u64 {
    capabilities
        .iter()
        .fold(0, |set, capability| set | capability.bit())
}

/// Whether a word stands for all capabilities.
pub fn is_all(text: &str) -> bool {
    text.eq_ignore_ascii_case(ALL) || text.eq_ignore_ascii_case("CAP_ALL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        assert_eq!(Capability::ALL.len(), 41);
        for (number, capability) in (0u8..).zip(Capability::ALL) {
            assert_eq!(*capability as u8, number);
            let name = capability.name();
            for text in [
                name.clone(),
                format!("CAP_{name}"),
                format!("cap_{name}").to_lowercase(),
            ] {
                assert_eq!(Capability::parse(&text), Ok(*capability), "{text}");
            }
            // What is written to disk is the same name.
            assert_eq!(
                serde_json::to_string(capability).unwrap(),
                format!("\"{name}\"")
            );
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "CAP_", "SYS-ADMIN", "CAP_CAP_KILL", "ALL", "SYS_ADMINS"] {
            assert!(Capability::parse(text).is_err(), "{text}");
        }
        assert!(is_all("all") && is_all("CAP_ALL") && !is_all("ALLE"));
    }
}
