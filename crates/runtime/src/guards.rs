//! Limits that hold without a cgroup, on every sandbox: what one of them can take from the others of the same user.
//!
//! Since Linux 5.14 the kernel counts processes, queued signals, message queues and locked memory of each user namespace
//! by itself, so a sandbox that runs into one of these limits leaves its neighbours alone. What init sets once on itself
//! passes to every command; what would hinder init (it must be able to start a command in a sandbox that is full)
//! each command sets on itself. A ulimit that was asked for takes the place of a guard.

use shedbox_linux::process::{self, Errno};
use shedbox_spec::control::Failure;
use shedbox_spec::generation::GenerationSpec;
use shedbox_spec::ulimit::{Resource, Ulimit};

use crate::failure::failure;

/// The kernel does not count below this by user namespace: a limit on processes would count all sandboxes of the user
/// and their other processes together.
const COUNTS_BY_NAMESPACE: (u32, u32) = (5, 14);
/// Smallest value that the kernel takes for `pid_max`.
const PID_MAX_MIN: u64 = 301;
/// Pids below this are given out only once, so they do not count as room.
const RESERVED_PIDS: u64 = 300;
/// The limit of the sandbox's own cgroup, where the rootfs shows it.
const PIDS_MAX: &str = "/sys/fs/cgroup/pids.max";
/// Room for what init starts itself while the sandbox is full.
const PIDS_OF_INIT: u64 = 32;

/// Hard and soft limits of a sandbox, at most; the host's own hard limit when that is lower.
///
/// A core size of one byte is not zero on purpose: core(5) has the kernel ignore the limit when `core_pattern` names a
/// program, which would run on the host, outside of the sandbox, with what a process inside has prepared for it. Only the
/// value 1 stops it, and is too small for a file as well.
const CEILINGS: &[(Resource, u64)] = &[
    (Resource::Core, 1),
    (Resource::Nofile, 1 << 20),
    (Resource::Memlock, 8 << 20),
    (Resource::Msgqueue, 819_200),
    (Resource::Sigpending, 32_768),
];

/// Bounds the number of processes and threads of this pid namespace: Linux 6.14, where `pid_max` belongs to it. Unlike
/// RLIMIT_NPROC this counts all users of the sandbox together, and the host's root too. /proc is the namespace's own,
/// and may be written still.
pub(crate) fn bound_pids(spec: &GenerationSpec) {
    let Some(pids) = spec.pids else { return };
    if kernel() < (6, 14) {
        return; // there it is the whole host's, and refused anyway
    }
    let most = (pids + RESERVED_PIDS + PIDS_OF_INIT).clamp(PID_MAX_MIN, 4 << 20);
    // Refused: RLIMIT_NPROC is what is left.
    let _ = std::fs::write("/proc/sys/kernel/pid_max", most.to_string());
}

/// Sets on init what every command is to inherit.
pub(crate) fn hold(spec: &GenerationSpec) -> Result<(), Failure> {
    let asked = |resource| spec.ulimits.iter().any(|asked| asked.resource == resource);
    for (resource, most) in CEILINGS.iter().filter(|(resource, _)| !asked(*resource)) {
        lower(*resource, *most).map_err(|errno| {
            failure(
                "limits",
                format!("prlimit({})", resource.as_str()),
                errno as i32,
            )
        })?;
    }
    Ok(())
}

fn lower(resource: Resource, most: u64) -> Result<(), Errno> {
    let (soft, hard) = process::limit_of(0, resource as u32)?;
    // Cores: the soft limit counts, and 0 is not less than 1 (see above).
    let soft = if resource == Resource::Core {
        most
    } else {
        soft
    };
    // Descriptors in flight in sockets are counted for all processes of a user and held against each one's own limit:
    // the other half is left to the clients, the keeper and the daemon (see `seqpacket`).
    let most = if resource == Resource::Nofile {
        most.min(hard / 2)
    } else {
        most
    };
    let hard = hard.min(most);
    process::set_limit(resource as u32, soft.min(hard), hard)
}

/// What each command sets on itself: the guards that init must not have, then what was asked for.
pub(crate) fn of_commands(spec: &GenerationSpec) -> Vec<Ulimit> {
    // A cgroup that counts them counts better, and says that it has refused one.
    let counted = spec.cgroup.is_some() && std::fs::exists(PIDS_MAX).unwrap_or(false);
    let pids = spec
        .pids
        .filter(|_| !counted && kernel() >= COUNTS_BY_NAMESPACE);
    let guards = [
        // Init is one of them.
        (Resource::Nproc, pids.map(|pids| pids + 1)),
        (Resource::As, spec.address_space),
    ];
    commands(&spec.ulimits, guards, |resource| {
        process::limit_of(0, resource as u32).map_or(u64::MAX, |(_, hard)| hard)
    })
}

fn commands(
    asked: &[Ulimit],
    guards: [(Resource, Option<u64>); 2],
    hard: impl Fn(Resource) -> u64,
) -> Vec<Ulimit> {
    guards
        .into_iter()
        .filter(|(resource, _)| !asked.iter().any(|asked| asked.resource == *resource))
        .filter_map(|(resource, most)| {
            let most = most?.min(hard(resource));
            Some(Ulimit {
                resource,
                soft: most,
                hard: most,
            })
        })
        .chain(asked.iter().cloned())
        .collect()
}

/// Version of the running kernel; (0, 0) when it does not say.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version(&release).unwrap_or_default()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|byte: char| !byte.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.1.0-18-amd64\n"), Some((6, 1)));
        assert_eq!(version("5.14"), Some((5, 14)));
        assert_eq!(version("none"), None);
    }

    #[test]
    fn what_was_asked_for_takes_the_place_of_a_guard() {
        let text = |ulimits: &[&str], pids, space, hard: u64| {
            let asked: Vec<Ulimit> = ulimits
                .iter()
                .map(|text| Ulimit::parse(text).unwrap())
                .collect();
            commands(
                &asked,
                [(Resource::Nproc, pids), (Resource::As, space)],
                |_| hard,
            )
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
        };
        assert_eq!(text(&[], None, None, u64::MAX), "");
        assert_eq!(text(&[], Some(101), None, u64::MAX), "nproc=101:101");
        assert_eq!(
            text(&["nofile=5:6"], Some(101), Some(4096), u64::MAX),
            "nproc=101:101 as=4096:4096 nofile=5:6"
        );
        assert_eq!(text(&["nproc=7"], Some(101), None, u64::MAX), "nproc=7:7");
        assert_eq!(text(&[], Some(101), None, 50), "nproc=50:50");
    }
}
