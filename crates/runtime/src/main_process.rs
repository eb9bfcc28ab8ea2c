//! The main process of a sandbox: its streams go to the log and to every client that follows.
//!
//! Init does this itself, so that output survives daemon, keeper and clients. A follower that does not read makes the
//! main process wait once [`HIGH_WATER`](crate::sink::HIGH_WATER) bytes are kept for it, as a terminal would.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use shedbox_linux::poll::Interest;
use shedbox_linux::{Result, fd};
use shedbox_spec::exec::ExecResult;

use crate::exec::Asked;
use crate::group::Leaf;
use crate::log::LogWriter;
use crate::sink::Sink;

/// Stream numbers in the log, as Docker's frames have them.
pub(crate) const STDOUT: u8 = 1;
/// See [`STDOUT`].
pub(crate) const STDERR: u8 = 2;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Chunks that are read from each output when all processes have ended: more than the largest pipe holds.
const DRAINED_CHUNKS: usize = 1024;

/// See the module.
pub(crate) struct MainProcess {
    /// Pid inside.
    pub(crate) pid: i32,
    pub(crate) started: Instant,
    /// Read ends of the output pipes: (stream, descriptor). With a terminal: the master, as standard output.
    outputs: Vec<(u8, OwnedFd)>,
    /// Where clients' input goes.
    input: Option<Sink>,
    /// The input is closed as soon as nothing is kept for it.
    input_ends: bool,
    /// The master side of its terminal; also among `outputs`.
    pub(crate) master: Option<OwnedFd>,
    followers: Vec<Follower>,
    /// Its cgroup, when commands have them.
    pub(crate) leaf: Option<Leaf>,
    /// The last signal that somebody asked for.
    pub(crate) asked: Option<Asked>,
    /// How it ended.
    pub(crate) result: Option<ExecResult>,
}

/// A client that takes part in the streams.
pub(crate) struct Follower {
    /// The connection that it came on.
    pub(crate) connection: u32,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<Sink>,
    pub(crate) stderr: Option<Sink>,
}

/// What a place in the list of [`MainProcess::interests`] stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// An output of the process, by index.
    Output(usize),
    /// The input of the process.
    Input,
    /// Input of a follower, by index.
    FollowerInput(usize),
    /// Outputs of a follower, by index.
    FollowerOutput(usize),
}

impl MainProcess {
    pub(crate) fn new(
        pid: i32,
        outputs: Vec<(u8, OwnedFd)>,
        input: Option<OwnedFd>,
        master: Option<OwnedFd>,
    ) -> Result<Self> {
        outputs
            .iter()
            .try_for_each(|(_, output)| fd::set_nonblocking(output))?;
        let input = input.map(Sink::new).transpose()?;
        let started = Instant::now();
        Ok(Self {
            pid,
            started,
            outputs,
            input,
            input_ends: false,
            master,
            followers: Vec::new(),
            leaf: None,
            asked: None,
            result: None,
        })
    }

    pub(crate) fn follow(&mut self, follower: Follower) -> Result<()> {
        if let Some(stdin) = &follower.stdin {
            fd::set_nonblocking(stdin)?;
        }
        self.followers.push(follower);
        Ok(())
    }

    /// Takes what the client of `connection` has written and nobody has read yet.
    pub(crate) fn take_rest(&mut self, connection: u32) {
        let mut chunk = vec![0; CHUNK];
        let of_client = |follower: &Follower| follower.connection == connection;
        for follower in self.followers.iter().filter(|one| of_client(one)) {
            let Some(stdin) = &follower.stdin else {
                continue;
            };
            // No more than the pipe held: the client writes no more.
            while let Ok(count @ 1..) = fd::read(stdin, &mut chunk) {
                push(&mut self.input, &chunk[..count]);
            }
        }
    }

    /// The client of `connection` takes no more part.
    pub(crate) fn forget(&mut self, connection: u32) {
        self.followers
            .retain(|follower| follower.connection != connection);
    }

    /// Connections of the clients that follow.
    pub(crate) fn connections(&self) -> Vec<u32> {
        self.followers
            .iter()
            .map(|follower| follower.connection)
            .collect()
    }

    /// Something is on its way to a client still.
    pub(crate) fn is_draining(&self) -> bool {
        self.followers.iter().any(|follower| {
            [&follower.stdout, &follower.stderr]
                .into_iter()
                .flatten()
                .any(Sink::is_waiting)
        })
    }

    /// What to wait for, and what each stands for.
    pub(crate) fn interests(&self) -> Vec<(Place, Interest<'_>)> {
        let mut list = Vec::new();
        let full = self.followers.iter().any(|follower| {
            [&follower.stdout, &follower.stderr]
                .into_iter()
                .flatten()
                .any(Sink::is_full)
        });
        if !full {
            for (index, (_, output)) in self.outputs.iter().enumerate() {
                list.push((
                    Place::Output(index),
                    Interest {
                        fd: output.as_fd(),
                        read: true,
                        write: false,
                    },
                ));
            }
        }
        let input_full = self.input.as_ref().is_none_or(Sink::is_full);
        if let Some(input) = self.input.as_ref().filter(|input| input.is_waiting()) {
            list.push((
                Place::Input,
                Interest {
                    fd: input.as_fd(),
                    read: false,
                    write: true,
                },
            ));
        }
        for (index, follower) in self.followers.iter().enumerate() {
            if let Some(stdin) = follower.stdin.as_ref().filter(|_| !input_full) {
                list.push((
                    Place::FollowerInput(index),
                    Interest {
                        fd: stdin.as_fd(),
                        read: true,
                        write: false,
                    },
                ));
            }
            for sink in [&follower.stdout, &follower.stderr]
                .into_iter()
                .flatten()
                .filter(|sink| sink.is_waiting())
            {
                list.push((
                    Place::FollowerOutput(index),
                    Interest {
                        fd: sink.as_fd(),
                        read: false,
                        write: true,
                    },
                ));
            }
        }
        list
    }

    /// Moves what can be moved at the places that are ready.
    pub(crate) fn serve(&mut self, ready: &[Place], log: &mut LogWriter) {
        let mut chunk = vec![0; CHUNK];
        let mut ended = Vec::new();
        for place in ready {
            match *place {
                Place::Output(index) => {
                    if self.copy_output(index, &mut chunk, log) == Flow::Ended {
                        ended.push(index);
                    }
                }
                Place::Input => {
                    if self
                        .input
                        .as_mut()
                        .is_some_and(|input| input.flush().is_err())
                    {
                        self.input = None; // the process reads no more
                    }
                    self.end_input_when_taken();
                }
                Place::FollowerInput(index) => self.copy_input(index, &mut chunk),
                Place::FollowerOutput(index) => self.flush_follower(index),
            }
        }
        for index in ended.into_iter().rev() {
            self.outputs.remove(index);
        }
    }

    /// Reads everything that is left in the outputs: all writers have gone.
    pub(crate) fn drain(&mut self, log: &mut LogWriter) {
        let mut chunk = vec![0; CHUNK];
        for index in 0..self.outputs.len() {
            // More than a pipe holds was written since, by somebody who got the pipe out of the sandbox.
            let mut chunks = 0..DRAINED_CHUNKS;
            while chunks.next().is_some() && self.copy_output(index, &mut chunk, log) == Flow::More
            {
            }
        }
        self.outputs.clear();
    }

    fn copy_output(&mut self, index: usize, chunk: &mut [u8], log: &mut LogWriter) -> Flow {
        let Some((stream, output)) = self.outputs.get(index) else {
            return Flow::Ended;
        };
        let (stream, count) = match fd::read(output, chunk) {
            Ok(0) => return Flow::Ended,
            Ok(count) => (*stream, count),
            Err(error) if error.errno == shedbox_linux::errno::Errno::EAGAIN => return Flow::Later,
            Err(_) => return Flow::Ended, // EIO: the last slave of the terminal was closed
        };
        let bytes = &chunk[..count];
        log.write(stream, bytes);
        for follower in &mut self.followers {
            let sink = if stream == STDERR {
                &mut follower.stderr
            } else {
                &mut follower.stdout
            };
            if sink.as_mut().is_some_and(|sink| sink.push(bytes).is_err()) {
                *sink = None; // this client reads no more; the process goes on
            }
        }
        Flow::More
    }

    fn copy_input(&mut self, index: usize, chunk: &mut [u8]) {
        let Some(follower) = self.followers.get_mut(index) else {
            return;
        };
        let Some(stdin) = &follower.stdin else { return };
        match fd::read(stdin, chunk) {
            Ok(0) => {
                follower.stdin = None;
                // Without a terminal the end of a client's input is the end of the process's, as Docker's StdinOnce.
                self.input_ends = self.master.is_none();
                self.end_input_when_taken();
            }
            Ok(count) => {
                push(&mut self.input, &chunk[..count]);
            }
            Err(error) if error.errno == shedbox_linux::errno::Errno::EAGAIN => {}
            Err(_) => follower.stdin = None,
        }
    }

    fn end_input_when_taken(&mut self) {
        if self.input_ends && self.input.as_ref().is_some_and(|input| !input.is_waiting()) {
            self.input = None;
        }
    }

    fn flush_follower(&mut self, index: usize) {
        let Some(follower) = self.followers.get_mut(index) else {
            return;
        };
        for sink in [&mut follower.stdout, &mut follower.stderr] {
            if sink.as_mut().is_some_and(|sink| sink.flush().is_err()) {
                *sink = None;
            }
        }
    }
}

/// What reading an output came to.
#[derive(PartialEq, Eq)]
enum Flow {
    More,
    Later,
    Ended,
}

/// Passes bytes on to the process; its input is given up when it reads no more.
fn push(input: &mut Option<Sink>, bytes: &[u8]) {
    if input
        .as_mut()
        .is_some_and(|input| input.push(bytes).is_err())
    {
        *input = None;
    }
}
