//! What the kernel's texts say.

use super::{
    CapabilitySets, IdRange, MountFeature, Probe, ProcessFeatures, SeccompFeatures, UserMap,
};
use crate::capability::Capability;
use crate::ulimit::{Resource, Ulimit};

/// Names in `/proc/<pid>/limits` and what they are called elsewhere.
const LIMITS: [(&str, Resource); 15] = [
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];

/// Number of capabilities that the names in this crate cover.
const KNOWN: u32 = Capability::ALL.len() as u32;

impl Probe {
    /// Credentials and restrictions. Fields that the kernel does not write keep their defaults.
    pub fn process(&self, profile: &str) -> ProcessFeatures {
        let field = |name: &str| {
            self.status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        // Real, effective, saved, file system.
        let effective = |name: &str| {
            field(name)
                .and_then(|ids| ids.split_ascii_whitespace().nth(1)?.parse().ok())
                .unwrap_or(u32::MAX)
        };
        let set = |name: &str| {
            field(name)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .map(capability_names)
                .unwrap_or_default()
        };
        ProcessFeatures {
            uid: effective("Uid"),
            gid: effective("Gid"),
            groups: field("Groups")
                .unwrap_or_default()
                .split_ascii_whitespace()
                .filter_map(|group| group.parse().ok())
                .collect(),
            umask: field("Umask").unwrap_or_default().to_owned(),
            no_new_privileges: field("NoNewPrivs") == Some("1"),
            seccomp: SeccompFeatures {
                mode: match field("Seccomp") {
                    Some("0") | None => "disabled",
                    Some("1") => "strict",
                    Some("2") => "filter",
                    Some(_) => "unknown",
                }
                .to_owned(),
                filters: field("Seccomp_filters").and_then(|count| count.parse().ok()),
                profile: profile.to_owned(),
            },
            capabilities: CapabilitySets {
                permitted: set("CapPrm"),
                effective: set("CapEff"),
                inheritable: set("CapInh"),
                bounding: set("CapBnd"),
                ambient: set("CapAmb"),
            },
            oom_score_adj: self.oom_score_adj.trim().parse().unwrap_or(0),
        }
    }

    /// Resource limits. Those of a name that nobody knows are left out.
    pub fn limits(&self) -> Vec<Ulimit> {
        let value = |text: &str| match text {
            "unlimited" => Some(u64::MAX),
            digits => digits.parse().ok(),
        };
        LIMITS
            .iter()
            .filter_map(|(name, resource)| {
                let rest = self
                    .limits
                    .lines()
                    .find_map(|line| line.strip_prefix(name))?;
                let mut words = rest.split_ascii_whitespace();
                Some(Ulimit {
                    resource: *resource,
                    soft: value(words.next()?)?,
                    hard: value(words.next()?)?,
                })
            })
            .collect()
    }

    /// The id maps.
    pub fn user_map(&self) -> UserMap {
        UserMap {
            uid: ranges(&self.uid_map),
            gid: ranges(&self.gid_map),
        }
    }

    /// The inode that names a namespace.
    pub fn namespace(&self, kind: &str) -> Option<u64> {
        inode(self.namespaces.get(kind)?)
    }

    /// The path in the unified hierarchy.
    pub fn unified_cgroup(&self) -> Option<&str> {
        self.cgroup
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
    }
}

/// The number in `mnt:[4026531840]`.
pub(super) fn inode(link: &str) -> Option<u64> {
    link.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// The lines of a `uid_map` or `gid_map`.
pub fn ranges(map: &str) -> Vec<IdRange> {
    map.lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            Some(IdRange {
                inside: numbers.next()?.ok()?,
                outside: numbers.next()?.ok()?,
                count: numbers.next()?.ok()?,
            })
        })
        .collect()
}

/// All mounts of a mountinfo; of several at one place the uppermost, which is what shows.
pub fn mounts(mountinfo: &str) -> Vec<MountFeature> {
    let mut found: Vec<MountFeature> = Vec::new();
    for line in mountinfo.lines() {
        let Some(mount) = mount(line) else { continue };
        found.retain(|older| older.target != mount.target);
        found.push(mount);
    }
    found
}

fn mount(line: &str) -> Option<MountFeature> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    Some(MountFeature {
        root: unescape(fields.next()?),
        target: unescape(fields.next()?),
        options: fields.next()?.split(',').map(str::to_owned).collect(),
        file_system: after.split(' ').next()?.to_owned(),
    })
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        if let Some(code) = code {
            plain.push(char::from(code));
            plain.push_str(part.get(3..).unwrap_or_default());
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain
}

/// Names of the capabilities of a set; one that this release does not know is `CAP_<number>`.
pub(super) fn capability_names(set: u64) -> Vec<String> {
    let known = Capability::ALL
        .iter()
        .filter(|capability| set & capability.bit() != 0)
        .map(|capability| capability.name());
    let unknown = (KNOWN..64)
        .filter(|number| set & (1 << number) != 0)
        .map(|number| format!("CAP_{number}"));
    known.chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status() {
        let probe = Probe {
            status: "Name:\tx\nUmask:\t0022\nUid:\t0\t33\t0\t0\nGid:\t0\t34\t0\t0\nGroups:\t4 5 \nCapInh:\t0\nCapPrm:\t\
                     0000000000000021\nCapEff:\t1\nCapBnd:\t20000000003\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"
                .into(),
            oom_score_adj: "-5\n".into(),
            ..Probe::default()
        };
        let found = probe.process("default");
        assert_eq!((found.uid, found.gid, found.groups), (33, 34, vec![4, 5]));
        assert_eq!((found.umask.as_str(), found.oom_score_adj), ("0022", -5));
        assert!(found.no_new_privileges);
        assert_eq!(
            found.seccomp,
            SeccompFeatures {
                mode: "filter".into(),
                filters: Some(3),
                profile: "default".into()
            }
        );
        assert_eq!(found.capabilities.permitted, ["CHOWN", "KILL"]);
        assert_eq!(found.capabilities.effective, ["CHOWN"]);
        assert_eq!(
            found.capabilities.bounding,
            ["CHOWN", "DAC_OVERRIDE", "CAP_41"]
        );
        assert!(found.capabilities.ambient.is_empty());
    }

    #[test]
    fn limits_maps_and_links() {
        let probe = Probe {
            limits: "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max cpu time              unlimited            unlimited            seconds   \n\
                     Max nice priority         0                    3                    \n\
                     Max file locks            4                    4                    locks     \n"
                .into(),
            uid_map: "         0       1008          1\n         1     589824      65536\n".into(),
            namespaces: [("mnt".to_owned(), "mnt:[4026531840]".to_owned())].into(),
            cgroup: "9:name=systemd:/\n0::/a\n".into(),
            ..Probe::default()
        };
        let texts: Vec<String> = probe.limits().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["cpu=-1:-1", "nice=0:3"]);
        let range = |inside, outside, count| IdRange {
            inside,
            outside,
            count,
        };
        assert_eq!(
            probe.user_map().uid,
            [range(0, 1008, 1), range(1, 589_824, 65_536)]
        );
        assert_eq!(probe.namespace("mnt"), Some(4_026_531_840));
        assert_eq!(probe.namespace("pid"), None);
        assert_eq!(probe.unified_cgroup(), Some("/a"));
    }

    #[test]
    fn the_uppermost_mount_shows() {
        let found = mounts(
            "82 69 0:46 / /sys ro,nosuid shared:1 - sysfs sysfs ro\n43 82 0:47 / /sys rw - tmpfs tmpfs rw\n\
             44 43 0:46 /a\\040b /sys/c\\134d ro - sysfs sysfs ro\nbad\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].target.as_str(), found[0].file_system.as_str()),
            ("/sys", "tmpfs")
        );
        assert_eq!(
            (found[1].root.as_str(), found[1].target.as_str()),
            ("/a b", "/sys/c\\d")
        );
        assert!(found[1].has("ro") && !found[0].has("ro"));
    }
}
