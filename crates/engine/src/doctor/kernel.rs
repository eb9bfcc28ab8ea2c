//! The kernel itself: version, seccomp, Landlock.

use shedbox_linux::{probe, seccomp};
use shedbox_spec::landlock::{LandlockInForce, LandlockSpec, PORTS_ABI};

use super::proc_files::{kernel_version, read};
use super::{Check, Entry, add_kernel_argument};

/// The oldest kernel that has every call a sandbox is built with: mount_setattr(2) is the youngest of them.
const OLDEST: (u32, u32) = (5, 12);

pub(super) fn checks() -> Vec<Check> {
    vec![
        version(&read("/proc/sys/kernel/osrelease").unwrap_or_default()),
        filters(seccomp::available()),
        landlock(probe::landlock_abi()),
    ]
}

fn version(release: &str) -> Check {
    let entry = Entry {
        id: "kernel",
        title: "Linux kernel",
    };
    let found = release.trim();
    match kernel_version(found) {
        Some(version) if version >= OLDEST => {
            entry.ok(found, "it has every call that sandboxes are built with")
        }
        _ => entry.missing(
            if found.is_empty() {
                "unknown version"
            } else {
                found
            },
            format!(
                "sandboxes need Linux {}.{}: overlay in user namespaces with userxattr (5.11) and mount_setattr (5.12)",
                OLDEST.0, OLDEST.1
            ),
            "sudo apt update && sudo apt full-upgrade && sudo reboot".to_owned(),
        ),
    }
}

fn filters(available: bool) -> Check {
    let entry = Entry {
        id: "seccomp",
        title: "System call filters",
    };
    if available {
        entry.ok(
            "seccomp filters",
            "calls that cross a reset or a sandbox are refused",
        )
    } else {
        entry.missing(
            "no seccomp filters",
            "every sandbox has a filter of system calls, and this kernel (CONFIG_SECCOMP_FILTER) or the container around \
             it does not allow one",
            "sudo apt install linux-image-$(dpkg --print-architecture) && sudo reboot".to_owned(),
        )
    }
}

fn landlock(abi: u32) -> Check {
    let entry = Entry {
        id: "landlock",
        title: "Landlock",
    };
    match abi {
        0 => entry.degraded(
            "not in this kernel, or switched off",
            "rules on paths inside a sandbox cannot be set; mounts, ids and the filter still hold",
            add_kernel_argument("landlock", "lsm=landlock,$(cat /sys/kernel/security/lsm)"),
        ),
        1..3 => entry.degraded(
            format!("ABI {abi}"),
            "rules on paths are in force but for renames across directories (ABI 2, Linux 5.19) or truncation (ABI 3, 6.2)",
            "sudo apt update && sudo apt full-upgrade && sudo reboot".to_owned(),
        ),
        _ => {
            let missing = LandlockInForce::of(&LandlockSpec::default(), abi, true).missing;
            let mut means = "rules on paths can be set".to_owned();
            if abi >= PORTS_ABI {
                means.push_str(", and on TCP ports");
            }
            if !missing.is_empty() {
                means.push_str("; a newer kernel adds ");
                means.push_str(&missing.join(", "));
            }
            entry.ok(format!("ABI {abi}"), means)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn levels() {
        for (release, level) in [
            ("6.18.0-1-amd64\n", Level::Ok),
            ("5.12.0", Level::Ok),
            ("5.11.22", Level::Missing),
            ("4.19.0-27-amd64", Level::Missing),
            ("", Level::Missing),
        ] {
            assert_eq!(version(release).level, level, "{release}");
        }
        assert_eq!(filters(true).level, Level::Ok);
        assert_eq!(filters(false).level, Level::Missing);
        assert_eq!(landlock(0).level, Level::Degraded);
        assert_eq!(landlock(2).level, Level::Degraded);
        assert_eq!(landlock(7).level, Level::Ok);
        assert_eq!(
            landlock(7).means,
            "rules on paths can be set, and on TCP ports; a newer kernel adds resolve_unix"
        );
        assert_eq!(
            landlock(10).means,
            "rules on paths can be set, and on TCP ports"
        );
        assert_eq!(
            landlock(0).fix.unwrap(),
            "echo \"GRUB_CMDLINE_LINUX=\\\"\\$GRUB_CMDLINE_LINUX lsm=landlock,$(cat /sys/kernel/security/lsm)\\\"\" | sudo \
             tee /etc/default/grub.d/landlock.cfg && sudo update-grub && sudo reboot"
        );
    }
}
