//! The Landlock domain of a sandbox. Source: landlock(7).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The newest ABI whose rights shedbox knows.
pub const NEWEST_ABI: u32 = 9;
/// The first ABI that can allow renames across directories.
const RENAMES_ABI: u32 = 2;
/// The first ABI with TCP ports.
pub const PORTS_ABI: u32 = 4;

/// Rights on files, each with the ABI that brought it.
const FILE_RIGHTS: [(&str, u32); 17] = [
    ("execute", 1),
    ("write_file", 1),
    ("read_file", 1),
    ("read_dir", 1),
    ("remove_dir", 1),
    ("remove_file", 1),
    ("make_char", 1),
    ("make_dir", 1),
    ("make_reg", 1),
    ("make_sock", 1),
    ("make_fifo", 1),
    ("make_block", 1),
    ("make_sym", 1),
    ("refer", 2),
    ("truncate", 3),
    ("ioctl_dev", 5),
    ("resolve_unix", 9),
];
/// Scopes, in the same way.
const SCOPES: [(&str, u32); 2] = [("abstract_unix_socket", 6), ("signal", 6)];
/// First Linux with each ABI, from 1.
const KERNELS: [&str; NEWEST_ABI as usize] = [
    "5.13", "5.19", "6.2", "6.7", "6.10", "6.12", "6.15", "7.0", "7.1",
];

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

impl LandlockSpec {
    /// Paths were named, so nothing else of the tree is in reach.
    pub fn has_lists(&self) -> bool {
        !self.ro.is_empty() || !self.rw.is_empty()
    }

    /// Ports were named.
    pub fn has_ports(&self) -> bool {
        self.tcp_connect.is_some() || self.tcp_bind.is_some()
    }

    /// Checks what needs no look at the host.
    pub fn validate(&self) -> Result<()> {
        if let Some(path) = self
            .ro
            .iter()
            .chain(&self.rw)
            .find(|path| !path.starts_with('/') || path.contains('\0'))
        {
            return Err(Error::invalid(format!(
                "Landlock path `{}` is not an absolute path",
                path.escape_debug()
            )));
        }
        if self.level == LandlockLevel::Off && (self.has_lists() || self.has_ports()) {
            return Err(Error::invalid(
                "Landlock is off, so paths and ports cannot be limited by it",
            )
            .with_hint("leave out `--landlock off`, or the lists of paths and ports"));
        }
        Ok(())
    }

    /// Whether the domain handles files. Where programs are to mount it cannot: in a domain over files the kernel refuses
    /// every mount. Unasked it does not with ABI 1, which refuses every rename across directories.
    pub fn handles_files(&self, abi: u32, mounts_inside: bool) -> bool {
        !mounts_inside && (abi >= RENAMES_ABI || self.has_lists())
    }

    /// Checks that a kernel with this ABI (0: no Landlock) can do what was asked for.
    pub fn check(&self, abi: u32) -> Result<()> {
        let needed = if self.level == LandlockLevel::Require {
            NEWEST_ABI
        } else if self.has_ports() {
            PORTS_ABI
        } else {
            u32::from(self.has_lists())
        };
        if abi >= needed {
            return Ok(());
        }
        let asked = match (self.level, needed) {
            (LandlockLevel::Require, _) => "`--landlock require`",
            (_, PORTS_ABI) => "limiting TCP ports",
            _ => "limiting paths",
        };
        let found = if abi == 0 {
            "this kernel has no Landlock, or it is switched off".to_owned()
        } else {
            format!("this kernel has ABI {abi}")
        };
        let kernel = KERNELS[needed as usize - 1];
        Err(Error::new(
            Kind::Unsupported,
            format!("{asked} needs Landlock ABI {needed} (Linux {kernel}): {found}"),
        )
        .with_hint(if abi == 0 {
            "`shedbox doctor` names the setting that switches Landlock on".to_owned()
        } else {
            format!("run Linux {kernel} or later, or ask for less")
        }))
    }
}

/// What of a Landlock domain is in force, as init found it when it had entered the domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LandlockInForce {
    /// The kernel's ABI; 0 when it has no Landlock.
    pub abi: u32,
    /// The level that was asked for. `Off`: there is no domain.
    pub level: LandlockLevel,
    /// Rights on files that nobody has but by a rule. Empty: files are not limited.
    pub files: Vec<String>,
    /// Where files may be read and executed, when paths were named; with `rw` also empty, all of the sandbox's own tree.
    pub ro: Vec<String>,
    /// Where they may be written too.
    pub rw: Vec<String>,
    /// What reaches no further than the domain.
    pub scopes: Vec<String>,
    /// Ports that TCP sockets may be bound to; absent: every port.
    pub tcp_bind: Option<Vec<u16>>,
    /// Ports to which TCP connections may be made; absent: every port.
    pub tcp_connect: Option<Vec<u16>>,
    /// Rights and scopes that shedbox knows and this kernel lacks.
    pub missing: Vec<String>,
}

impl LandlockInForce {
    /// What a domain for `spec` consists of where the kernel has `abi`. Without `files` it says nothing about them.
    pub fn of(spec: &LandlockSpec, abi: u32, files: bool) -> Self {
        let none = Self {
            abi,
            level: spec.level,
            ..Self::default()
        };
        if spec.level == LandlockLevel::Off {
            return none;
        }
        let split = |table: &[(&str, u32)]| -> (Vec<String>, Vec<String>) {
            let (had, lacked): (Vec<_>, Vec<_>) =
                table.iter().partition(|(_, since)| *since <= abi);
            let names = |list: Vec<&(&str, u32)>| {
                list.into_iter()
                    .map(|(name, _)| (*name).to_owned())
                    .collect()
            };
            (names(had), names(lacked))
        };
        let (rights, mut missing) = split(&FILE_RIGHTS);
        let (scopes, missing_scopes) = split(&SCOPES);
        missing.extend(missing_scopes);
        Self {
            files: if files { rights } else { Vec::new() },
            ro: spec.ro.clone(),
            rw: spec.rw.clone(),
            scopes,
            tcp_bind: spec.tcp_bind.clone(),
            tcp_connect: spec.tcp_connect.clone(),
            missing,
            ..none
        }
    }

    /// There is a domain.
    pub fn is_domain(&self) -> bool {
        !self.files.is_empty()
            || !self.scopes.is_empty()
            || self.tcp_bind.is_some()
            || self.tcp_connect.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(level: LandlockLevel, ro: &[&str], ports: Option<Vec<u16>>) -> LandlockSpec {
        LandlockSpec {
            level,
            ro: ro.iter().map(|path| (*path).to_owned()).collect(),
            tcp_connect: ports,
            ..LandlockSpec::default()
        }
    }

    #[test]
    fn what_was_asked_for_is_required() {
        use LandlockLevel::{BestEffort, Off, Require};
        for (spec, needed) in [
            (asked(Off, &[], None), 0),
            (asked(BestEffort, &[], None), 0),
            (asked(BestEffort, &["/a"], None), 1),
            (asked(BestEffort, &["/a"], Some(vec![])), 4),
            (asked(Require, &[], None), 9),
        ] {
            for abi in 0..12 {
                assert_eq!(spec.check(abi).is_ok(), abi >= needed, "{spec:?} {abi}");
            }
        }
        let error = asked(BestEffort, &[], Some(vec![1])).check(3).unwrap_err();
        assert_eq!(
            error.message,
            "limiting TCP ports needs Landlock ABI 4 (Linux 6.7): this kernel has ABI 3"
        );
        let error = asked(Require, &[], None).check(0).unwrap_err();
        assert_eq!(
            error.message,
            "`--landlock require` needs Landlock ABI 9 (Linux 7.1): this kernel has no Landlock, or it is switched off"
        );
    }

    #[test]
    fn files_are_left_alone_where_too_much_would_break() {
        use LandlockLevel::BestEffort;
        let (tree, lists) = (
            asked(BestEffort, &[], None),
            asked(BestEffort, &["/a"], None),
        );
        for (spec, abi, mounts_inside, files) in [
            (&tree, 1, false, false),
            (&tree, 2, false, true),
            (&tree, 9, true, false),
            (&lists, 1, false, true),
            (&lists, 2, false, true),
        ] {
            assert_eq!(spec.handles_files(abi, mounts_inside), files, "{spec:?}");
        }
    }

    #[test]
    fn lists_are_checked() {
        use LandlockLevel::{BestEffort, Off};
        assert!(asked(BestEffort, &["rel"], None).validate().is_err());
        assert!(asked(BestEffort, &["/a\0"], None).validate().is_err());
        assert!(asked(Off, &["/a"], None).validate().is_err());
        assert!(asked(Off, &[], Some(vec![])).validate().is_err());
        assert_eq!(asked(Off, &[], None).validate(), Ok(()));
        assert_eq!(
            asked(BestEffort, &["/a"], Some(vec![80])).validate(),
            Ok(())
        );
    }

    #[test]
    fn what_is_in_force_follows_the_abi() {
        let spec = LandlockSpec::default();
        for (abi, files, scopes, missing) in [
            (0, 0, 0, 19),
            (1, 13, 0, 6),
            (2, 14, 0, 5),
            (3, 15, 0, 4),
            (5, 16, 0, 3),
            (6, 16, 2, 1),
            (9, 17, 2, 0),
            (11, 17, 2, 0),
        ] {
            let found = LandlockInForce::of(&spec, abi, true);
            assert_eq!(
                (found.files.len(), found.scopes.len(), found.missing.len()),
                (files, scopes, missing),
                "ABI {abi}"
            );
        }
        let off = asked(LandlockLevel::Off, &[], None);
        assert!(!LandlockInForce::of(&off, 9, true).is_domain());
        assert!(LandlockInForce::of(&spec, 6, false).is_domain());
        assert!(!LandlockInForce::of(&spec, 5, false).is_domain());
    }
}
