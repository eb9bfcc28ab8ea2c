//! Who runs the tests, and what a test needs from the machine.

use std::process::Command;

use shedbox_linux::process::own_uid;

/// The user that a run of the tests belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// An ordinary user with a range of subordinate ids.
    Subids,
    /// An ordinary user without one: a single-id map.
    Single,
    /// Root.
    Root,
}

impl Lane {
    /// The lane of this run.
    pub(crate) fn current() -> Self {
        match std::env::var("SHEDBOX_TEST_LANE").ok().as_deref() {
            Some("subids") => Self::Subids,
            Some("single") => Self::Single,
            Some("root") => Self::Root,
            Some(other) => panic!("SHEDBOX_TEST_LANE={other}: use subids, single or root"),
            None => Self::of_user(),
        }
    }

    /// The lane that the user's own ids put them in.
    pub(crate) fn of_user() -> Self {
        let uid = own_uid();
        let subuid = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
        let name = std::fs::read_to_string("/etc/passwd")
            .unwrap_or_default()
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&uid.to_string().as_str()))
            .map_or_else(|| uid.to_string(), |fields| fields[0].to_owned());
        if uid == 0 {
            Self::Root
        } else if shedbox_linux::userns::subordinate_ranges(&subuid, &name, uid).is_empty() {
            Self::Single
        } else {
            Self::Subids
        }
    }

    /// More than one id can be mapped.
    pub(crate) fn many_ids(self) -> bool {
        self != Self::Single
    }
}

/// Something a test may need. For [`require!`](crate::require).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// User namespaces.
    Userns,
    /// More than one id.
    ManyIds,
    /// To be root.
    Root,
    /// Not to be root.
    Ordinary,
    /// A program in PATH.
    Program(&'static str),
    /// The environments of `tests/docker/clients/setup.sh`.
    Clients,
    /// An image of `scripts/test-images`.
    Image(&'static str),
    /// A cgroup of version 2 of the user's own, with the controllers that limits need.
    Cgroup,
    /// No such cgroup: what is to be seen without one.
    NoCgroup,
    /// The guest of `scripts/test-vm` that has this name.
    Guest(&'static str),
    /// A kernel whose Landlock has this ABI.
    Landlock(u32),
    /// A way to the world for sandboxes: a tun device that the user may open, and pasta.
    Tun,
    /// No such way: what is to be seen without one.
    NoTun,
}

impl Need {
    /// What is missing, when it is.
    pub(crate) fn missing(self) -> Option<String> {
        let lane = Lane::current();
        match self {
            Self::Userns => {
                let works = Command::new("unshare")
                    .args(["--user", "true"])
                    .status()
                    .is_ok_and(|status| status.success());
                (!works).then(|| "user namespaces are not allowed here".to_owned())
            }
            Self::ManyIds => {
                (!lane.many_ids()).then(|| "the user has no subordinate ids".to_owned())
            }
            Self::Root => (lane != Lane::Root).then(|| "only for root".to_owned()),
            Self::Ordinary => (lane == Lane::Root).then(|| "not for root".to_owned()),
            Self::Guest(name) => {
                let here = std::env::var("SHEDBOX_TEST_GUEST_NAME").unwrap_or_default();
                (here != name).then(|| format!("only in the guest `{name}` of `make test-vm`"))
            }
            Self::Landlock(needed) => {
                let found = shedbox_linux::probe::landlock_abi();
                (found < needed)
                    .then(|| format!("this kernel has Landlock ABI {found}, below {needed}"))
            }
            Self::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
                (!found).then(|| format!("`{name}` is not installed; run `scripts/setup test`"))
            }
            Self::Clients => {
                let dir = std::env::var("SHEDBOX_TEST_CLIENTS").unwrap_or_default();
                let found = std::path::Path::new(&dir)
                    .join("clients/bin/python")
                    .exists();
                (!found).then(|| {
                    "no Python clients; run `tests/docker/clients/setup.sh target/docker-clients`".to_owned()
                })
            }
            Self::Cgroup => (!has_own_cgroup()).then(|| {
                "no cgroup v2 with memory and pids is delegated to the user; run `make test-vm`"
                    .to_owned()
            }),
            Self::NoCgroup => has_own_cgroup()
                .then(|| "a cgroup v2 with memory and pids is delegated to the user".to_owned()),
            Self::Tun => no_way_out(),
            Self::NoTun => no_way_out()
                .is_none()
                .then(|| "there are a tun device and pasta".to_owned()),
            Self::Image(name) => {
                let layout = super::images::directory().join(name).join("index.json");
                (!layout.is_file()).then(|| {
                    format!("the image `{name}` is not built; run `scripts/test-images {name}`")
                })
            }
        }
    }

    /// Whether it belongs to a lane by design (no failure when another lane skips it), and not to a complete machine.
    /// The guests of `scripts/test-vm` are there for the cgroups they delegate.
    pub(crate) fn is_about_the_lane(self) -> bool {
        let guest = std::env::var_os("SHEDBOX_TEST_GUEST").is_some_and(|value| value == "1");
        matches!(
            self,
            Self::ManyIds
                | Self::Root
                | Self::Ordinary
                | Self::Landlock(_)
                | Self::NoCgroup
                | Self::Guest(_)
                | Self::NoTun
        ) || (matches!(self, Self::Tun) && !guest)
            || (matches!(self, Self::Cgroup) && !guest)
    }
}

/// Whether some cgroup above this process may be divided by its user: one that it can write to, with controllers to
/// hand on. What shedbox itself finds is for the tests to say.
fn has_own_cgroup() -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return false;
    };
    let root = std::path::Path::new("/sys/fs/cgroup");
    root.join(path)
        .ancestors()
        .take_while(|dir| dir.starts_with(root))
        .any(|dir| {
            let controllers = std::fs::read_to_string(dir.join("cgroup.controllers"));
            let controllers = controllers.unwrap_or_default();
            let has = |name| controllers.split_whitespace().any(|word| word == name);
            let control = std::fs::OpenOptions::new()
                .write(true)
                .open(dir.join("cgroup.subtree_control"));
            has("memory") && has("pids") && control.is_ok()
        })
}

/// Why sandboxes of this user cannot have a way to the world: in containers and on some hosts by design.
fn no_way_out() -> Option<String> {
    let device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    if let Err(error) = device {
        return Some(format!("/dev/net/tun cannot be opened: {error}"));
    }
    Need::Program("pasta").missing()
}

/// Says loudly that a test is skipped, or fails it when the run is strict.
pub(crate) fn skip(need: Need, missing: &str) {
    let strict = std::env::var_os("SHEDBOX_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(
        !strict || need.is_about_the_lane(),
        "SHEDBOX_TEST_STRICT=1 and a test cannot run: {missing}"
    );
    eprintln!("SKIPPED {}: {missing}", super::name::current_test());
}

/// Leaves the test when the machine lacks something: `require!(userns)`, `require!(many_ids)`, `require!(root)`, `require!(ordinary)`,
/// `require!(program "umoci")`, `require!(landlock 4)`, `require!(image "debian")`, `require!(cgroup)`,
/// `require!(no_cgroup)`, `require!(tun)`, `require!(no_tun)`, or several, separated by commas.
///
/// The line it prints begins with `SKIPPED`. Under `SHEDBOX_TEST_STRICT=1` a missing program, image or user namespace is
/// a failure; a test for another lane is still only skipped.
#[macro_export]
macro_rules! require {
    ($($kind:ident $($argument:literal)?),+ $(,)?) => {
        $(
            let need = $crate::require!(@need $kind $($argument)?);
            if let Some(missing) = need.missing() {
                $crate::support::lane::skip(need, &missing);
                return;
            }
        )+
    };
    (@need userns) => { $crate::support::lane::Need::Userns };
    (@need many_ids) => { $crate::support::lane::Need::ManyIds };
    (@need root) => { $crate::support::lane::Need::Root };
    (@need ordinary) => { $crate::support::lane::Need::Ordinary };
    (@need program $name:literal) => { $crate::support::lane::Need::Program($name) };
    (@need landlock $abi:literal) => { $crate::support::lane::Need::Landlock($abi) };
    (@need clients) => { $crate::support::lane::Need::Clients };
    (@need tun) => { $crate::support::lane::Need::Tun };
    (@need no_tun) => { $crate::support::lane::Need::NoTun };
    (@need no_cgroup) => { $crate::support::lane::Need::NoCgroup };
    (@need guest $name:literal) => { $crate::support::lane::Need::Guest($name) };
    (@need cgroup) => { $crate::support::lane::Need::Cgroup };
    (@need image $name:literal) => { $crate::support::lane::Need::Image($name) };
}
