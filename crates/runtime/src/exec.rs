//! Commands that run now: who waits for them, when they run out of time, how their ends are told.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use shedbox_linux::fd;
use shedbox_linux::process::Ended;
use shedbox_spec::exec::{End, ExecResult};

use crate::tree::{self, Tag};

/// One running command.
pub(crate) struct Exec {
    /// Its number, which is in its tag.
    pub(crate) number: u32,
    pub(crate) tag: Tag,
    pub(crate) pid: i32,
    /// The client that waits; absent when it is detached.
    pub(crate) connection: Option<u32>,
    pub(crate) started: Instant,
    /// When it runs out of time, and later when its grace ends.
    pub(crate) deadline: Option<Instant>,
    pub(crate) grace: Duration,
    pub(crate) timed_out: bool,
    /// Init's copy of the terminal's master side: keeps the terminal when the client detaches.
    pub(crate) master: Option<OwnedFd>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Execs {
    list: Vec<Exec>,
    last: u32,
}

impl Execs {
    /// A mark that no command has had.
    pub(crate) fn next_tag(&mut self) -> (u32, Tag) {
        self.last += 1;
        (self.last, Tag::new(self.last))
    }

    pub(crate) fn add(&mut self, exec: Exec) {
        self.list.push(exec);
    }

    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn of_connection(&mut self, connection: u32) -> Option<&mut Exec> {
        self.list
            .iter_mut()
            .find(|exec| exec.connection == Some(connection))
    }

    /// Takes the command whose process has ended.
    pub(crate) fn take_ended(&mut self, pid: i32) -> Option<Exec> {
        let index = self.list.iter().position(|exec| exec.pid == pid)?;
        Some(self.list.swap_remove(index))
    }

    /// Takes all: the generation ends.
    pub(crate) fn take_all(&mut self) -> Vec<Exec> {
        std::mem::take(&mut self.list)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.list.iter().filter_map(|exec| exec.deadline).min()
    }

    /// SIGTERM to the trees whose time is over, SIGKILL to those whose grace is.
    pub(crate) fn keep_deadlines(&mut self, now: Instant, proc: &OwnedFd) {
        for exec in &mut self.list {
            if exec.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            if exec.timed_out {
                exec.deadline = None;
                tree::kill(proc, exec.tag);
            } else {
                exec.timed_out = true;
                exec.deadline = Some(now + exec.grace);
                tree::signal(proc, exec.tag, 15);
            }
        }
    }

    /// Terminals that no client reads: their output has to be taken, or the command would wait for ever.
    pub(crate) fn unattended_terminals(&self) -> Vec<(u32, BorrowedFd<'_>)> {
        self.list
            .iter()
            .filter(|exec| exec.connection.is_none())
            .filter_map(|exec| Some((exec.number, exec.master.as_ref()?.as_fd())))
            .collect()
    }

    /// Takes and drops what such a command wrote.
    pub(crate) fn discard_output(&mut self, number: u32) {
        if let Some(exec) = self.list.iter_mut().find(|exec| exec.number == number) {
            let mut chunk = [0; 4096];
            let ended = exec
                .master
                .as_ref()
                .is_some_and(|master| !matches!(fd::read(master, &mut chunk), Ok(1..)));
            if ended {
                exec.master = None;
            }
        }
    }
}

impl Exec {
    /// The client has gone: a command in the foreground goes with it.
    pub(crate) fn kill(&self, proc: &OwnedFd) {
        tree::kill(proc, self.tag);
    }

    /// How it ended, as its client is told.
    pub(crate) fn result(&self, ended: &Ended) -> ExecResult {
        let end = if self.timed_out {
            End::TimedOut {
                status: plain_end(ended).status(),
            }
        } else {
            plain_end(ended)
        };
        result(end, self.started, Some(ended))
    }

    /// The sandbox was taken away under it.
    pub(crate) fn cut_short(&self, end: End) -> ExecResult {
        result(end, self.started, None)
    }
}

/// The end of a process by itself or by a signal.
pub(crate) fn plain_end(ended: &Ended) -> End {
    match (ended.code(), ended.signal()) {
        (Some(code), _) => End::Exited { code },
        (None, Some(signal)) => End::Signaled { signal },
        // wait4 reports nothing else without WUNTRACED.
        (None, None) => End::Exited { code: 255 },
    }
}

/// A result with what the process used, when that is known.
pub(crate) fn result(end: End, started: Instant, ended: Option<&Ended>) -> ExecResult {
    ExecResult {
        end,
        wall_us: started.elapsed().as_micros() as u64,
        user_us: ended.map_or(0, |ended| ended.user_us),
        system_us: ended.map_or(0, |ended| ended.system_us),
        max_rss: ended.map_or(0, |ended| ended.max_rss),
    }
}
