//! The walls of the gateway itself. Everything that sandboxes send to names, proxies and the packet log is read in this
//! process; what it does not need once it is set up, it gives away.
//!
//! All of it holds for the calling thread and for threads that this one starts: each of the two first threads goes through
//! here, before there are others. In this order: capabilities but two, no_new_privs, Landlock, seccomp.
//!
//! What stays: sockets of the host's and of its own network namespace, the firewall and interfaces of the latter, the
//! network namespaces that the daemon hands in, and the audit log. pasta is started by another process ([`crate::starter`]).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use shedbox_linux::refusal::{self, Refusal, calls, flags};
use shedbox_linux::{process, seccomp};
use shedbox_spec::Error;
use shedbox_spec::capability::{self, Capability};

/// The firewall, interfaces and routes; and entering a sandbox's network namespace.
const KEPT: [Capability; 2] = [Capability::NetAdmin, Capability::SysAdmin];
/// The newest Landlock whose rights are known here; older kernels enforce what they have.
const LANDLOCK: ABI = ABI::V6;
/// Families of sockets: the internet, and the kernel's network.
const FAMILIES: [u32; 3] = [flags::INET, flags::INET6, flags::NETLINK];
/// Where `/etc/resolv.conf` may come to lead while the gateway runs.
const RESOLVERS: [&str; 4] = [
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/connman",
];

/// What this kernel could not give.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) landlock: bool,
    pub(crate) seccomp: bool,
}

impl Missing {
    /// Says so; for one of the threads, since it is the same for all.
    pub(crate) fn tell(&self) {
        if self.landlock {
            tracing::info!(
                "the gateway runs without Landlock, or with less of it than there is: the kernel does not have it (Linux 6.12)"
            );
        }
        if self.seccomp {
            tracing::info!("the gateway runs without a system call filter: the kernel has none");
        }
    }
}

/// Restricts this thread and those that it starts. `audit` is the log, whose directory is there.
pub(crate) fn enter(audit: &Path) -> Result<Missing, Error> {
    let keep = capability::set(&KEPT);
    let failed = |what: &str, errno| Error::internal(format!("cannot {what}: {errno}"));
    process::limit_bounding_set(keep).map_err(|errno| failed("limit capabilities", errno))?;
    process::set_capabilities(keep).map_err(|errno| failed("give up capabilities", errno))?;
    process::no_new_privileges().map_err(|errno| failed("refuse privileges", errno))?;
    let landlock = domain(audit)
        .map_err(|error| Error::internal(format!("cannot enter a Landlock domain: {error}")))?;
    let seccomp = if seccomp::available() {
        refusal::compile(&refusals())
            .and_then(|filter| seccomp::install(&filter))
            .map_err(|errno| failed("put a system call filter in force", errno))?;
        false
    } else {
        true
    };
    Ok(Missing { landlock, seccomp })
}

/// Enters the domain; true when the kernel enforces less of it than is asked for.
fn domain(audit: &Path) -> Result<bool, RulesetError> {
    let log = AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let read: BitFlags<AccessFs> = AccessFs::ReadFile.into();
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    let places = audit
        .parent()
        .map(|dir| (dir.to_owned(), log))
        .into_iter()
        .chain(readable().into_iter().map(|path| (path, read)));
    for (path, rights) in places {
        // What is not there needs no rule.
        if let Ok(fd) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(fd, rights))?;
        }
    }
    // Done by the caller, whatever the kernel has.
    let status = ruleset.no_new_privs(false).restrict_self()?;
    Ok(status.ruleset != RulesetStatus::FullyEnforced)
}

/// Directories of `/etc/resolv.conf`, which is read again when it changes.
fn readable() -> Vec<PathBuf> {
    let target = std::fs::canonicalize("/etc/resolv.conf").ok();
    let linked = target.and_then(|file| Some(file.parent()?.to_owned()));
    let known = RESOLVERS.iter().map(PathBuf::from);
    // Not the root of anything: that would be everything.
    let narrow = |dir: &PathBuf| dir.components().count() > 2;
    [PathBuf::from("/etc")]
        .into_iter()
        .chain(linked.filter(narrow))
        .chain(known)
        .collect()
}

/// Calls that a gateway makes no more.
fn refusals() -> Vec<Refusal> {
    let only = |call, argument, mask, values: &[u32]| Refusal::Unless {
        call,
        argument,
        mask,
        values: values.to_vec(),
    };
    let mut all: Vec<_> = NEVER
        .iter()
        .chain(calls::ONLY_HERE)
        .map(|call| Refusal::Call(*call))
        .collect();
    all.extend([
        // Threads, and no process; in the namespaces that there are. Flags behind a pointer cannot be looked at.
        Refusal::Absent(calls::CLONE3),
        only(
            calls::CLONE,
            0,
            flags::THREAD | flags::NAMESPACES,
            &[flags::THREAD],
        ),
        // A sandbox's network, and no other namespace.
        only(calls::SETNS, 1, u32::MAX, &[flags::NETWORK_NAMESPACE]),
        // No path socket of the host: its message bus starts programs. Those of the daemon are open.
        only(calls::SOCKET, 0, u32::MAX, &FAMILIES),
        // The runtime makes one; connected streams lead nowhere else.
        only(calls::SOCKETPAIR, 1, 0xf, &[flags::STREAM]),
        // Its own threads alone: what abort(3) does.
        only(calls::TGKILL, 0, u32::MAX, &[std::process::id()]),
        only(calls::PRLIMIT64, 0, u32::MAX, &[0]),
    ]);
    all
}

/// In groups: programs, other processes, mounts, the kernel, keys, rings that no filter sees, owners and marks of files
/// (Landlock does not hold those), clocks and names.
const NEVER: &[i64] = &[
    calls::EXECVE,
    calls::EXECVEAT,
    calls::PTRACE,
    calls::PROCESS_VM_READV,
    calls::PROCESS_VM_WRITEV,
    calls::PROCESS_MADVISE,
    calls::PIDFD_GETFD,
    calls::PIDFD_SEND_SIGNAL,
    calls::KILL,
    calls::TKILL,
    calls::RT_SIGQUEUEINFO,
    calls::RT_TGSIGQUEUEINFO,
    calls::KCMP,
    calls::UNSHARE,
    calls::PERSONALITY,
    calls::MOUNT,
    calls::UMOUNT2,
    calls::PIVOT_ROOT,
    calls::CHROOT,
    calls::MOVE_MOUNT,
    calls::OPEN_TREE,
    calls::OPEN_TREE_ATTR,
    calls::FSOPEN,
    calls::FSCONFIG,
    calls::FSMOUNT,
    calls::FSPICK,
    calls::MOUNT_SETATTR,
    calls::NAME_TO_HANDLE_AT,
    calls::OPEN_BY_HANDLE_AT,
    calls::BPF,
    calls::PERF_EVENT_OPEN,
    calls::USERFAULTFD,
    calls::INIT_MODULE,
    calls::FINIT_MODULE,
    calls::DELETE_MODULE,
    calls::KEXEC_LOAD,
    calls::KEXEC_FILE_LOAD,
    calls::REBOOT,
    calls::SWAPON,
    calls::SWAPOFF,
    calls::ACCT,
    calls::QUOTACTL,
    calls::QUOTACTL_FD,
    calls::SYSLOG,
    calls::ADD_KEY,
    calls::REQUEST_KEY,
    calls::KEYCTL,
    calls::IO_URING_SETUP,
    calls::IO_URING_ENTER,
    calls::IO_URING_REGISTER,
    calls::FCHMOD,
    calls::FCHMODAT,
    calls::FCHMODAT2,
    calls::FCHOWN,
    calls::FCHOWNAT,
    calls::SETXATTR,
    calls::LSETXATTR,
    calls::FSETXATTR,
    calls::SETXATTRAT,
    calls::REMOVEXATTR,
    calls::LREMOVEXATTR,
    calls::FREMOVEXATTR,
    calls::REMOVEXATTRAT,
    calls::UTIMENSAT,
    calls::MKNODAT,
    calls::SYMLINKAT,
    calls::SETTIMEOFDAY,
    calls::CLOCK_SETTIME,
    calls::CLOCK_ADJTIME,
    calls::ADJTIMEX,
    calls::SETHOSTNAME,
    calls::SETDOMAINNAME,
];

#[cfg(test)]
#[path = "confine_tests.rs"]
mod tests;
