//! The Landlock domain of a generation. Source: landlock(7).
//!
//! Init enters it once, when its rootfs stands, and every command inherits it: an exec costs nothing. All processes of a
//! generation share one domain, so that they may signal each other and speak through abstract sockets, and nothing
//! outside may be reached by either. Init itself lives in it too: what it needs of the host later (the directory of the
//! log, its cgroup) it holds open, and each such directory gets a rule. Commands have no descriptor of them.
//!
//! A domain that handles files forbids every mount, also one in a new namespace. Init mounts nothing from here on. Where
//! programs are to mount (`mounts_inside`), files are left out of the domain.

use std::os::fd::{AsFd, BorrowedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    RestrictSelfAttr, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use shedbox_linux::inroot::{self, OFlags};
use shedbox_linux::{mount, probe};
use shedbox_spec::control::Failure;
use shedbox_spec::landlock::{LandlockInForce, LandlockSpec};

use crate::failure::{Staged, failure};

const STAGE: &str = "landlock";

/// What programs need to start and to know themselves, whatever the lists say. Read and write; nothing can be made here.
const ALWAYS: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/pts",
    "/proc",
];

/// POSIX message queues.
const QUEUES: &str = "/dev/mqueue";

/// Enters the domain that `spec` asks for. `own` are directories that init itself goes on using.
pub(crate) fn enter(
    spec: &LandlockSpec,
    mounts_inside: bool,
    own: &[BorrowedFd<'_>],
) -> Result<LandlockInForce, Failure> {
    let abi = probe::landlock_abi();
    spec.check(abi)
        .map_err(|error| failure(STAGE, error.message, 0))?;
    let in_force = LandlockInForce::of(spec, abi, spec.handles_files(abi, mounts_inside));
    if !in_force.is_domain() {
        return Ok(in_force);
    }
    let mut domain = Domain::new(abi);
    let root = inroot::open_root().stage(STAGE)?;
    let (opened, queues): (Vec<_>, _);
    if !in_force.files.is_empty() {
        domain.handle_files();
        for dir in own {
            domain.allow(*dir, Reach::All);
        }
        if spec.has_lists() {
            let lists = [(&spec.rw, Reach::All), (&spec.ro, Reach::Read)];
            let named = lists
                .iter()
                .flat_map(|(list, reach)| list.iter().map(|path| (path.as_str(), *reach)));
            let always = ALWAYS.iter().map(|path| (*path, Reach::Use));
            opened = named
                .chain(always)
                .map(|(path, reach)| {
                    let fd = inroot::open_with(&root, path, OFlags::PATH).stage(STAGE)?;
                    Ok((fd, reach))
                })
                .collect::<Result<_, Failure>>()?;
            for (fd, reach) in &opened {
                domain.allow(fd.as_fd(), *reach);
            }
        } else {
            domain.allow(root.as_fd(), Reach::All);
            // mq_open(3) goes through a mount of the kernel's own, which is nowhere beneath the root.
            queues = inroot::open_with(&root, QUEUES, OFlags::PATH).stage(STAGE)?;
            domain.allow(queues.as_fd(), Reach::All);
        }
    }
    domain.tcp_bind = spec.tcp_bind.as_deref();
    domain.tcp_connect = spec.tcp_connect.as_deref();
    domain
        .enter()
        .map_err(|complaint| failure(STAGE, complaint, 0))?;
    Ok(in_force)
}

/// What a rule allows beneath its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything.
    All,
    /// Reading, listing, executing, and connecting to sockets.
    Read,
    /// Reading and writing what is there, devices too, but making or removing nothing.
    Use,
}

impl Reach {
    fn rights(self, abi: ABI) -> BitFlags<AccessFs> {
        let all = AccessFs::from_all(abi);
        match self {
            Self::All => all,
            Self::Read => AccessFs::from_read(abi) | (all & AccessFs::ResolveUnix),
            Self::Use => {
                all & (AccessFs::ReadFile
                    | AccessFs::ReadDir
                    | AccessFs::WriteFile
                    | AccessFs::Truncate
                    | AccessFs::IoctlDev)
            }
        }
    }
}

/// A domain to be entered, with everything that the kernel's ABI offers.
#[derive(Debug)]
pub(crate) struct Domain<'a> {
    abi: ABI,
    files: bool,
    rules: Vec<(BorrowedFd<'a>, Reach)>,
    /// Ports to which TCP sockets may be bound; `None` for all.
    pub(crate) tcp_bind: Option<&'a [u16]>,
    /// Ports to which TCP connections may be made; `None` for all.
    pub(crate) tcp_connect: Option<&'a [u16]>,
}

impl<'a> Domain<'a> {
    /// Nothing but the scopes. `abi` is the kernel's.
    pub(crate) fn new(abi: u32) -> Self {
        Self {
            abi: ABI::from(i32::try_from(abi).unwrap_or(i32::MAX)),
            files: false,
            rules: Vec::new(),
            tcp_bind: None,
            tcp_connect: None,
        }
    }

    /// From here on every use of a file needs a rule.
    pub(crate) fn handle_files(&mut self) {
        self.files = true;
    }

    /// A rule for a directory and everything beneath, or for a file.
    pub(crate) fn allow(&mut self, fd: BorrowedFd<'a>, reach: Reach) {
        self.rules.push((fd, reach));
    }

    /// Puts it in force for this thread and its children, for good. Needs no_new_privs or CAP_SYS_ADMIN.
    pub(crate) fn enter(&self) -> Result<(), String> {
        self.try_enter()
            .map_err(|error| shedbox_spec::error::chain(&error))
    }

    fn try_enter(&self) -> Result<(), RulesetError> {
        let scopes = Scope::from_all(self.abi);
        // What is asked of the crate is what this ABI has: anything less is an error.
        let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        if self.files {
            ruleset = ruleset.handle_access(AccessFs::from_all(self.abi))?;
        }
        if self.tcp_bind.is_some() {
            ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
        }
        if self.tcp_connect.is_some() {
            ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
        }
        if !scopes.is_empty() {
            ruleset = ruleset.scope(scopes)?;
        }
        let mut ruleset = ruleset.create()?;
        for (fd, reach) in &self.rules {
            let mut rights = reach.rights(self.abi);
            // The kernel refuses rights of directories on anything else. A descriptor that cannot be looked at fails
            // in the call itself.
            if !mount::is_directory(fd).unwrap_or(true) {
                rights &= AccessFs::from_file(self.abi);
            }
            ruleset = ruleset.add_rule(PathBeneath::new(fd, rights))?;
        }
        let ports = [
            (self.tcp_bind, AccessNet::BindTcp),
            (self.tcp_connect, AccessNet::ConnectTcp),
        ];
        for (ports, right) in ports {
            for port in ports.unwrap_or_default() {
                ruleset = ruleset.add_rule(NetPort::new(*port, right))?;
            }
        }
        // What programs inside deny themselves is not for the host's audit log.
        if self.abi >= ABI::V7 {
            ruleset = ruleset.log_subdomains(false)?;
        }
        // no_new_privs is for the caller to set: it can be left out by name.
        ruleset.no_new_privs(false).restrict_self()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that are reported are the rights that the crate hands to the kernel.
    #[test]
    fn names_and_rights_agree() {
        for number in 0..=9 {
            let abi = ABI::from(number);
            let named = LandlockInForce::of(&LandlockSpec::default(), number as u32, true);
            assert_eq!(
                AccessFs::from_all(abi).len(),
                named.files.len(),
                "ABI {number}"
            );
            assert_eq!(
                Scope::from_all(abi).len(),
                named.scopes.len(),
                "ABI {number}"
            );
        }
        assert_eq!(
            ABI::from(i32::MAX) as u32,
            shedbox_spec::landlock::NEWEST_ABI
        );
    }

    #[test]
    fn reading_makes_nothing() {
        let making = AccessFs::from_write(ABI::V9) & !AccessFs::ResolveUnix;
        assert!((Reach::Read.rights(ABI::V9) & making).is_empty());
        assert_eq!(Reach::All.rights(ABI::V9), AccessFs::from_all(ABI::V9));
        assert!(!Reach::Use.rights(ABI::V9).contains(AccessFs::MakeReg));
        assert!(!Reach::Use.rights(ABI::V9).contains(AccessFs::Execute));
    }
}
