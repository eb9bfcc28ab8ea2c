//! Running commands: straight to the sandbox's init, no daemon in between.
//!
//! One frame with the request and the ends of fresh pipes goes out, one frame with the result comes back. This process
//! keeps the other ends of the pipes and moves their bytes while it waits, so memory stays constant however much is
//! written, and a slow reader holds up its own command only. When the command has ended, what is in the pipes at that
//! moment is taken and the call returns: a background process that still holds a pipe open is not waited for.

mod capture;
mod child;
mod flow;
mod outcome;
mod pump;
mod running;
mod stdio;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::{fd, stream};
use shedbox_spec::control::{Attach, Request};
use shedbox_spec::detach_keys::Matcher;
use shedbox_spec::exec::{ExecRequest, StdinMode, TtySize};

pub use capture::Overflow;
pub use child::{Child, ChildStderr, ChildStdin, ChildStdout};
pub use outcome::{ExitStatus, Output};
pub use running::{Event, Remote, Running};
pub(crate) use running::{lost, parse, send};
pub use stdio::Stdio;

use capture::Capture;
use flow::{Inflow, Outflow, To};
use pump::Pump;
use running::TerminalEnds;
use stdio::{Fd, Kind};

use crate::{Error, Result, Sandbox};

/// A command to run in a sandbox; made by [`Sandbox::command`], shaped like [`std::process::Command`].
///
/// Standard input is `/dev/null` unless set. Standard output and error are kept by [`output`](Self::output) and are
/// this process's own with [`status`](Self::status) and [`spawn`](Self::spawn), unless set.
#[derive(Debug)]
pub struct Exec<'s> {
    sandbox: &'s Sandbox,
    request: ExecRequest,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    limit: Option<u64>,
    overflow: Overflow,
    detach_keys: Option<Vec<u8>>,
}

/// Ends of pipes that go to the caller after `spawn`.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) outputs: [Option<OwnedFd>; 2],
}

/// What happens to piped output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piped {
    Captured,
    Kept,
}

impl<'s> Exec<'s> {
    pub(crate) fn new(sandbox: &'s Sandbox, program: &OsStr) -> Self {
        let request = ExecRequest {
            argv: vec![program.as_bytes().to_vec()],
            ..ExecRequest::default()
        };
        Self {
            sandbox,
            request,
            stdin: None,
            stdout: None,
            stderr: None,
            limit: None,
            overflow: Overflow::Truncate,
            detach_keys: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.request
            .argv
            .push(argument.as_ref().as_bytes().to_vec());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.request.argv.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().as_bytes().to_vec()),
        );
        self
    }

    /// Sets an environment variable on top of the sandbox's own.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let mut entry = OsString::from(name.as_ref());
        entry.push("=");
        entry.push(value);
        self.request.env.push(entry.into_vec());
        self
    }

    /// Sets several.
    #[must_use]
    pub fn envs<I: IntoIterator<Item = (K, V)>, K: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        variables: I,
    ) -> Self {
        for (name, value) in variables {
            self = self.env(name, value);
        }
        self
    }

    /// Sets the working directory, a path inside.
    #[must_use]
    pub fn current_dir(mut self, path: impl Into<String>) -> Self {
        self.request.cwd = Some(path.into());
        self
    }

    /// Sets the user: `name|uid[:group|gid]`.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.request.user = Some(user.into());
        self
    }

    /// Where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, stdio: Stdio) -> Self {
        self.stdin = Some(stdio);
        self
    }

    /// Where standard output goes. With a terminal: everything that it shows.
    #[must_use]
    pub fn stdout(mut self, stdio: Stdio) -> Self {
        self.stdout = Some(stdio);
        self
    }

    /// Where standard error goes. Without meaning with a terminal.
    #[must_use]
    pub fn stderr(mut self, stdio: Stdio) -> Self {
        self.stderr = Some(stdio);
        self
    }

    /// Ends the command and all it has started after this time: SIGTERM, then SIGKILL. What it wrote until then is
    /// returned; the rest of the sandbox goes on.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout_ms = Some(millis(timeout));
        self
    }

    /// Time between that SIGTERM and SIGKILL; 2 s unless set.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.request.grace_ms = Some(millis(grace));
        self
    }

    /// Keeps at most so many bytes of each captured stream in memory. Without a limit everything is kept.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64, overflow: Overflow) -> Self {
        self.limit = Some(bytes);
        self.overflow = overflow;
        self
    }

    /// Gives the command a terminal of this size.
    #[must_use]
    pub fn tty(mut self, size: TtySize) -> Self {
        self.request.tty = Some(size);
        self
    }

    /// Keys that, typed on inherited standard input, are reported as [`Event::DetachKeys`] instead of passed on; see
    /// [`shedbox_spec::detach_keys`].
    #[must_use]
    pub fn detach_keys(mut self, keys: Vec<u8>) -> Self {
        self.detach_keys = Some(keys);
        self
    }

    /// Runs it to its end and returns what it wrote.
    pub fn output(mut self) -> Result<Output> {
        self.stdout.get_or_insert_with(Stdio::piped);
        self.stderr.get_or_insert_with(Stdio::piped);
        let (mut running, _) = self.launch(Piped::Captured)?;
        let result = running.wait()?;
        Ok(Output::new(result, running.captured()))
    }

    /// Runs it to its end with this process's standard output and error.
    pub fn status(self) -> Result<ExitStatus> {
        let (mut running, _) = self.launch(Piped::Captured)?;
        running.wait().map(|result| ExitStatus::new(result.end))
    }

    /// Starts it and moves its streams in the hands of the caller: see [`Running::next`]. What is piped is captured.
    pub fn start(self) -> Result<Running> {
        self.launch(Piped::Captured).map(|(running, _)| running)
    }

    /// Starts it; returns once it runs.
    pub fn spawn(mut self) -> Result<Child> {
        self.request.report_start = true;
        let (running, kept) = self.launch(Piped::Kept)?;
        Child::new(running, kept)
    }

    /// Starts it so that it outlives this process; its streams are `/dev/null`. Its pid inside the sandbox.
    pub fn spawn_detached(mut self) -> Result<i32> {
        self.request.detach = true;
        self.stdin = Some(Stdio::null());
        self.stdout = Some(Stdio::null());
        self.stderr = Some(Stdio::null());
        let (mut running, _) = self.launch(Piped::Captured)?;
        match running.next(None)? {
            Event::Started(pid) => Ok(pid),
            other => Err(Error::protocol(
                "the sandbox",
                format!("{other:?} instead of a start"),
            )),
        }
    }

    fn launch(mut self, piped: Piped) -> Result<(Running, Kept)> {
        let streams = [self.stdin.take(), self.stdout.take(), self.stderr.take()];
        let mut wiring = Wiring {
            limit: self.limit,
            overflow: self.overflow,
            piped,
            ..Wiring::default()
        };
        let keys = self.detach_keys.take().map(Matcher::new);
        let [stdin, stdout, stderr] = streams;
        let (stdin, stdout) = (
            stdin.unwrap_or_else(Stdio::null),
            stdout.unwrap_or_else(Stdio::inherit),
        );
        let terminal = if self.request.tty.is_some() {
            Some(wiring.terminal(stdin, stdout, keys)?)
        } else {
            self.request.stdin = wiring.input(stdin, keys)?;
            self.request.stdout = wiring.output(0, stdout)?;
            self.request.stderr = wiring.output(1, stderr.unwrap_or_else(Stdio::inherit))?;
            None
        };
        let control = self.sandbox.connect()?;
        let request = Request::Exec(self.request);
        let kept = std::mem::take(&mut wiring.kept);
        let running = wiring.send(self.sandbox, control, &request, terminal)?;
        Ok((running, kept))
    }
}

/// Follows a main process, or starts it: which streams, and from where.
#[derive(Debug)]
pub struct Follow {
    /// Start the main process; it must have been held back when the sandbox was started.
    pub start: bool,
    /// Where its input comes from.
    pub stdin: Stdio,
    /// Where its output goes; with a terminal, everything.
    pub stdout: Stdio,
    /// Where its standard error goes.
    pub stderr: Stdio,
    /// The size of the caller's terminal.
    pub tty: Option<TtySize>,
    /// See [`Exec::detach_keys`].
    pub detach_keys: Option<Vec<u8>>,
}

impl Follow {
    pub(crate) fn launch(self, sandbox: &Sandbox) -> Result<Running> {
        let mut wiring = Wiring::default();
        let attach = Attach {
            stdin: wiring.input(self.stdin, self.detach_keys.map(Matcher::new))? == StdinMode::Pipe,
            stdout: wiring.output(0, self.stdout)?,
            stderr: wiring.output(1, self.stderr)?,
            tty: self.tty,
            detach: false,
        };
        let request = if self.start {
            Request::StartMain(attach)
        } else {
            Request::Attach(attach)
        };
        let control = sandbox.connect()?;
        wiring.send(sandbox, control, &request, None)
    }
}

/// Pipes in the making: the ends that go to the sandbox, and what stays here.
struct Wiring {
    pump: Pump,
    passed: Vec<OwnedFd>,
    /// For each of `passed`: it is the write end of a pipe that the pump reads.
    pumped: Vec<bool>,
    kept: Kept,
    piped: Piped,
    limit: Option<u64>,
    overflow: Overflow,
}

impl Default for Wiring {
    fn default() -> Self {
        Self {
            pump: Pump::default(),
            passed: Vec::with_capacity(3),
            pumped: Vec::with_capacity(3),
            kept: Kept::default(),
            piped: Piped::Captured,
            limit: None,
            overflow: Overflow::Truncate,
        }
    }
}

impl Wiring {
    /// Sends the request with the descriptors.
    ///
    /// The write ends of what the pump reads stay open here as well: otherwise the end of a command would wake us once
    /// for each of its pipes before its result does. The pump knows the end from the result, not from the pipes.
    fn send(
        mut self,
        sandbox: &Sandbox,
        control: SeqPacket,
        request: &Request,
        terminal: Option<TerminalEnds>,
    ) -> Result<Running> {
        let mut running = Running::send(
            sandbox.name_or_id(),
            control,
            request,
            &self.passed,
            self.pump,
            terminal,
        )?;
        let held = self
            .passed
            .drain(..)
            .zip(self.pumped)
            .filter_map(|(fd, pumped)| pumped.then_some(fd));
        running.pump.hold(held.collect());
        Ok(running)
    }

    fn input(&mut self, stdio: Stdio, keys: Option<Matcher>) -> Result<StdinMode> {
        if matches!(stdio.0, Kind::Null) {
            return Ok(StdinMode::Null);
        }
        let (read, write) = fd::pipe().map_err(Error::system("make a pipe"))?;
        self.passed.push(read);
        self.pumped.push(false);
        let failed = Error::system("use standard input");
        let inflow = match stdio.0 {
            Kind::Inherit => Inflow::new(Fd::Standard(stream::stdin()), write, keys),
            Kind::File(file) => Inflow::new(Fd::Owned(file), write, keys),
            Kind::Bytes(bytes) => Inflow::bytes(bytes, write),
            Kind::Piped | Kind::Null => {
                self.kept.stdin = Some(write);
                return Ok(StdinMode::Pipe);
            }
        };
        self.pump.input = Some(inflow.map_err(failed)?);
        Ok(StdinMode::Pipe)
    }

    /// Stream 0 is standard output, 1 standard error. True when it has a descriptor.
    fn output(&mut self, index: usize, stdio: Stdio) -> Result<bool> {
        let to = match stdio.0 {
            Kind::Null => return Ok(false),
            Kind::Piped if self.piped == Piped::Kept => None,
            kind => Some(self.destination(index, kind)?),
        };
        let (read, write) = fd::pipe().map_err(Error::system("make a pipe"))?;
        self.passed.push(write);
        self.pumped.push(to.is_some());
        match to {
            None => self.kept.outputs[index] = Some(read),
            Some(to) => {
                let doing = ["use standard output", "use standard error"][index];
                self.pump.outputs[index] =
                    Some(Outflow::new(read, to).map_err(Error::system(doing))?);
            }
        }
        Ok(true)
    }

    fn destination(&self, index: usize, kind: Kind) -> Result<To> {
        Ok(match kind {
            Kind::Inherit => To::Fd(Fd::Standard(if index == 0 {
                stream::stdout()
            } else {
                stream::stderr()
            })),
            Kind::File(file) => To::Fd(Fd::Owned(file)),
            Kind::Piped | Kind::Null => To::Memory(Capture::new(
                self.limit,
                &self.overflow,
                ["stdout", "stderr"][index],
            )),
            Kind::Bytes(_) => {
                return Err(shedbox_spec::Error::invalid("bytes cannot be written to").into());
            }
        })
    }

    /// With a terminal no descriptor is passed: its master comes back.
    fn terminal(
        &mut self,
        stdin: Stdio,
        stdout: Stdio,
        keys: Option<Matcher>,
    ) -> Result<TerminalEnds> {
        let input = match stdin.0 {
            Kind::Null => None,
            Kind::Inherit => Some(Fd::Standard(stream::stdin())),
            Kind::File(file) => Some(Fd::Owned(file)),
            Kind::Bytes(_) | Kind::Piped => {
                let (read, write) = fd::pipe().map_err(Error::system("make a pipe"))?;
                match stdin.0 {
                    Kind::Bytes(bytes) => {
                        // What is typed ahead fits a pipe; a terminal is no way to send files.
                        fd::set_nonblocking(&write)
                            .and_then(|()| fd::write_all(&write, &bytes))
                            .map_err(Error::system("write the input of a terminal"))?;
                    }
                    _ => self.kept.stdin = Some(write),
                }
                Some(Fd::Owned(read))
            }
        };
        let output = match stdout.0 {
            Kind::Piped if self.piped == Piped::Kept => {
                let (read, write) = fd::pipe().map_err(Error::system("make a pipe"))?;
                self.kept.outputs[0] = Some(read);
                Some(To::Fd(Fd::Owned(write)))
            }
            // Somebody has to read a terminal, or its command stops when it is full.
            Kind::Null => Some(To::Memory(Capture::new(
                Some(0),
                &Overflow::Truncate,
                "stdout",
            ))),
            kind => Some(self.destination(0, kind)?),
        };
        Ok(TerminalEnds {
            input,
            keys,
            output,
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "exec_tests.rs"]
mod tests;
