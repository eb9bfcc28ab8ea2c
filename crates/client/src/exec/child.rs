//! A command that was spawned; as [`std::process::Child`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use shedbox_linux::pidfd;
use shedbox_spec::control::{FollowUp, Reply};
use shedbox_spec::exec::{End, ExecResult, TtySize};

use super::pump::{Pump, Woken};
use super::running::{Event, Remote, Running, lost, parse};
use super::{ExitStatus, Kept, Output};
use crate::{Error, Result};

/// The pipe to a command's standard input. Dropping it is the end of the input.
#[derive(Debug)]
pub struct ChildStdin(File);

/// The pipe from a command's standard output. Its end comes when every process that holds it has closed it.
#[derive(Debug)]
pub struct ChildStdout(File);

/// The pipe from a command's standard error.
#[derive(Debug)]
pub struct ChildStderr(File);

impl Write for ChildStdin {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for ChildStdout {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Read for ChildStderr {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl AsFd for ChildStdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for ChildStdout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for ChildStderr {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<ChildStdin> for OwnedFd {
    fn from(stdin: ChildStdin) -> Self {
        stdin.0.into()
    }
}

impl From<ChildStdout> for OwnedFd {
    fn from(stdout: ChildStdout) -> Self {
        stdout.0.into()
    }
}

impl From<ChildStderr> for OwnedFd {
    fn from(stderr: ChildStderr) -> Self {
        stderr.0.into()
    }
}

/// A command that runs. Unlike [`std::process::Child`], dropping it ends the command; [`Child::detach`] does not.
#[derive(Debug)]
pub struct Child {
    /// The write end of its standard input, when that was piped.
    pub stdin: Option<ChildStdin>,
    /// The read end of its standard output, when that was piped.
    pub stdout: Option<ChildStdout>,
    /// The read end of its standard error, when that was piped.
    pub stderr: Option<ChildStderr>,
    pid: i32,
    sandbox: String,
    remote: Remote,
    mover: Option<Mover>,
    result: Option<ExecResult>,
}

/// The thread that moves inherited streams and a terminal.
#[derive(Debug)]
struct Mover {
    /// Dropping it tells the thread that the command has ended.
    end: OwnedFd,
    thread: JoinHandle<Result<()>>,
}

impl Mover {
    fn start(mut pump: Pump) -> Result<Self> {
        let (wake, end) = shedbox_linux::fd::pipe().map_err(Error::system("make a pipe"))?;
        let thread = std::thread::Builder::new()
            .name("shedbox-streams".to_owned())
            .spawn(move || {
                loop {
                    match pump.wait(Some(wake.as_fd()), None)? {
                        Woken::Control => pump.finish(),
                        Woken::Drained => return pump.failure().map_or(Ok(()), Err),
                        Woken::Watched | Woken::Detach => {}
                    }
                }
            });
        Ok(Self {
            end,
            thread: thread.map_err(Error::io("start a thread"))?,
        })
    }

    fn finish(self) -> Result<()> {
        drop(self.end);
        // The thread has no way to panic; if it did, its streams are lost and the result is not.
        self.thread.join().unwrap_or(Ok(()))
    }
}

impl Child {
    pub(super) fn new(mut running: Running, kept: Kept) -> Result<Self> {
        let pid = match running.next(None)? {
            Event::Started(pid) => pid,
            other => {
                return Err(Error::protocol(
                    "the sandbox",
                    format!("{other:?} instead of a start"),
                ));
            }
        };
        let (remote, sandbox) = (running.remote(), running.sandbox().to_owned());
        let pump = std::mem::take(&mut running.pump);
        let mover = if pump.is_idle() {
            None
        } else {
            Some(Mover::start(pump)?)
        };
        let [stdout, stderr] = kept.outputs;
        Ok(Self {
            stdin: kept.stdin.map(|fd| ChildStdin(fd.into())),
            stdout: stdout.map(|fd| ChildStdout(fd.into())),
            stderr: stderr.map(|fd| ChildStderr(fd.into())),
            pid,
            sandbox,
            remote,
            mover,
            result: None,
        })
    }

    /// Its pid inside the sandbox.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// For use from other threads, while this one waits.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Sends a signal, by number, to the command itself.
    pub fn kill(&self, signal: i32) -> Result<()> {
        self.remote.signal(signal)
    }

    /// Sets the size of its terminal.
    pub fn resize(&self, size: TtySize) -> Result<()> {
        self.remote.resize(size)
    }

    /// Closes its input and waits for its end. Piped output should have been read by then: a command that writes more
    /// than a pipe holds waits for its reader.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.stdin = None;
        loop {
            if let Some(status) = self.wait_timeout(Duration::from_hours(1))? {
                return Ok(status);
            }
        }
    }

    /// The same with a limit; `None` when it still runs. Its input stays open.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        if self.result.is_none() {
            let control = self.remote.control();
            let waiting = Error::system("wait for the command");
            match pidfd::readable(control.as_fd(), Some(timeout)) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(waiting(error)),
            }
            let killed = || Error::Killed {
                sandbox: self.sandbox.clone(),
            };
            // It runs, so a connection that broke took it along.
            let frame = control
                .recv()
                .map_err(|error| match lost(&self.sandbox, error) {
                    Error::NotTaken { .. } => killed(),
                    other => other,
                });
            let frame = frame?.ok_or_else(killed)?;
            match parse(&frame.bytes)? {
                Reply::Exited(result) => {
                    if let End::NotStarted(why) = result.end {
                        return Err(Error::NotStarted(*why));
                    }
                    self.result = Some(result);
                }
                Reply::Failed(error) => return Err(Error::Refused(error)),
                other => return Err(Error::protocol("the sandbox", format!("{other:?}"))),
            }
            if let Some(mover) = self.mover.take() {
                mover.finish()?;
            }
        }
        Ok(self
            .result
            .as_ref()
            .map(|result| ExitStatus::new(result.end.clone())))
    }

    /// Looks whether it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Time and resources, once it has ended.
    pub fn result(&self) -> Option<&ExecResult> {
        self.result.as_ref()
    }

    /// Closes its input, reads its piped output and waits for its end; does not wait for background processes that
    /// hold the output open.
    pub fn wait_with_output(mut self) -> Result<Output> {
        self.stdin = None;
        let mut pump = Pump::default();
        let outputs = [
            self.stdout.take().map(OwnedFd::from),
            self.stderr.take().map(OwnedFd::from),
        ];
        for (index, output) in outputs.into_iter().enumerate() {
            if let Some(output) = output {
                pump.capture(index, output)?;
            }
        }
        let status_known = self.result.is_some();
        if status_known {
            pump.finish();
        }
        loop {
            match pump.wait(Some(self.remote.control().as_fd()), None)? {
                Woken::Control => {
                    self.wait_timeout(Duration::ZERO)?;
                    pump.finish();
                }
                Woken::Drained => break,
                Woken::Watched | Woken::Detach => {}
            }
        }
        match self.result.take() {
            Some(result) => Ok(Output::new(result, pump.captured())),
            None => Err(Error::Killed {
                sandbox: self.sandbox.clone(),
            }),
        }
    }

    /// Leaves; the command goes on. Its piped streams break when their ends here are dropped.
    pub fn detach(self) -> Result<()> {
        self.remote.follow_up(&FollowUp::Detach)
    }
}
