//! The loop that moves a command's streams while it waits for its end.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use shedbox_linux::errno::Errno;
use shedbox_linux::poll::{Interest, Readiness, poll};

use super::capture::{Capture, Captured, Overflow};
use super::flow::{Flow, Inflow, Moved, Outflow, To};
use crate::{Error, Result};

/// What woke the pump's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The control connection has something to say, or has ended.
    Control,
    /// The descriptor that the owner watches is readable.
    Watched,
    /// The detach keys were typed.
    Detach,
    /// The command has ended and everything it wrote has been moved.
    Drained,
}

/// Streams that this process moves for a command.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    pub(crate) input: Option<Inflow>,
    pub(crate) outputs: [Option<Outflow>; 2],
    buffer: Vec<u8>,
    finishing: bool,
    failure: Option<Error>,
    /// Write ends of the pipes that are read, see [`Pump::hold`].
    held: Vec<OwnedFd>,
    /// Captured streams that have ended.
    done: [Option<To>; 2],
}

impl Pump {
    /// The command has ended: what is in its pipes now is all of its output, whoever else still holds them open.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        self.input = None;
        for index in 0..2 {
            if self.outputs[index]
                .as_mut()
                .is_some_and(|output| output.finish() == Flow::Ended)
            {
                self.end(index);
            }
        }
    }

    /// Keeps the write ends of its pipes open, so that their other holders' ends wake nobody.
    pub(crate) fn hold(&mut self, writers: Vec<OwnedFd>) {
        self.held = writers;
    }

    /// There is nothing to move.
    pub(crate) fn is_idle(&self) -> bool {
        self.input.is_none() && self.outputs.iter().all(Option::is_none)
    }

    /// Keeps a stream in memory, all of it.
    pub(crate) fn capture(&mut self, index: usize, from: OwnedFd) -> Result<()> {
        let to = To::Memory(Capture::new(None, &Overflow::Truncate, "stdout"));
        let outflow =
            Outflow::new(from, to).map_err(Error::system("read the output of the command"))?;
        self.outputs[index] = Some(outflow);
        Ok(())
    }

    fn end(&mut self, index: usize) {
        if let Some(output) = self.outputs[index].take() {
            self.done[index] = Some(output.to);
        }
    }

    /// What was captured of stdout and stderr. Meaningful once drained.
    pub(crate) fn captured(&mut self) -> [Captured; 2] {
        let mut take = |index: usize| match &mut self.done[index] {
            Some(To::Memory(capture)) => capture.take(),
            _ => Captured::default(),
        };
        [take(0), take(1)]
    }

    /// The first error of a destination, EPIPE excepted.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Moves bytes until there is something to tell.
    pub(crate) fn wait(
        &mut self,
        control: Option<BorrowedFd<'_>>,
        watched: Option<BorrowedFd<'_>>,
    ) -> Result<Woken> {
        loop {
            if self.finishing && self.outputs.iter().all(Option::is_none) {
                return Ok(Woken::Drained);
            }
            let (woken, seen) = self.poll(control.filter(|_| !self.finishing), watched)?;
            if let Some(woken) = woken {
                return Ok(woken);
            }
            if self.move_bytes(seen) {
                return Ok(Woken::Detach);
            }
        }
    }

    fn poll(
        &self,
        control: Option<BorrowedFd<'_>>,
        watched: Option<BorrowedFd<'_>>,
    ) -> Result<(Option<Woken>, [Readiness; 3])> {
        let mut interests = Vec::with_capacity(5);
        let read = |fd| Interest {
            fd,
            read: true,
            write: false,
        };
        interests.extend(control.map(read));
        interests.extend(watched.map(read));
        interests.extend(self.input.as_ref().map(Inflow::interest));
        interests.extend(self.outputs.iter().flatten().map(Outflow::interest));
        // A terminal whose command has ended is asked once more, not waited for.
        let silent = self.finishing && self.outputs.iter().flatten().any(Outflow::ends_when_silent);
        let timeout = silent.then_some(Duration::ZERO);
        let seen = poll(&interests, timeout).map_err(Error::system("wait for the command"))?;
        let mut seen = seen.into_iter();
        let mut next = |there: bool| {
            if there {
                seen.next().unwrap_or_default()
            } else {
                Readiness::default()
            }
        };
        if next(control.is_some()).any() {
            return Ok((Some(Woken::Control), Default::default()));
        }
        if next(watched.is_some()).any() {
            return Ok((Some(Woken::Watched), Default::default()));
        }
        let streams = [
            next(self.input.is_some()),
            next(self.outputs[0].is_some()),
            next(self.outputs[1].is_some()),
        ];
        Ok((None, streams))
    }

    /// True when the detach keys were typed.
    fn move_bytes(&mut self, [input, out, err]: [Readiness; 3]) -> bool {
        if input.any()
            && let Some(inflow) = &mut self.input
        {
            match inflow.advance(&mut self.buffer) {
                Ok(Moved::Open) => {}
                Ok(Moved::Ended) => self.input = None,
                Ok(Moved::Detach) => return true,
                Err(error) => {
                    self.input = None;
                    self.fail("read standard input", error);
                }
            }
        }
        for (index, seen) in [out, err].into_iter().enumerate() {
            let Some(output) = &mut self.outputs[index] else {
                continue;
            };
            if !seen.any() {
                if self.finishing && output.ends_when_silent() {
                    self.end(index);
                }
                continue;
            }
            match output.advance(&mut self.buffer) {
                Ok(Flow::Open) => {}
                Ok(Flow::Ended) => self.end(index),
                Err(error) => {
                    // Closing the pipe tells the command, as it would have been told without us in between.
                    self.end(index);
                    if error.errno != Errno::EPIPE {
                        self.fail(
                            ["write standard output", "write standard error"][index],
                            error,
                        );
                    }
                }
            }
        }
        false
    }

    fn fail(&mut self, doing: &str, error: shedbox_linux::Error) {
        self.failure
            .get_or_insert_with(|| Error::system(doing)(error));
    }
}
