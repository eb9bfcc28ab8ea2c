//! The main process: its start, and who joins its streams.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use shedbox_linux::{fd, pty};
use shedbox_spec::Error;
use shedbox_spec::control::{Attach, Reply};
use shedbox_spec::exec::{End, TtySize};

use super::requests::{no_leaf, open_terminal, streams};
use super::{Init, Role};
use crate::exec::result;
use crate::group::{Groups, Leaf};
use crate::launch::{Launch, Streams, launch};
use crate::main_process::{Follower, MainProcess, STDERR, STDOUT};
use crate::sink::Sink;

impl Init {
    pub(super) fn start_main(&mut self, id: u32, attach: Attach, fds: Vec<OwnedFd>) {
        let started = Instant::now();
        match self.launch_main(attach) {
            Err(MainRefused::Request(error)) => self.refuse(id, error),
            Err(MainRefused::End(end)) => {
                let result = result(end, started, None);
                self.connections
                    .reply(id, &Reply::Exited(result.clone()), &[]);
                self.main_never_started(result);
            }
            Ok(()) => {
                if attach.detach && fds.is_empty() {
                    let pid = self.main.as_ref().map_or(0, |main| main.pid);
                    self.connections.reply(id, &Reply::Started { pid }, &[]);
                } else {
                    self.attach(id, attach, fds);
                }
            }
        }
    }

    fn launch_main(&mut self, attach: Attach) -> Result<(), MainRefused> {
        let refused =
            |error: shedbox_linux::Error| MainRefused::Request(Error::internal(error.to_string()));
        let Some(process) = self.around.spec.main.clone() else {
            return Err(MainRefused::Request(Error::conflict(
                "this sandbox has no main process",
            )));
        };
        if self.main.is_some() {
            return Err(MainRefused::Request(Error::conflict(
                "the main process has been started already",
            )));
        }
        let size = attach.tty.unwrap_or(TtySize { rows: 24, cols: 80 });
        let terminal = open_terminal(process.tty.then_some(size), &self.around.pts)
            .map_err(MainRefused::Request)?;
        let input = if terminal.is_none() && (process.stdin_open || attach.stdin) {
            Some(fd::pipe().map_err(refused)?)
        } else {
            None
        };
        let outputs = match terminal {
            Some(_) => None,
            None => Some((fd::pipe().map_err(refused)?, fd::pipe().map_err(refused)?)),
        };
        let streams = match (&terminal, &outputs) {
            (Some((_, slave)), _) => Streams::Terminal(slave.as_fd()),
            (None, Some((out, err))) => {
                let stdin = input.as_ref().map(|(read, _)| read.as_fd());
                Streams::Separate([stdin, Some(out.1.as_fd()), Some(err.1.as_fd())])
            }
            (None, None) => Streams::Separate([None, None, None]),
        };
        let argv: Vec<Vec<u8>> = process
            .argv
            .iter()
            .map(|argument| argument.clone().into_bytes())
            .collect();
        let (_, tag) = self.execs.next_tag();
        let leaf = match self.groups.as_mut().map(Groups::main).transpose() {
            Ok(leaf) => leaf,
            Err(error) => return Err(MainRefused::Request(no_leaf(&error))),
        };
        let what = Launch {
            argv: &argv,
            env: &[],
            cwd: None,
            user: None,
            streams,
            further: None,
            tag,
            cgroup: leaf.as_ref().map(Leaf::dir),
        };
        let child = launch(&what, &self.around, &mut self.stack).map_err(MainRefused::End)?;
        let (outputs, input, master) = match (terminal, outputs) {
            (Some((master, _)), _) => {
                let copy = master
                    .try_clone()
                    .map_err(|error| MainRefused::Request(Error::internal(error.to_string())))?;
                let input = master
                    .try_clone()
                    .map_err(|error| MainRefused::Request(Error::internal(error.to_string())))?;
                (vec![(STDOUT, copy)], Some(input), Some(master))
            }
            (None, Some((out, err))) => (
                vec![(STDOUT, out.0), (STDERR, err.0)],
                input.map(|(_, write)| write),
                None,
            ),
            (None, None) => (Vec::new(), None, None),
        };
        let mut main = MainProcess::new(child.pid, outputs, input, master).map_err(refused)?;
        main.leaf = leaf;
        self.main = Some(main);
        Ok(())
    }

    pub(super) fn attach(&mut self, id: u32, attach: Attach, fds: Vec<OwnedFd>) {
        let Some(main) = &mut self.main else {
            return self.refuse(id, Error::conflict("the main process does not run"));
        };
        let follower = streams([attach.stdin, attach.stdout, attach.stderr], false, fds).and_then(
            |[stdin, out, err]| {
                let sink = |fd: Option<OwnedFd>| {
                    fd.map(Sink::new)
                        .transpose()
                        .map_err(|error| Error::internal(error.to_string()))
                };
                Ok(Follower {
                    connection: id,
                    stdin,
                    stdout: sink(out)?,
                    stderr: sink(err)?,
                })
            },
        );
        let taken = follower.and_then(|follower| {
            main.follow(follower)
                .map_err(|error| Error::internal(error.to_string()))
        });
        if let Err(error) = taken {
            return self.refuse(id, error);
        }
        if let (Some(size), Some(master)) = (attach.tty, &main.master) {
            let _ = pty::set_size(master, size.rows, size.cols); // a size that does not take is no reason to refuse
        }
        let pid = main.pid;
        self.set_role(id, Role::Follower);
        self.connections.reply(id, &Reply::Started { pid }, &[]);
    }
}

/// Why a main process was not started.
enum MainRefused {
    /// The request cannot be served.
    Request(Error),
    /// The program cannot be run.
    End(End),
}
