//! A command without a sandbox: on the host's own file system, held by Landlock and system call filters alone.
//!
//! Three processes: the caller, a runner that the caller forks, and the command. The runner has a session of its own and
//! is a subreaper, so that every process that comes of the command ends up below it; it ends them all when the command
//! has ended or the caller has gone. The caller is a subreaper too, for the case that somebody kills the runner.
//!
//! The runner is outside the domain: nothing inside may trace it or (from ABI 6) signal it.

mod command;
mod descendants;
mod private;
mod runner;

use std::os::fd::{AsFd, BorrowedFd};

use shedbox_linux::clone::{self, Side};
use shedbox_linux::errno::Context;
use shedbox_linux::poll::{Interest, poll};
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::{Result, process};
use shedbox_spec::confined::Confined;
use shedbox_spec::exec::End;

pub use private::PrivateDirectory;

/// Everything that the command is started with.
#[derive(Debug)]
pub struct Order {
    /// What to run and what it may reach.
    pub confined: Confined,
    /// TERM of the command.
    pub term: Option<String>,
    /// The kernel's Landlock ABI.
    pub abi: u32,
    /// Filters of system calls, outermost last.
    pub filters: Vec<Vec<u64>>,
    /// The command's HOME and TMPDIR.
    pub private: PrivateDirectory,
}

/// A confined command that runs.
#[derive(Debug)]
pub struct Running {
    runner: i32,
    socket: SeqPacket,
    private: PrivateDirectory,
}

/// What [`Running::next`] has seen.
#[derive(Debug)]
pub enum Seen {
    /// The command has ended, and nothing that came of it is left.
    Ended(End),
    /// The descriptor that was given is readable.
    Watched,
    /// The runner has been killed; what it had started has been ended.
    RunnerLost,
}

/// Forks the runner. This process must have one thread.
pub fn start(order: Order) -> Result<Running> {
    process::become_subreaper().call("prctl", || "PR_SET_CHILD_SUBREAPER".into())?;
    let (ours, theirs) = SeqPacket::pair()?;
    let private = order.private.clone();
    match clone::fork_into(0)? {
        Side::Child => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runner::run(&order, theirs)
            }));
            clone::exit_now(status.unwrap_or(101));
        }
        Side::Parent(child) => Ok(Running {
            runner: child.pid,
            socket: ours,
            private,
        }),
    }
}

impl Running {
    /// Waits for the end of the command, or until `watched` is readable.
    pub fn next(&self, watched: BorrowedFd<'_>) -> Result<Seen> {
        let read = |fd| Interest {
            fd,
            read: true,
            write: false,
        };
        loop {
            let seen = poll(&[read(self.socket.as_fd()), read(watched)], None)?;
            if seen[0].any() {
                return if let Ok(Some(frame)) = self.socket.recv() {
                    Ok(serde_json::from_slice(&frame.bytes).map_or(Seen::RunnerLost, Seen::Ended))
                } else {
                    self.clean_up();
                    Ok(Seen::RunnerLost)
                };
            }
            if seen[1].any() {
                return Ok(Seen::Watched);
            }
        }
    }

    /// Sends a signal to the command, and only to the process itself.
    pub fn signal(&self, number: i32) {
        // A runner that has gone shows in `next`.
        let _ = self.socket.try_send(&[number as u8], &[]);
    }

    fn clean_up(&self) {
        let _ = process::signal(self.runner, 9); // it may hang on without a socket
        descendants::end_all();
        self.private.remove();
    }
}
