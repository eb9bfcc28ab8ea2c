//! The keeper: one thread that clones generations, and nothing else.
//!
//! It is small because every generation starts as a copy of it, and it holds no state that a daemon would miss: what a
//! generation needs comes with the request, and what came of it goes back as a pidfd. It outlives the daemon, because
//! it is what keeps the user namespace for the next one, and leaves when it has neither a daemon nor a generation.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use shedbox_linux::clone::{self, Child, Side, Stack};
use shedbox_linux::errno::Context;
use shedbox_linux::seqpacket::{self, Frame, SeqPacket};
use shedbox_linux::served::Served;
use shedbox_linux::{cgroupns, fd, path, pidfd, process, userns};
use shedbox_spec::control::{Failure, INIT_LEAF, KeeperReply, KeeperRequest, PROTOCOL_VERSION};
use shedbox_spec::generation::GenerationSpec;
use shedbox_spec::network::NetworkNamespace;

use crate::failure::{Staged, failure};
use crate::init;

/// Number of the listening socket that the daemon gives to the keeper.
pub const LISTENER_FD: i32 = 3;

/// Stage of what has to do with cgroups: a daemon that can do without one tries again without.
const CGROUP: &str = "cgroup";
/// Joining the network of another sandbox.
const NETWORK: &str = "network";

/// How long a child that has nothing left to do may take to leave its cgroup.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// Time between looks at whether the keeper is still needed.
const IDLE_CHECK: Duration = Duration::from_secs(2);

/// Runs the keeper until it is no longer needed. Returns the exit status.
///
/// Descriptor 3 is the listening socket.
pub fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(error) => {
            // The daemon gave us its log as standard error; there is nobody else to tell.
            #[expect(clippy::print_stderr, reason = "the keeper's only way to report")]
            {
                eprintln!("shedbox-keeper: {} => {}", error.call, error.errno);
            }
            1
        }
    }
}

fn run() -> Result<(), Failure> {
    let stage = "keeper";
    process::not_dumpable()
        .call("prctl", || "PR_SET_DUMPABLE".into())
        .stage(stage)?;
    process::without_privileges_of_parent()
        .call("process attributes", || "of the daemon".into())
        .stage(stage)?;
    process::set_name(c"shedbox-keeper")
        .call("prctl", || "PR_SET_NAME".into())
        .stage(stage)?;
    // Login keys of the user must not be reachable from generations. One keyring for all of them: the kernel allows a
    // user only 200 keys, and the keyring calls are closed inside.
    match process::new_session_keyring() {
        Ok(()) | Err(process::Errno::ENOSYS) => {}
        Err(errno) => {
            return Err(errno)
                .call("keyctl", || "JOIN_SESSION_KEYRING".into())
                .stage(stage);
        }
    }
    process::reap_automatically()
        .call("signal", || "SIGCHLD".into())
        .stage(stage)?;
    let listener = fd::adopt_listener(LISTENER_FD).stage(stage)?;
    let mut stack = Stack::new(256 << 10).stage(stage)?;
    let mut clients = Served::new(listener);
    loop {
        let alone = clients
            .wait(IDLE_CHECK, |connection| serve(connection, &mut stack))
            .stage(stage)?;
        if alone && matches!(process::reap(false), Err(process::Errno::ECHILD)) {
            return Ok(());
        }
    }
}

/// Serves one request; false when the connection is of no more use.
fn serve(connection: &SeqPacket, stack: &mut Stack) -> bool {
    let Ok(Some(frame)) = connection.recv() else {
        return false;
    };
    let (reply, descriptor) = answer(frame, stack);
    let Ok(text) = serde_json::to_vec(&reply) else {
        return false;
    };
    let fds: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
    connection.send(&text, &fds).is_ok()
}

fn answer(frame: Frame, stack: &mut Stack) -> (KeeperReply, Option<OwnedFd>) {
    let request = match serde_json::from_slice(&frame.bytes) {
        Ok(request) => request,
        Err(error) => {
            return (
                KeeperReply::Failed(failure("request", error.to_string(), 0)),
                None,
            );
        }
    };
    match request {
        KeeperRequest::Hello => match userns::own() {
            Ok(namespace) => (
                KeeperReply::Hello {
                    version: PROTOCOL_VERSION,
                    pid: std::process::id() as i32,
                },
                Some(namespace),
            ),
            Err(error) => (
                KeeperReply::Failed(failure("hello", error.to_string(), error.errno as i32)),
                None,
            ),
        },
        KeeperRequest::CgroupNamespace => match cgroup_namespace(&frame.fds, stack) {
            Ok(namespace) => (KeeperReply::Namespace, Some(namespace)),
            Err(failure) => (KeeperReply::Failed(failure), None),
        },
        KeeperRequest::Spawn {
            spec,
            cgroup,
            join,
            join_network,
        } => {
            match Order::read(*spec, cgroup, [join, join_network], frame.fds)
                .and_then(|order| order.spawn(stack))
            {
                Ok(child) => (KeeperReply::Spawned { pid: child.pid }, Some(child.pidfd)),
                Err(failure) => (KeeperReply::Failed(failure), None),
            }
        }
    }
}

/// A child makes the namespace from inside the cgroup and is gone again: the kernel gives controllers to the children
/// of a cgroup only while no process is in it.
fn cgroup_namespace(fds: &[OwnedFd], stack: &mut Stack) -> Result<OwnedFd, Failure> {
    let [cgroup] = fds else {
        return Err(descriptors(fds.len(), 1));
    };
    let mut made = None;
    let child = clone::borrow_process(stack, true, Some(cgroup.as_fd()), &mut || {
        made = Some(cgroupns::unshare());
        0
    })
    .stage(CGROUP)?;
    pidfd::wait(child.pidfd.as_fd(), Some(LEAVES_WITHIN)).stage(CGROUP)?;
    made.ok_or_else(|| failure(CGROUP, "clone".to_owned(), 0))?
        .stage(CGROUP)
}

/// A request to clone, taken apart.
struct Order {
    spec: GenerationSpec,
    handed: init::Handed,
    /// Leaf that init is born in, and the namespace it sees cgroups from.
    cgroup: Option<(OwnedFd, OwnedFd)>,
    /// A living init whose user and network namespaces are shared.
    live: Option<OwnedFd>,
    /// The init of another sandbox whose network namespace is shared.
    neighbour: Option<OwnedFd>,
}

impl Order {
    fn read(
        spec: GenerationSpec,
        cgroup: bool,
        [join, join_network]: [bool; 2],
        fds: Vec<OwnedFd>,
    ) -> Result<Self, Failure> {
        let expected = 3 + 2 * usize::from(cgroup) + usize::from(join) + usize::from(join_network);
        let count = fds.len();
        let wrong = || descriptors(count, expected);
        if count != expected {
            return Err(wrong());
        }
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or_else(wrong);
        let (control, listener, log) = (next()?, next()?, next()?);
        let (directory, cgroup) = if cgroup {
            let directory = next()?;
            let leaf = path::open_dir_at(&directory, INIT_LEAF).stage(CGROUP)?;
            (Some(directory), Some((leaf, next()?)))
        } else {
            (None, None)
        };
        let live = if join { Some(next()?) } else { None };
        let neighbour = if join_network { Some(next()?) } else { None };
        Ok(Self {
            spec,
            handed: init::Handed {
                control: control.into(),
                listener,
                log,
                mapped: None,
                cgroup: directory,
            },
            cgroup,
            live,
            neighbour,
        })
    }

    /// Clones init. The first generation of a sandbox gets new user and network namespaces, which a further one joins.
    ///
    /// A process can neither join the namespaces of another one and clone into new ones, nor be born in a cgroup below
    /// a namespace that it does not see yet, in one step: then a vfork child goes first, and clones init with
    /// CLONE_PARENT, so that init is the keeper's own child.
    fn spawn(self, stack: &mut Stack) -> Result<Child, Failure> {
        let Self {
            spec,
            mut handed,
            cgroup,
            live,
            neighbour,
        } = self;
        let network = spec.network != NetworkNamespace::Host;
        let mut flags = clone::NEWNS | clone::NEWPID | clone::NEWIPC | clone::NEWUTS;
        if cgroup.is_none() {
            flags |= clone::NEWCGROUP;
        }
        let mut map = None;
        if live.is_none() {
            flags |= clone::NEWUSER;
            if spec.network == NetworkNamespace::Own {
                flags |= clone::NEWNET;
            }
            let (read, write) = fd::pipe().stage("namespaces")?;
            handed.mapped = Some(read);
            let ids = (
                spec.uid_map.clone(),
                spec.gid_map.clone(),
                spec.deny_setgroups,
            );
            map = Some((write, ids));
        }
        let child = if cgroup.is_none() && live.is_none() && neighbour.is_none() {
            fork_init(flags, &mut Some((spec, handed)))?
        } else {
            let mut parts = Some((spec, handed));
            let mut outcome = Err(failure("namespaces", "clone".to_owned(), 0));
            let mut within = || {
                if let Some((_, namespace)) = &cgroup {
                    cgroupns::join(namespace.as_fd()).stage(CGROUP)?;
                }
                if let Some(live) = &live {
                    userns::join_user_and_network(live.as_fd(), network).stage("namespaces")?;
                }
                if let Some(neighbour) = &neighbour {
                    userns::join_network(neighbour.as_fd()).stage(NETWORK)?;
                }
                fork_init(flags | clone::PARENT, &mut parts)
            };
            let mut first = || {
                outcome = within();
                0
            };
            let leaf = cgroup.as_ref().map(|(leaf, _)| leaf.as_fd());
            let stage = leaf.map_or("namespaces", |_| CGROUP);
            clone::borrow_process(stack, true, leaf, &mut first).stage(stage)?;
            outcome?
        };
        if let Some((write, (uids, gids, deny_setgroups))) = map {
            let mapped = userns::write_nested_maps(child.pid, &uids, &gids, deny_setgroups)
                .and_then(|()| fd::write_all(&write, b"m"))
                .stage("id map");
            if let Err(failure) = mapped {
                let _ = pidfd::kill(child.pidfd.as_fd()); // it ends by itself at the closed pipe as well
                return Err(failure);
            }
        }
        Ok(child)
    }
}

/// In the child this is where init begins; it closes what it was not handed.
fn fork_init(
    flags: u64,
    parts: &mut Option<(GenerationSpec, init::Handed)>,
) -> Result<Child, Failure> {
    match clone::fork_into(flags).stage("namespaces")? {
        Side::Child => match parts.take() {
            Some((spec, handed)) => init::run(spec, handed),
            None => clone::exit_now(1),
        },
        Side::Parent(child) => Ok(child),
    }
}

fn descriptors(count: usize, expected: usize) -> Failure {
    failure(
        "request",
        format!("{count} descriptors instead of {expected}"),
        0,
    )
}

/// Runs the keeper on a listener at `path`: for tests and for a host without memfd execution.
pub fn listen(path: &Path) -> Result<OwnedFd, Failure> {
    seqpacket::listen(path).stage("keeper")
}
