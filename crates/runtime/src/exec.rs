//! Commands that run now: who waits for them, when they run out of time, how their ends are told.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use shedbox_linux::process::Ended;
use shedbox_linux::{disk, fd};
use shedbox_spec::exec::{DiskUnit, End, ExecResult, Killer};
use shedbox_spec::generation::DiskRoom;

use crate::group::{Groups, Leaf};
use crate::tree::{self, Tag};

/// A file system with less left than this is full, in bytes: less than a write of a usual size.
const FULL: u64 = 16 << 10;

/// One running command.
pub(crate) struct Exec {
    /// Its number, which is in its tag.
    pub(crate) number: u32,
    pub(crate) tag: Tag,
    /// Its cgroup, when commands have them.
    pub(crate) leaf: Option<Leaf>,
    pub(crate) pid: i32,
    /// The client that waits; absent when it is detached.
    pub(crate) connection: Option<u32>,
    pub(crate) started: Instant,
    /// When it runs out of time, and later when its grace ends.
    pub(crate) deadline: Option<Instant>,
    pub(crate) grace: Duration,
    pub(crate) timed_out: bool,
    /// The last signal that its client asked for.
    pub(crate) asked: Option<Asked>,
    /// Its whole tree ends with it: whoever holds the other ends may go before its connection does, and then nobody would
    /// be left to end the rest.
    pub(crate) whole: bool,
    /// What had come of it when its client asked to note that.
    pub(crate) noted: Vec<tree::Birth>,
    /// Init's copy of the terminal's master side: keeps the terminal when the client detaches.
    pub(crate) master: Option<OwnedFd>,
}

/// A signal that was sent on somebody's behalf: when the process ends by it, we know by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) signal: i32,
    pub(crate) by: Killer,
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
                exec.kill(proc);
            } else {
                exec.timed_out = true;
                exec.deadline = Some(now + exec.grace);
                exec.signal(proc, 15);
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
    /// Ends every process that came of it.
    pub(crate) fn kill(&self, proc: &OwnedFd) {
        match &self.leaf {
            Some(leaf) => leaf.kill(),
            None => tree::kill(proc, self.tag),
        }
    }

    /// Sends a signal to every process that came of it.
    fn signal(&self, proc: &OwnedFd, signal: i32) {
        match &self.leaf {
            Some(leaf) => leaf.signal(signal),
            None => tree::signal(proc, self.tag, signal),
        };
    }

    /// Notes what has come of it so far.
    pub(crate) fn note_offspring(&mut self, proc: &OwnedFd) {
        self.noted = tree::births(proc, &self.offspring(proc));
    }

    /// Sends a signal to what has come of it since, and not to itself.
    pub(crate) fn signal_offspring(&self, proc: &OwnedFd, signal: i32) {
        // One that is killed may have forked just before it died.
        let rounds = if signal == 9 { tree::ROUNDS } else { 1 };
        for _ in 0..rounds {
            if tree::signal_others(proc, &self.offspring(proc), &self.noted, signal) == 0 {
                return;
            }
        }
    }

    fn offspring(&self, proc: &OwnedFd) -> Vec<i32> {
        let mut pids = match &self.leaf {
            Some(leaf) => leaf.pids(),
            None => tree::of(proc, self.tag),
        };
        pids.retain(|pid| *pid != self.pid);
        pids
    }

    /// How it ended, as its client is told.
    pub(crate) fn result(&self, ended: &Ended, around: &Around<'_>) -> ExecResult {
        let end = if self.timed_out {
            End::TimedOut {
                status: plain_end(ended, None).status(),
            }
        } else {
            plain_end(ended, self.asked)
        };
        around.result(end, self.started, ended, self.leaf.as_ref())
    }

    /// The sandbox was taken away under it.
    pub(crate) fn cut_short(&self, end: End) -> ExecResult {
        result(end, self.started, None)
    }
}

/// What the cause of an end may lie in, besides the process itself.
pub(crate) struct Around<'a> {
    pub(crate) groups: Option<&'a Groups>,
    /// The root directory, and the room that the sandbox may take, when the file system keeps it.
    pub(crate) room: Option<(&'a OwnedFd, DiskRoom)>,
}

impl Around<'_> {
    /// The result of a process that has ended, with its cause. `plain` is what its client or the kernel says.
    pub(crate) fn result(
        &self,
        plain: End,
        started: Instant,
        ended: &Ended,
        leaf: Option<&Leaf>,
    ) -> ExecResult {
        let (end, used) = match (self.groups, leaf) {
            (Some(groups), Some(leaf)) => {
                let (end, used) = groups.settle(leaf, plain);
                (end, Some(used))
            }
            _ => (plain, None),
        };
        ExecResult {
            used,
            ..result(self.without_room(end), started, Some(ended))
        }
    }

    /// A command that fails while there is no room left has failed for that.
    fn without_room(&self, end: End) -> End {
        let (End::Exited { code: 1.. } | End::Signaled { .. }, Some((root, room))) =
            (&end, &self.room)
        else {
            return end;
        };
        let Ok(left) = disk::room(root) else {
            return end;
        };
        let taken = |total: u64, free: u64| total.saturating_sub(free);
        if left.free_bytes < FULL {
            End::DiskLimit {
                status: end.status(),
                unit: DiskUnit::Bytes,
                used: taken(left.total_bytes, left.free_bytes),
                limit: room.bytes,
            }
        } else if let Some(limit) = room.inodes.filter(|_| left.free_inodes == 0) {
            End::DiskLimit {
                status: end.status(),
                unit: DiskUnit::Inodes,
                used: taken(left.total_inodes, left.free_inodes),
                limit,
            }
        } else {
            end
        }
    }
}

/// The end of a process by itself or by a signal.
pub(crate) fn plain_end(ended: &Ended, asked: Option<Asked>) -> End {
    match (ended.code(), ended.signal()) {
        (Some(code), _) => End::Exited { code },
        (None, Some(signal)) => End::Signaled {
            signal,
            by: killer(signal, asked),
        },
        // wait4 reports nothing else without WUNTRACED.
        (None, None) => End::Exited { code: 255 },
    }
}

fn killer(signal: i32, asked: Option<Asked>) -> Killer {
    match asked {
        Some(asked) if asked.signal == signal => asked.by,
        _ if signal == 9 => Killer::Unknown,
        // The kernel sends no other signal to a process that has done nothing to deserve it.
        _ => Killer::Inside,
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
        used: None,
    }
}
