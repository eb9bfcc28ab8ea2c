//! The cgroup of every command: a leaf of the generation's own group, which counts what the command and everything that
//! it has started use, and by which exactly they are ended. Source: Documentation/admin-guide/cgroup-v2.rst.
//!
//! Making and removing a directory here takes the kernel longer than starting a process. So one leaf stands ready before
//! it is needed, and what is used up is removed after the client has its answer, both when init has nothing else to do.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use shedbox_linux::{Result, fd, path, process};
use shedbox_spec::exec::{End, ExecUse, Stalls};

/// Leaves that are kept until init has time to remove them; one more, and it takes the time.
const MOST_WASTE: usize = 64;
/// Leaves that live on with background processes are looked at this many at a time.
const LOOKED_AT_ONCE: usize = 8;
/// Largest file that is read here, in bytes.
const FILE: usize = 4096;

/// All leaves of a generation.
pub(crate) struct Groups {
    /// The generation's own directory.
    dir: OwnedFd,
    /// The generation's `pids.events`, kept open: it is read around every command.
    pids_events: Option<OwnedFd>,
    cpu_stat: Option<OwnedFd>,
    /// The generation's `memory.events`: tells when it changes.
    memory_events: Option<OwnedFd>,
    /// As they were when init started; for messages.
    memory_limit: Option<u64>,
    pids_limit: Option<u64>,
    last: u32,
    ready: Option<Leaf>,
    /// Their commands have ended; background processes may live on in them.
    waste: VecDeque<Leaf>,
    /// How many of them are to be looked at when there is time.
    unseen: usize,
}

/// One leaf.
pub(crate) struct Leaf {
    name: String,
    dir: OwnedFd,
    before: Before,
}

/// The generation's counters when a command was started.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    refused: u64,
    throttled_us: u64,
}

impl Groups {
    pub(crate) fn new(dir: OwnedFd) -> Self {
        let limit = |name: &str| text(&dir, name).and_then(|text| text.trim().parse().ok());
        let open = |name: &str| path::open_file_at(&dir, name).ok();
        // Without a limit on the processor nothing is ever throttled.
        let throttles = text(&dir, "cpu.max").is_some_and(|text| !text.starts_with("max"));
        Self {
            memory_limit: limit("memory.max"),
            pids_limit: limit("pids.max"),
            pids_events: open("pids.events"),
            cpu_stat: throttles.then(|| open("cpu.stat")).flatten(),
            memory_events: open("memory.events"),
            dir,
            last: 0,
            ready: None,
            waste: VecDeque::new(),
            unseen: 0,
        }
    }

    /// A leaf for a command that is about to start.
    pub(crate) fn take(&mut self) -> Result<Leaf> {
        let mut leaf = match self.ready.take() {
            Some(leaf) => leaf,
            None => self.next()?,
        };
        leaf.before = self.counters();
        Ok(leaf)
    }

    /// The leaf of the main process.
    pub(crate) fn main(&mut self) -> Result<Leaf> {
        let mut leaf = self.make("main".to_owned())?;
        leaf.before = self.counters();
        Ok(leaf)
    }

    fn next(&mut self) -> Result<Leaf> {
        self.last += 1;
        self.make(format!("x{}", self.last))
    }

    fn make(&self, name: String) -> Result<Leaf> {
        path::mkdir_at(&self.dir, &name, 0o755)?;
        let dir = path::open_dir_at(&self.dir, &name)?;
        Ok(Leaf {
            name,
            dir,
            before: Before::default(),
        })
    }

    fn counters(&self) -> Before {
        Before {
            refused: counter(self.pids_events.as_ref(), "max"),
            throttled_us: counter(self.cpu_stat.as_ref(), "throttled_usec"),
        }
    }

    /// What a command has used, and why it has ended: `plain` is what wait says.
    pub(crate) fn settle(&self, leaf: &Leaf, plain: End) -> (End, ExecUse) {
        let now = self.counters();
        let mut used = leaf.used();
        used.throttled_us = now.throttled_us.saturating_sub(leaf.before.throttled_us);
        // Linux 6.11 counts where the limit is, earlier ones where the fork was refused.
        used.forks_refused = used
            .forks_refused
            .max(now.refused.saturating_sub(leaf.before.refused));
        (self.cause(&used, plain), used)
    }

    fn cause(&self, used: &ExecUse, plain: End) -> End {
        use shedbox_spec::exec::Killer;
        let status = plain.status();
        match plain {
            // Whatever has gone wrong on its way, it says that it has done what it was to do.
            End::Exited { code: 0 } => plain,
            End::Exited { .. } | End::Signaled { .. } if used.oom_kills > 0 => End::OutOfMemory {
                status,
                limit: self.memory_limit,
            },
            End::Exited { .. } if used.forks_refused > 0 => End::PidsLimit {
                status,
                limit: self.pids_limit,
            },
            // The kernel would have counted a kill for want of memory, the host's included.
            End::Signaled {
                signal,
                by: Killer::Unknown,
            } => End::Signaled {
                signal,
                by: Killer::Inside,
            },
            other => other,
        }
    }

    /// The limit on memory, when there was one at the start.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        self.memory_limit
    }

    /// Becomes ready (as an error) when the kernel has killed a process of the generation for want of memory.
    pub(crate) fn memory_events(&self) -> Option<BorrowedFd<'_>> {
        self.memory_events.as_ref().map(AsFd::as_fd)
    }

    /// Processes of the generation that the kernel has killed for want of memory. Reading it arms the event again.
    pub(crate) fn oom_kills(&self) -> u64 {
        counter(self.memory_events.as_ref(), "oom_kill")
    }

    /// The command of this leaf has ended, and its client knows.
    pub(crate) fn discard(&mut self, leaf: Leaf) {
        // In front: it is most likely to be empty.
        self.waste.push_front(leaf);
        self.unseen += 1;
        if self.waste.len() > MOST_WASTE {
            self.sweep();
        }
    }

    /// Something is to be done when there is time.
    pub(crate) fn has_work(&self) -> bool {
        self.ready.is_none() || self.unseen > 0
    }

    /// Does a bit of it.
    pub(crate) fn work(&mut self) {
        if self.ready.is_none() {
            // Who needs one makes it, and is told what is wrong.
            self.ready = self.next().ok();
        } else {
            self.sweep();
        }
    }

    /// A process has ended that belongs to no command any more: a leaf may be empty by now.
    pub(crate) fn orphan_ended(&mut self) {
        self.unseen = self.waste.len();
    }

    /// Removes leaves in which no process is left.
    fn sweep(&mut self) {
        for _ in 0..LOOKED_AT_ONCE {
            let Some(leaf) = self.waste.pop_front() else {
                break;
            };
            self.unseen = self.unseen.saturating_sub(1);
            if path::rmdir_at(&self.dir, &leaf.name).is_err() {
                self.waste.push_back(leaf); // EBUSY: background processes
            }
            if self.unseen == 0 {
                break;
            }
        }
        self.unseen = self.unseen.min(self.waste.len());
    }
}

impl Leaf {
    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Sends a signal to every process in it; how many there were.
    pub(crate) fn signal(&self, signal: i32) -> usize {
        let signalled = |pid: &i32| process::signal(*pid, signal).is_ok();
        self.pids().into_iter().filter(signalled).count()
    }

    /// The processes in it, init not among them.
    pub(crate) fn pids(&self) -> Vec<i32> {
        read_all(&self.dir, "cgroup.procs")
            .unwrap_or_default()
            .lines()
            .filter_map(|pid| pid.parse().ok())
            .filter(|pid| *pid > 1)
            .collect()
    }

    /// Ends every process in it at once, also those that are being forked. Linux 5.14.
    pub(crate) fn kill(&self) {
        let killed = path::open_for_writing_at(&self.dir, "cgroup.kill")
            .and_then(|file| fd::write_all(&file, b"1"));
        if killed.is_err() {
            // Again until a round finds none, because one may have forked just before it died.
            for _ in 0..64 {
                if self.signal(9) == 0 {
                    return;
                }
            }
        }
    }

    fn used(&self) -> ExecUse {
        let dir = &self.dir;
        let number = |name: &str| text(dir, name).and_then(|text| text.trim().parse().ok());
        let cpu = text(dir, "cpu.stat").unwrap_or_default();
        let memory = text(dir, "memory.events").unwrap_or_default();
        let pids = text(dir, "pids.events").unwrap_or_default();
        let io = text(dir, "io.stat").unwrap_or_default();
        let stall = |name: &str| text(dir, name).map_or(0, |text| some_total(&text));
        ExecUse {
            user_us: keyed(&cpu, "user_usec"),
            system_us: keyed(&cpu, "system_usec"),
            throttled_us: 0,
            memory_peak: number("memory.peak").unwrap_or(0),
            oom_kills: keyed(&memory, "oom_kill"),
            pids_peak: number("pids.peak").unwrap_or(0),
            forks_refused: keyed(&pids, "max"),
            read_bytes: nested(&io, "rbytes"),
            write_bytes: nested(&io, "wbytes"),
            pressure: Stalls {
                cpu_us: stall("cpu.pressure"),
                memory_us: stall("memory.pressure"),
                io_us: stall("io.pressure"),
            },
        }
    }
}

/// A small file, as the kernel gives it at one read.
fn text(dir: &OwnedFd, name: &str) -> Option<String> {
    let file = path::open_file_at(dir, name).ok()?;
    let mut bytes = [0; FILE];
    let count = fd::read(&file, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

/// A file of any length.
fn read_all(dir: &OwnedFd, name: &str) -> Option<String> {
    let file = path::open_file_at(dir, name).ok()?;
    let (mut all, mut bytes) = (Vec::new(), [0; FILE]);
    loop {
        match fd::read(&file, &mut bytes) {
            Ok(0) => return Some(String::from_utf8_lossy(&all).into_owned()),
            Ok(count) => all.extend_from_slice(&bytes[..count]),
            Err(_) => return None,
        }
    }
}

/// A counter of a file that is open.
fn counter(file: Option<&OwnedFd>, key: &str) -> u64 {
    let mut bytes = [0; FILE];
    file.and_then(|file| fd::read_at(file, &mut bytes, 0).ok())
        .map_or(0, |count| {
            keyed(&String::from_utf8_lossy(&bytes[..count]), key)
        })
}

/// The number beside `key`, one key a line; 0 when it is not there.
fn keyed(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// The sum over all devices of `key=number`.
fn nested(text: &str, key: &str) -> u64 {
    text.split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

/// The total of the `some` line of a pressure file.
fn some_total(text: &str) -> u64 {
    text.lines()
        .find(|line| line.starts_with("some"))
        .map_or(0, |line| nested(line, "total"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::exec::Killer;

    #[test]
    fn files() {
        let events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!((keyed(events, "max"), keyed(events, "oom_kill")), (12, 2));
        assert_eq!(keyed(events, "none"), 0);
        let io = "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=5 wbytes=0\n";
        assert_eq!((nested(io, "rbytes"), nested(io, "wbytes")), (15, 20));
        let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 total=5\n";
        assert_eq!(some_total(pressure), 77);
        assert_eq!(some_total(""), 0);
    }

    /// On any file system: the files of a cgroup are absent, which is how an old kernel looks.
    #[test]
    fn leaves_are_made_ahead_and_removed_when_empty() {
        let dir = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let mut groups = Groups::new(path::open_dir(dir.path()).unwrap());
        let first = groups.take().unwrap();
        assert!(groups.has_work());
        groups.work();
        let second = groups.take().unwrap();
        assert_eq!(names(), ["x1", "x2"]);
        // Something is left in the second one.
        std::fs::create_dir(dir.path().join("x2/busy")).unwrap();
        groups.discard(first);
        groups.discard(second);
        while groups.has_work() {
            groups.work();
        }
        assert_eq!(names(), ["x2", "x3"], "the next one stands ready");
        std::fs::remove_dir(dir.path().join("x2/busy")).unwrap();
        groups.orphan_ended();
        groups.work();
        assert_eq!(names(), ["x3"]);
    }

    #[test]
    fn causes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("memory.max"), "1048576\n").unwrap();
        std::fs::write(dir.path().join("pids.max"), "max\n").unwrap();
        let groups = Groups::new(path::open_dir(dir.path()).unwrap());
        let killed = |by| End::Signaled { signal: 9, by };
        let used = |oom_kills, forks_refused| ExecUse {
            oom_kills,
            forks_refused,
            ..ExecUse::default()
        };
        let out_of_memory = |status| End::OutOfMemory {
            status,
            limit: Some(1 << 20),
        };
        let pids = |status| End::PidsLimit {
            status,
            limit: None,
        };
        let table = [
            (used(1, 1), killed(Killer::Unknown), out_of_memory(137)),
            (used(1, 0), End::Exited { code: 1 }, out_of_memory(1)),
            (used(1, 1), End::Exited { code: 0 }, End::Exited { code: 0 }),
            (used(0, 1), End::Exited { code: 2 }, pids(2)),
            (used(0, 0), killed(Killer::Unknown), killed(Killer::Inside)),
            (used(0, 0), killed(Killer::Client), killed(Killer::Client)),
        ];
        for (used, plain, expected) in table {
            assert_eq!(groups.cause(&used, plain.clone()), expected, "{plain:?}");
        }
    }
}
