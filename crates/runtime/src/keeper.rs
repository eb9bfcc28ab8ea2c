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
use shedbox_linux::poll::{Interest, poll};
use shedbox_linux::seqpacket::{self, Frame, SeqPacket};
use shedbox_linux::{fd, pidfd, process, userns};
use shedbox_spec::control::{Failure, KeeperReply, KeeperRequest, PROTOCOL_VERSION};
use shedbox_spec::generation::GenerationSpec;
use shedbox_spec::network::Network;

use crate::failure::{Staged, failure};
use crate::init;

/// Number of the listening socket that the daemon gives to the keeper.
pub const LISTENER_FD: i32 = 3;

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
    let mut connections: Vec<SeqPacket> = Vec::new();
    loop {
        let interests: Vec<Interest<'_>> = std::iter::once(listener.as_fd())
            .chain(connections.iter().map(AsFd::as_fd))
            .map(|fd| Interest {
                fd,
                read: true,
                write: false,
            })
            .collect();
        let seen = poll(&interests, Some(IDLE_CHECK)).stage(stage)?;
        let ready: Vec<usize> = (0..seen.len()).filter(|index| seen[*index].any()).collect();
        if ready.is_empty()
            && connections.is_empty()
            && matches!(process::reap(false), Err(process::Errno::ECHILD))
        {
            return Ok(());
        }
        // From the back, so that removing one does not move those that are still to come.
        for index in ready.into_iter().rev() {
            if index == 0 {
                accept(&listener, &mut connections);
            } else if !serve(&connections[index - 1], &mut stack) {
                connections.swap_remove(index - 1);
            }
        }
    }
}

fn accept(listener: &OwnedFd, connections: &mut Vec<SeqPacket>) {
    // Only the owner's processes may ask: inside our user namespace the owner is uid 0.
    if let Ok(Some(connection)) = seqpacket::accept(listener.as_fd())
        && connection
            .peer()
            .is_ok_and(|(uid, _, _)| uid == process::own_uid())
    {
        connections.push(connection);
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
        KeeperRequest::Spawn { spec, join } => match spawn(*spec, join, frame.fds, stack) {
            Ok(child) => (KeeperReply::Spawned { pid: child.pid }, Some(child.pidfd)),
            Err(failure) => (KeeperReply::Failed(failure), None),
        },
    }
}

fn spawn(
    spec: GenerationSpec,
    join: bool,
    fds: Vec<OwnedFd>,
    stack: &mut Stack,
) -> Result<Child, Failure> {
    let expected = if join { 4 } else { 3 };
    let count = fds.len();
    let mut fds = fds.into_iter();
    let (Some(control), Some(listener), Some(log), joined) =
        (fds.next(), fds.next(), fds.next(), fds.next())
    else {
        return Err(failure(
            "request",
            format!("{count} descriptors instead of {expected}"),
            0,
        ));
    };
    if count != expected {
        return Err(failure(
            "request",
            format!("{count} descriptors instead of {expected}"),
            0,
        ));
    }
    let handed = init::Handed {
        control: control.into(),
        listener,
        log,
        mapped: None,
    };
    match joined {
        None => spawn_first(spec, handed),
        Some(live) => spawn_beside(spec, handed, &live, stack),
    }
}

/// The first generation of a sandbox: new user and network namespaces.
fn spawn_first(spec: GenerationSpec, mut handed: init::Handed) -> Result<Child, Failure> {
    let mut flags = clone::NEWUSER
        | clone::NEWNS
        | clone::NEWPID
        | clone::NEWIPC
        | clone::NEWUTS
        | clone::NEWCGROUP;
    if spec.network == Network::None {
        flags |= clone::NEWNET;
    }
    let (mapped_read, mapped_write) = fd::pipe().stage("namespaces")?;
    handed.mapped = Some(mapped_read);
    match clone::fork_into(flags).stage("namespaces")? {
        Side::Child => {
            drop(mapped_write);
            init::run(spec, handed)
        }
        Side::Parent(child) => {
            let mapped = userns::write_nested_maps(
                child.pid,
                &spec.uid_map,
                &spec.gid_map,
                spec.deny_setgroups,
            )
            .and_then(|()| fd::write_all(&mapped_write, b"m"))
            .stage("id map");
            if let Err(failure) = mapped {
                let _ = pidfd::kill(child.pidfd.as_fd()); // it ends by itself at the closed pipe as well
                return Err(failure);
            }
            Ok(child)
        }
    }
}

/// A further generation: the user and network namespaces of the living one.
///
/// A vfork child enters them and clones init with CLONE_PARENT, so that init is the keeper's own child.
fn spawn_beside(
    spec: GenerationSpec,
    handed: init::Handed,
    live: &OwnedFd,
    stack: &mut Stack,
) -> Result<Child, Failure> {
    let network = spec.network == Network::None;
    let mut parts = Some((spec, handed));
    let mut outcome: Result<Child, Failure> = Err(failure("namespaces", "clone".to_owned(), 0));
    clone::borrow_process(stack, true, &mut || {
        outcome = userns::join_user_and_network(live.as_fd(), network)
            .stage("namespaces")
            .and_then(|()| {
                let flags = clone::PARENT
                    | clone::NEWNS
                    | clone::NEWPID
                    | clone::NEWIPC
                    | clone::NEWUTS
                    | clone::NEWCGROUP;
                match clone::fork_into(flags).stage("namespaces")? {
                    Side::Child => match parts.take() {
                        Some((spec, handed)) => init::run(spec, handed),
                        None => clone::exit_now(1),
                    },
                    Side::Parent(child) => Ok(child),
                }
            });
        0
    })
    .stage("namespaces")?;
    outcome
}

/// Runs the keeper on a listener at `path`: for tests and for a host without memfd execution.
pub fn listen(path: &Path) -> Result<OwnedFd, Failure> {
    seqpacket::listen(path).stage("keeper")
}
