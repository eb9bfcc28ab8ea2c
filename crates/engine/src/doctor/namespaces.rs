//! User namespaces and all the others: whether they can be made, what forbids it, how many there may be.

use super::proc_files::{read, shown, sysctl};
use super::{Check, Entry, set_sysctl};

/// The settings that close user namespaces to ordinary users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settings {
    /// `kernel.unprivileged_userns_clone`, of Debian's and Arch's kernels.
    unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu's since 23.10.
    apparmor_restricts: Option<u64>,
    /// `user.max_user_namespaces`.
    most: Option<u64>,
    /// The AppArmor profile of this process.
    profile: Option<String>,
    /// This program.
    program: String,
}

impl Settings {
    fn read() -> Self {
        Self {
            unprivileged_clone: sysctl("kernel.unprivileged_userns_clone"),
            apparmor_restricts: sysctl("kernel.apparmor_restrict_unprivileged_userns"),
            most: sysctl("user.max_user_namespaces"),
            profile: read("/proc/self/attr/apparmor/current")
                .or_else(|| read("/proc/self/attr/current")),
            program: std::env::current_exe().map_or_else(
                |_| "/usr/bin/shedbox".to_owned(),
                |path| path.display().to_string(),
            ),
        }
    }

    /// The profile's name and mode; empty when there is none.
    fn profile(&self) -> &str {
        self.profile
            .as_deref()
            .map_or("", |text| text.trim_matches(['\0', '\n']))
    }
}

/// The AppArmor profile that this process runs under, with its mode; empty when there is none.
pub(super) fn own_profile() -> String {
    Settings::read().profile().to_owned()
}

/// Whether the namespaces of a sandbox can be made.
pub(super) fn created_here(tried: &Result<(), shedbox_linux::Error>) -> Check {
    let failure = tried.as_ref().err().map(ToString::to_string);
    created(failure.as_deref(), &Settings::read())
}

/// `tried`: what making all namespaces of a sandbox gave.
pub(super) fn checks(tried: &Result<(), shedbox_linux::Error>) -> Vec<Check> {
    let settings = Settings::read();
    let failure = tried.as_ref().err().map(ToString::to_string);
    vec![
        created(failure.as_deref(), &settings),
        unprivileged(failure.is_none(), &settings),
        apparmor(failure.is_none(), &settings),
        limits(&KINDS.map(|(name, kind)| (name, kind, sysctl(name)))),
    ]
}

fn created(failure: Option<&str>, settings: &Settings) -> Check {
    let entry = Entry {
        id: "user-namespaces",
        title: "User namespaces",
    };
    let Some(failure) = failure else {
        return entry.ok(
            "made user, mount, pid, ipc, uts, cgroup and network namespaces",
            "sandboxes run without root",
        );
    };
    let fix = if settings.unprivileged_clone == Some(0) {
        Some(open_unprivileged())
    } else if settings.most == Some(0) {
        Some(set_sysctl(&[("user.max_user_namespaces", ENOUGH)]))
    } else if settings.apparmor_restricts == Some(1) {
        Some(allow_in_apparmor(&settings.program))
    } else {
        // Nothing on this host forbids it: it is what surrounds us that does.
        Some("docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined …  # when this host is a container".to_owned())
    };
    entry.missing(
        failure,
        "a sandbox is a set of namespaces, and this user may not make them",
        fix,
    )
}

fn unprivileged(works: bool, settings: &Settings) -> Check {
    let entry = Entry {
        id: "userns-sysctl",
        title: "Setting for unprivileged user namespaces",
    };
    match settings.unprivileged_clone {
        None => entry.ok(
            "kernel.unprivileged_userns_clone does not exist here",
            "this kernel has no such switch",
        ),
        Some(0) if works => entry.ok(
            "kernel.unprivileged_userns_clone = 0",
            "this user may make them all the same; others may not",
        ),
        Some(0) => entry.missing(
            "kernel.unprivileged_userns_clone = 0",
            "only root may make user namespaces",
            open_unprivileged(),
        ),
        Some(value) => entry.ok(
            format!("kernel.unprivileged_userns_clone = {value}"),
            "every user may make user namespaces",
        ),
    }
}

fn apparmor(works: bool, settings: &Settings) -> Check {
    let entry = Entry {
        id: "apparmor",
        title: "AppArmor and user namespaces",
    };
    let profile = settings.profile();
    match settings.apparmor_restricts {
        Some(value) if value != 0 => {
            let found = format!(
                "kernel.apparmor_restrict_unprivileged_userns = {value}, this program runs as `{}`",
                if profile.is_empty() {
                    "unconfined"
                } else {
                    profile
                }
            );
            if works {
                entry.ok(found, "a profile allows user namespaces to this program")
            } else {
                entry.missing(
                    found,
                    "programs without a profile that allows it get user namespaces without any rights in them",
                    allow_in_apparmor(&settings.program),
                )
            }
        }
        Some(_) => entry.ok(
            "kernel.apparmor_restrict_unprivileged_userns = 0",
            "AppArmor does not restrict user namespaces",
        ),
        None => entry.ok(
            "no restriction of user namespaces by AppArmor",
            "this kernel has no such switch",
        ),
    }
}

fn open_unprivileged() -> String {
    set_sysctl(&[("kernel.unprivileged_userns_clone", 1)])
}

/// A profile that changes nothing but this. It is attached by path; the keeper, started from memory, inherits it.
fn allow_in_apparmor(program: &str) -> String {
    format!(
        "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile shedbox \"{program}\" flags=(unconfined) {{\\n  userns,\\n}}\\n' \
         | sudo tee /etc/apparmor.d/shedbox && sudo apparmor_parser -r /etc/apparmor.d/shedbox"
    )
}

/// Namespaces of one kind that serve a thousand sandboxes, each with a spare generation, and others beside them.
const ENOUGH: u64 = 16_384;
/// Below this a few hundred sandboxes are the most.
const FEW: u64 = 2_048;

const KINDS: [(&str, &str); 7] = [
    ("user.max_user_namespaces", "user"),
    ("user.max_mnt_namespaces", "mount"),
    ("user.max_pid_namespaces", "pid"),
    ("user.max_net_namespaces", "network"),
    ("user.max_ipc_namespaces", "ipc"),
    ("user.max_uts_namespaces", "uts"),
    ("user.max_cgroup_namespaces", "cgroup"),
];

/// By setting: its kind of namespace and its value.
fn limits(settings: &[(&'static str, &'static str, Option<u64>)]) -> Check {
    let entry = Entry {
        id: "namespace-limits",
        title: "Number of namespaces",
    };
    let known = || {
        settings
            .iter()
            .filter_map(|(name, kind, value)| value.map(|value| (*name, *kind, value)))
    };
    let Some((name, kind, least)) = known().min_by_key(|(.., value)| *value) else {
        return entry.ok(
            "user.max_* are hidden here",
            "the limits are those of the surroundings",
        );
    };
    let found = format!("{name} = {} is the lowest", shown(least));
    if least >= FEW {
        return entry.ok(found, "enough for a thousand sandboxes");
    }
    let few: Vec<(&str, u64)> = known()
        .filter(|(.., value)| *value < FEW)
        .map(|(name, ..)| (name, ENOUGH))
        .collect();
    let fix = set_sysctl(&few);
    if least == 0 {
        entry.missing(found, format!("no {kind} namespace can be made"), fix)
    } else {
        entry.degraded(
            found,
            format!(
                "{} sandboxes at most: each takes two of each kind",
                least / 2
            ),
            fix,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    const EPERM: &str = "unshare(NEWUSER) => EPERM (Operation not permitted)";

    fn levels(failure: Option<&str>, settings: &Settings) -> [Level; 3] {
        let works = failure.is_none();
        [
            created(failure, settings).level,
            unprivileged(works, settings).level,
            apparmor(works, settings).level,
        ]
    }

    #[test]
    fn what_forbids_is_named() {
        let base = Settings {
            program: "/opt/shedbox".into(),
            ..Settings::default()
        };
        assert_eq!(levels(None, &base), [Level::Ok; 3]);
        let debian = Settings {
            unprivileged_clone: Some(0),
            ..base.clone()
        };
        // Root may do it whatever the switch says.
        assert_eq!(levels(None, &debian), [Level::Ok; 3]);
        assert_eq!(
            levels(Some(EPERM), &debian),
            [Level::Missing, Level::Missing, Level::Ok]
        );
        let check = created(Some(EPERM), &debian);
        assert_eq!(check.found, EPERM);
        assert_eq!(
            check.fix.unwrap(),
            "printf 'kernel.unprivileged_userns_clone = 1\\n' | sudo tee -a /etc/sysctl.d/90-shedbox.conf && sudo sysctl --system"
        );
        let ubuntu = Settings {
            apparmor_restricts: Some(1),
            profile: Some("unconfined\n".into()),
            ..base.clone()
        };
        assert_eq!(
            levels(Some(EPERM), &ubuntu),
            [Level::Missing, Level::Ok, Level::Missing]
        );
        let check = apparmor(false, &ubuntu);
        assert!(check.found.ends_with("runs as `unconfined`"));
        assert!(
            check
                .fix
                .unwrap()
                .contains("profile shedbox \"/opt/shedbox\" flags=(unconfined) {\\n  userns,\\n}")
        );
        assert_eq!(levels(None, &ubuntu), [Level::Ok; 3]);
        let none_left = Settings {
            most: Some(0),
            ..base.clone()
        };
        assert!(
            created(Some(EPERM), &none_left)
                .fix
                .unwrap()
                .contains("user.max_user_namespaces = 16384")
        );
        assert!(
            created(Some(EPERM), &base)
                .fix
                .unwrap()
                .contains("seccomp=unconfined")
        );
    }

    #[test]
    fn the_lowest_limit_counts() {
        let with = |value| {
            [
                ("user.max_user_namespaces", "user", Some(96_365)),
                ("user.max_net_namespaces", "network", value),
            ]
        };
        assert_eq!(limits(&with(Some(96_365))).level, Level::Ok);
        assert_eq!(limits(&with(None)).level, Level::Ok);
        assert_eq!(
            limits(&[("user.max_user_namespaces", "user", None)]).level,
            Level::Ok
        );
        let few = limits(&with(Some(500)));
        assert_eq!(few.level, Level::Degraded);
        assert!(few.means.starts_with("250 sandboxes"));
        assert!(
            few.fix
                .unwrap()
                .starts_with("printf 'user.max_net_namespaces = 16384\\n'")
        );
        let none = limits(&with(Some(0)));
        assert_eq!(
            (none.level, none.means.as_str()),
            (Level::Missing, "no network namespace can be made")
        );
    }
}
