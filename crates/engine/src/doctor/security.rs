//! The walls that this host makes possible, layer by layer: `shedbox doctor --security`.
//!
//! A layer that every sandbox relies on can be [`Level::Missing`]; what strengthens one, or what is a setting of the host
//! that decides how much an escape would gain, is [`Level::Degraded`] at worst.

use shedbox_linux::{probe, process, seccomp};
use shedbox_spec::landlock::{LandlockInForce, LandlockSpec};
use shedbox_spec::paths::Paths;

use super::host_settings;
use super::modes;
use super::overlay::Trial;
use super::proc_files::{kernel_version, read};
use super::{Check, Doctor, Entry, Level, Report, cgroup, ids, namespaces};

/// The first kernel whose overlay shows the names it was given and takes them one by one.
const NEW_OVERLAY: (u32, u32) = (6, 5);
/// `vm.memfd_noexec`: nothing is run from memory files.
const NOTHING_FROM_MEMORY: u64 = 2;

impl Doctor {
    /// Looks at what sandboxes are walled in by here, as the user who calls. Leaves nothing behind.
    pub fn security(paths: &Paths) -> Report {
        let uid = process::own_uid();
        let tried = Trial::run(&paths.root);
        let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut checks = vec![
            user_namespaces(namespaces::created_here(&tried.namespaces), ids::check(uid)),
            filters(
                seccomp::available(),
                &read("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default(),
            ),
            landlock(probe::landlock_abi()),
            renamed(cgroup::check(uid), "layer-cgroup", "cgroup v2 limits"),
            no_new_privileges(process::can_refuse_privileges()),
            mounts(kernel_version(release.trim())),
            sealed_program(super::proc_files::sysctl("vm.memfd_noexec")),
            apparmor(
                &read("/sys/kernel/security/lsm").unwrap_or_default(),
                &namespaces::own_profile(),
            ),
        ];
        checks.extend(host_settings::checks());
        checks.push(modes::check(paths, uid));
        Report { checks }
    }
}

fn renamed(check: Check, id: &'static str, title: &'static str) -> Check {
    Check { id, title, ..check }
}

/// One entry of the namespaces themselves and of the ids in them.
fn user_namespaces(made: Check, ids: Check) -> Check {
    let entry = Entry {
        id: "layer-namespaces",
        title: "User namespaces",
    };
    if made.level != Level::Ok {
        return renamed(made, entry.id, entry.title);
    }
    let means = "no process in a sandbox is anybody but the user who made it; each sandbox has namespaces of its own";
    if ids.level == Level::Ok {
        entry.ok(format!("nested, with {}", ids.found), means)
    } else {
        entry.degraded(
            format!("nested, with one id: {}", ids.found),
            format!("{means}; inside all are root, so users of one sandbox are not apart from each other"),
            ids.fix,
        )
    }
}

fn filters(available: bool, actions: &str) -> Check {
    let entry = Entry {
        id: "layer-seccomp",
        title: "System call filter",
    };
    let has = |action: &str| actions.split_ascii_whitespace().any(|word| word == action);
    if !available {
        entry.missing(
            "no seccomp filters",
            "every sandbox has a filter, and none can be installed: nothing runs",
            "sudo apt install linux-image-$(dpkg --print-architecture) && sudo reboot".to_owned(),
        )
    } else if actions.is_empty() || has("user_notif") {
        entry.ok(
            "allowlist",
            "calls outside the list of the profile do not reach the kernel's code",
        )
    } else {
        entry.degraded(
            "allowlist, without user notification (Linux 5.0)",
            "the profile is in force; `--security-opt seccomp=log` is not to be had",
            "sudo apt update && sudo apt full-upgrade && sudo reboot".to_owned(),
        )
    }
}

fn landlock(abi: u32) -> Check {
    let entry = Entry {
        id: "layer-landlock",
        title: "Landlock",
    };
    let found = LandlockInForce::of(&LandlockSpec::default(), abi, true);
    if abi == 0 {
        return entry.degraded(
            "not in this kernel, or switched off",
            "lists of paths and ports cannot be had; the other layers hold",
            super::add_kernel_argument("landlock", "lsm=landlock,$(cat /sys/kernel/security/lsm)"),
        );
    }
    if found.missing.is_empty() {
        return entry.ok(
            format!("ABI {abi}"),
            "a second wall around files, TCP ports, abstract sockets and signals",
        );
    }
    entry.degraded(
        format!("ABI {abi}, lacks {}", found.missing.join(" ")),
        "in force as far as it goes; what it lacks is left to the other layers",
        "sudo apt update && sudo apt full-upgrade && sudo reboot  # a later kernel has a later ABI"
            .to_owned(),
    )
}

fn no_new_privileges(works: bool) -> Check {
    let entry = Entry {
        id: "layer-no-new-privs",
        title: "no_new_privs",
    };
    if works {
        entry.ok(
            "set on every process inside",
            "setuid programs and file capabilities give nothing",
        )
    } else {
        entry.missing(
            "the kernel does not set it",
            "filters cannot be installed without it: nothing runs",
            "sudo apt update && sudo apt full-upgrade && sudo reboot".to_owned(),
        )
    }
}

fn mounts(kernel: Option<(u32, u32)>) -> Check {
    let entry = Entry {
        id: "layer-mounts",
        title: "Mounts",
    };
    let means = "a root of its own; /proc masked, /sys a short list, devices and masks read-only, nosuid and nodev everywhere; \
                 mountinfo names no path of the host that the spec does not name";
    match kernel {
        Some(version) if version >= NEW_OVERLAY => entry.ok("all hardened", means),
        Some(version) if version >= (5, 12) => entry.ok(
            "all hardened; layers by links, because overlay takes one string before Linux 6.5",
            means,
        ),
        _ => entry.missing(
            "mount_setattr(2) is not there (Linux 5.12)",
            "mounts cannot be hardened: nothing runs",
            "sudo apt update && sudo apt full-upgrade && sudo reboot".to_owned(),
        ),
    }
}

fn sealed_program(memfd_noexec: Option<u64>) -> Check {
    let entry = Entry {
        id: "layer-sealed-program",
        title: "Sealed program",
    };
    if memfd_noexec.is_some_and(|value| value >= NOTHING_FROM_MEMORY) {
        entry.degraded(
            format!("vm.memfd_noexec = {}", memfd_noexec.unwrap_or_default()),
            "keeper and init run from their own file instead of a copy in memory that nobody can write",
            super::set_sysctl(&[("vm.memfd_noexec", 1)]),
        )
    } else {
        entry.ok(
            "keeper and init run from a sealed copy in memory",
            "nothing inside can overwrite what the next sandbox is made by",
        )
    }
}

/// Shedbox needs no profile; this says what there is beside it.
fn apparmor(modules: &str, profile: &str) -> Check {
    let entry = Entry {
        id: "layer-lsm",
        title: "Security modules",
    };
    let list = modules.trim();
    let found = if list.is_empty() {
        "the list is not readable here".to_owned()
    } else {
        list.replace(',', " ")
    };
    let found = match profile {
        "" | "unconfined" => found,
        profile => format!("{found}; this program runs under the AppArmor profile {profile}"),
    };
    entry.ok(
        found,
        "what they forbid to this user they forbid inside as well; shedbox needs none of them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: Level, found: &str) -> Check {
        Entry {
            id: "x",
            title: "x",
        }
        .at(
            level,
            found,
            "x",
            (level != Level::Ok).then(|| "fix".to_owned()),
        )
    }

    #[test]
    fn layers() {
        let ok = || check(Level::Ok, "65536 ids");
        assert_eq!(user_namespaces(ok(), ok()).level, Level::Ok);
        let single = user_namespaces(ok(), check(Level::Degraded, "no range"));
        assert_eq!(
            (single.level, single.fix.as_deref()),
            (Level::Degraded, Some("fix"))
        );
        let none = user_namespaces(check(Level::Missing, "EPERM"), ok());
        assert_eq!((none.level, none.id), (Level::Missing, "layer-namespaces"));

        assert_eq!(filters(true, "kill errno user_notif\n").level, Level::Ok);
        assert_eq!(filters(true, "kill errno\n").level, Level::Degraded);
        assert_eq!(filters(false, "").level, Level::Missing);

        let old = landlock(2);
        assert_eq!(old.level, Level::Degraded);
        assert!(
            old.found.starts_with("ABI 2, lacks truncate ioctl_dev"),
            "{}",
            old.found
        );
        assert_eq!(landlock(0).level, Level::Degraded);
        assert_eq!(
            landlock(shedbox_spec::landlock::NEWEST_ABI).level,
            Level::Ok
        );

        assert_eq!(mounts(Some((6, 1))).level, Level::Ok);
        assert_eq!(mounts(Some((5, 10))).level, Level::Missing);
        assert_eq!(mounts(None).level, Level::Missing);
        assert_eq!(sealed_program(Some(2)).level, Level::Degraded);
        assert_eq!(sealed_program(Some(1)).level, Level::Ok);
        assert_eq!(sealed_program(None).level, Level::Ok);
        assert!(
            apparmor("capability,apparmor\n", "shedbox (unconfined)")
                .found
                .contains("profile shedbox")
        );
    }
}
