//! Resource limits as Docker's `--ulimit` names them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One resource limit. Source: getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The resource.
    pub resource: Resource,
    /// The soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// The hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// Resources that a ulimit can name, with their numbers in `asm-generic/resource.h`.
///
/// `locks` is not among them: the kernel has ignored it since 2.4, and shedbox marks the processes of one exec with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are getrlimit(2)'s")]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

const NAMES: &[(&str, Resource)] = &[
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

impl Resource {
    /// The name that `--ulimit` uses.
    pub fn as_str(self) -> &'static str {
        // Every variant is in the table; the test below goes through all of them.
        NAMES
            .iter()
            .find(|(_, resource)| *resource == self)
            .map_or("", |(name, _)| name)
    }

    /// The resource of a name.
    pub fn parse(name: &str) -> Result<Self> {
        if let Some((_, resource)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*resource);
        }
        let error = Error::invalid(format!("invalid ulimit type `{name}`"));
        if name == "locks" {
            return Err(error.with_hint("leave `locks` out: the kernel has ignored it since 2.4"));
        }
        let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        Err(error.with_hint(format!("use one of {}", known.join(", "))))
    }
}

impl Ulimit {
    /// Parses `name=soft[:hard]`; `-1` and `unlimited` are no limit. Without a hard limit it is the soft one.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, limits) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("invalid ulimit `{text}`"))
                .with_hint("write it as `name=soft[:hard]`, for example `nofile=1024:4096`")
        })?;
        let resource = Resource::parse(name)?;
        let value = |digits: &str| match digits {
            "-1" | "unlimited" => Ok(u64::MAX),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| ())
            }
            _ => Err(()),
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (Ok(soft), Ok(hard)) = (value(soft), value(hard)) else {
            return Err(Error::invalid(format!("invalid ulimit value in `{text}`"))
                .with_hint("limits are whole numbers; `-1` is unlimited"));
        };
        if soft > hard {
            return Err(Error::invalid(format!(
                "ulimit `{text}`: the soft limit must be less than or equal to the hard limit"
            )));
        }
        Ok(Self {
            resource,
            soft,
            hard,
        })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |limit: u64| match limit {
            u64::MAX => "-1".to_owned(),
            limit => limit.to_string(),
        };
        write!(
            f,
            "{}={}:{}",
            self.resource.as_str(),
            show(self.soft),
            show(self.hard)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_show() {
        let ulimit = |resource, soft, hard| Ulimit {
            resource,
            soft,
            hard,
        };
        for (text, expected, shown) in [
            (
                "nofile=1024:2048",
                ulimit(Resource::Nofile, 1024, 2048),
                "nofile=1024:2048",
            ),
            (
                "nproc=512",
                ulimit(Resource::Nproc, 512, 512),
                "nproc=512:512",
            ),
            (
                "core=-1",
                ulimit(Resource::Core, u64::MAX, u64::MAX),
                "core=-1:-1",
            ),
            (
                "core=0:unlimited",
                ulimit(Resource::Core, 0, u64::MAX),
                "core=0:-1",
            ),
        ] {
            let parsed = Ulimit::parse(text).unwrap();
            assert_eq!(parsed, expected);
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(Ulimit::parse(shown).unwrap(), expected);
        }
        for (text, message) in [
            ("nofile", "invalid ulimit `nofile`"),
            ("", "invalid ulimit ``"),
            ("notype=1", "type `notype`"),
            ("NOFILE=1", "type `NOFILE`"),
            ("locks=1", "type `locks`"),
            ("nofile=", "value"),
            ("nofile=1:", "value"),
            ("nofile=1:2:3", "value"),
            ("nofile=-2", "value"),
            ("nofile=1k", "value"),
            ("nofile=99999999999999999999", "value"),
            ("nofile=3:2", "soft limit"),
            ("nofile=-1:2", "soft limit"),
        ] {
            let error = Ulimit::parse(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn every_resource_has_a_name() {
        use Resource::{
            As, Core, Cpu, Data, Fsize, Memlock, Msgqueue, Nice, Nofile, Nproc, Rss, Rtprio,
            Rttime, Sigpending, Stack,
        };
        for resource in [
            Cpu, Fsize, Data, Stack, Core, Rss, Nproc, Nofile, Memlock, As, Sigpending, Msgqueue,
            Nice, Rtprio, Rttime,
        ] {
            assert_eq!(Resource::parse(resource.as_str()), Ok(resource));
        }
    }
}
