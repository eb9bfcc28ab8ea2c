//! A command that runs, or a main process that is followed: its control connection and its streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shedbox_linux::errno::Errno;
use shedbox_linux::seqpacket::{Frame, SeqPacket};
use shedbox_spec::control::{FollowUp, Reply, Request};
use shedbox_spec::detach_keys::Matcher;
use shedbox_spec::exec::{End, ExecResult, TtySize};

use super::capture::Captured;
use super::flow::{Inflow, Outflow, To};
use super::pump::{Pump, Woken};
use super::stdio::Fd;
use crate::{Error, Result};

/// What a [`Running`] tells.
#[derive(Debug)]
pub enum Event {
    /// The command runs, with this pid inside the sandbox.
    Started(i32),
    /// The descriptor given to [`Running::next`] is readable.
    Watched,
    /// The detach keys were typed.
    DetachKeys,
    /// It has ended, and all it wrote has been moved.
    Ended(ExecResult),
}

/// Both ends of a terminal's way through this process.
#[derive(Debug)]
pub(crate) struct TerminalEnds {
    pub(crate) input: Option<Fd>,
    pub(crate) keys: Option<Matcher>,
    pub(crate) output: Option<To>,
}

/// A command in the foreground of this process. Dropping it ends the command, unless it was detached or is a main
/// process.
#[derive(Debug)]
pub struct Running {
    sandbox: String,
    control: Arc<SeqPacket>,
    /// Something passed on the connection after the request: its end is then the end of a command, not a refusal.
    talked: Arc<AtomicBool>,
    pub(crate) pump: Pump,
    /// Waits for the master of the terminal.
    terminal: Option<TerminalEnds>,
    result: Option<ExecResult>,
}

impl Running {
    /// Sends `request` with its descriptors on a new connection. The pump must hold the other ends.
    pub(crate) fn send(
        sandbox: &str,
        control: SeqPacket,
        request: &Request,
        fds: &[OwnedFd],
        pump: Pump,
        terminal: Option<TerminalEnds>,
    ) -> Result<Self> {
        send(&control, request, fds).map_err(|error| lost(sandbox, error))?;
        Ok(Self {
            sandbox: sandbox.to_owned(),
            control: Arc::new(control),
            talked: Arc::new(AtomicBool::new(false)),
            pump,
            terminal,
            result: None,
        })
    }

    /// Moves the command's streams until there is something to tell. `watched` is a descriptor of the caller's own that
    /// interrupts the wait when it is readable: signals, for example.
    pub fn next(&mut self, watched: Option<BorrowedFd<'_>>) -> Result<Event> {
        loop {
            let control = self.control.as_fd();
            match self.pump.wait(Some(control), watched)? {
                Woken::Watched => return Ok(Event::Watched),
                Woken::Detach => return Ok(Event::DetachKeys),
                Woken::Drained => {
                    if let Some(failure) = self.pump.failure() {
                        return Err(failure);
                    }
                    match self.result.clone() {
                        Some(result) => return Ok(Event::Ended(result)),
                        None => return Err(self.killed()),
                    }
                }
                Woken::Control => {
                    let frame = match self.control.recv() {
                        Err(error)
                            if error.errno == Errno::ECONNRESET
                                && self.talked.load(Ordering::Acquire) =>
                        {
                            None
                        }
                        other => other.map_err(|error| lost(&self.sandbox, error))?,
                    };
                    if let Some(event) = self.hear(frame)? {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn hear(&mut self, frame: Option<Frame>) -> Result<Option<Event>> {
        let Some(mut frame) = frame else {
            // What it wrote before is still in its pipes; the error follows when that has been moved.
            self.pump.finish();
            return Ok(None);
        };
        self.talked.store(true, Ordering::Release);
        match parse(&frame.bytes)? {
            Reply::Started { pid } => {
                if let Some(ends) = self.terminal.take() {
                    let master = frame.fds.pop().ok_or_else(|| {
                        Error::protocol("the sandbox", "no terminal came with the start")
                    })?;
                    self.connect_terminal(ends, master)?;
                }
                Ok(Some(Event::Started(pid)))
            }
            Reply::Exited(result) => {
                if let End::NotStarted(why) = result.end {
                    return Err(Error::NotStarted(*why));
                }
                self.result = Some(result);
                self.pump.finish();
                Ok(None)
            }
            Reply::Failed(error) => Err(Error::Refused(error)),
            other => Err(Error::protocol("the sandbox", format!("{other:?}"))),
        }
    }

    fn connect_terminal(&mut self, ends: TerminalEnds, master: OwnedFd) -> Result<()> {
        let failed = Error::system("use the terminal of the command");
        if let Some(input) = ends.input {
            let to = master
                .try_clone()
                .map_err(Error::io("use the terminal of the command"))?;
            match Inflow::new(input, to, ends.keys) {
                Ok(inflow) => self.pump.input = Some(inflow),
                Err(error) => return Err(failed(error)),
            }
        }
        if let Some(output) = ends.output {
            let outflow = Outflow::new(master, output)
                .map_err(Error::system("use the terminal of the command"))?;
            self.pump.outputs[0] = Some(outflow);
        }
        Ok(())
    }

    fn killed(&self) -> Error {
        Error::Killed {
            sandbox: self.sandbox.clone(),
        }
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Result<ExecResult> {
        loop {
            if let Event::Ended(result) = self.next(None)? {
                return Ok(result);
            }
        }
    }

    /// What was captured of stdout and stderr.
    pub(crate) fn captured(&mut self) -> [Captured; 2] {
        self.pump.captured()
    }

    pub(crate) fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// For use from other threads.
    pub fn remote(&self) -> Remote {
        Remote {
            control: Arc::clone(&self.control),
            talked: Arc::clone(&self.talked),
            sandbox: self.sandbox.clone(),
        }
    }

    /// Leaves; the command goes on.
    pub fn detach(self) -> Result<()> {
        self.remote().follow_up(&FollowUp::Detach)
    }
}

/// Acts on a running command from any thread.
#[derive(Debug, Clone)]
pub struct Remote {
    control: Arc<SeqPacket>,
    talked: Arc<AtomicBool>,
    sandbox: String,
}

impl Remote {
    /// Sends a signal, by number, to the command itself. One that has ended already is no error.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.follow_up(&FollowUp::Signal { signal })
    }

    /// Sets the size of its terminal.
    pub fn resize(&self, size: TtySize) -> Result<()> {
        self.follow_up(&FollowUp::Resize(size))
    }

    pub(crate) fn follow_up(&self, what: &FollowUp) -> Result<()> {
        let frame = serde_json::to_vec(what)
            .map_err(|error| Error::protocol("this program", error.to_string()))?;
        self.talked.store(true, Ordering::Release);
        match self.control.send(&frame, &[]) {
            Err(error) if matches!(error.errno, Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            other => other.map_err(Error::system(format!("reach sandbox {}", self.sandbox))),
        }
    }

    pub(crate) fn control(&self) -> &SeqPacket {
        &self.control
    }
}

pub(crate) fn send(
    control: &SeqPacket,
    request: &Request,
    fds: &[OwnedFd],
) -> shedbox_linux::Result<()> {
    let frame = serde_json::to_vec(request).map_err(|error| {
        shedbox_linux::Error::new("serialize", error.to_string(), Errno::EINVAL)
    })?;
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    control.send(&frame, &fds)
}

pub(crate) fn parse(frame: &[u8]) -> Result<Reply> {
    serde_json::from_slice(frame).map_err(|error| Error::protocol("the sandbox", error.to_string()))
}

/// The error of a connection that broke. A peer that closes with our request unread, or a listener that closes before it
/// has accepted us, gives ECONNRESET, or EPIPE when we send; one that has read it gives the end of the stream instead.
/// Source: unix_release_sock in net/unix/af_unix.c.
pub(crate) fn lost(sandbox: &str, error: shedbox_linux::Error) -> Error {
    match error.errno {
        Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN => Error::NotTaken {
            sandbox: sandbox.to_owned(),
        },
        _ => Error::system(format!("reach sandbox {sandbox}"))(error),
    }
}
