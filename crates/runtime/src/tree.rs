//! All processes that came of one exec, however often they forked, changed session or lost their parent.
//!
//! The hard limit of RLIMIT_LOCKS carries a number that is unique to the exec. The kernel has not used this limit since
//! Linux 2.4, hands it on at fork(2) and execve(2), and lets nobody without CAP_SYS_RESOURCE raise it again. A process
//! that lowers it leaves its own tree, which gains it no more than outliving a time-out: reset and remove end every
//! process of the sandbox. Source: getrlimit(2).

use std::os::fd::OwnedFd;

use shedbox_linux::path;
use shedbox_linux::process;
use shedbox_linux::tree::Entries;

/// The mark of an exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    /// The mark of the `number`th exec.
    pub(crate) fn new(number: u32) -> Self {
        Self(number)
    }

    /// The limit that carries it: large enough to mean "no limit" to a program that reads it.
    pub(crate) fn value(self) -> u64 {
        (1 << 62) + u64::from(self.0)
    }
}

/// Most rounds of [`kill`] in a row: a tree that forks faster than it is killed must not hold init up.
pub(crate) const ROUNDS: usize = 64;

/// Sends `signal` to every living process of `tag`; how many there were.
pub(crate) fn signal(proc: &OwnedFd, tag: Tag, signal: i32) -> usize {
    let mut count = 0;
    for pid in pids(proc) {
        if mark(proc, pid) == Some(tag.value())
            && !is_zombie(proc, pid)
            && process::signal(pid, signal).is_ok()
        {
            count += 1;
        }
    }
    count
}

/// Ends every process of `tag`: again until a round finds none, because one may have forked just before it died.
pub(crate) fn kill(proc: &OwnedFd, tag: Tag) {
    for _ in 0..ROUNDS {
        if signal(proc, tag, 9) == 0 {
            return;
        }
    }
}

/// Living processes of `tag`.
pub(crate) fn of(proc: &OwnedFd, tag: Tag) -> Vec<i32> {
    let mut pids = pids(proc);
    pids.retain(|pid| mark(proc, *pid) == Some(tag.value()));
    pids
}

/// A process as nobody else can be it: a pid may be given anew, but not at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth {
    pid: i32,
    /// In ticks since the system was started.
    start: u64,
}

/// The births of those of `pids` that live.
pub(crate) fn births(proc: &OwnedFd, pids: &[i32]) -> Vec<Birth> {
    let looked = pids.iter().filter_map(|pid| look(proc, *pid));
    looked.map(|(birth, _)| birth).collect()
}

/// Sends `signal` to those of `pids` that live, and neither are in `spared` nor below one that is; how many.
pub(crate) fn signal_others(proc: &OwnedFd, pids: &[i32], spared: &[Birth], signal: i32) -> usize {
    let living: Vec<(Birth, i32)> = pids.iter().filter_map(|pid| look(proc, *pid)).collect();
    let is_spared = |birth: Birth| {
        let parent = |birth: &Birth| {
            let (_, parent) = living.iter().find(|(other, _)| other == birth)?;
            let (parent, _) = living.iter().find(|(other, _)| other.pid == *parent)?;
            Some(*parent)
        };
        std::iter::successors(Some(birth), parent)
            // The list is not one moment's, so it could have a circle.
            .take(living.len())
            .any(|ancestor| spared.contains(&ancestor))
    };
    let others = living.iter().filter(|(birth, _)| !is_spared(*birth));
    others
        .filter(|(birth, _)| process::signal(birth.pid, signal).is_ok())
        .count()
}

/// A living process and its parent.
fn look(proc: &OwnedFd, pid: i32) -> Option<(Birth, i32)> {
    let bytes = shedbox_linux::inroot::read_small(proc, &format!("{pid}/stat"), 4096).ok()??;
    let text = String::from_utf8_lossy(&bytes);
    let (parent, start) = parent_and_start(&text)?;
    let lives = state(&text).is_some_and(|state| !matches!(state, 'Z' | 'X'));
    lives.then_some((Birth { pid, start }, parent))
}

/// Fields 4 and 22 of a `/proc/<pid>/stat`; the second one, in parentheses, may have blanks. Source: proc_pid_stat(5).
fn parent_and_start(stat: &str) -> Option<(i32, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.nth(17)?.parse().ok()?))
}

/// Pids in this namespace, init itself not among them.
pub(crate) fn pids(proc: &OwnedFd) -> Vec<i32> {
    let names = path::open_dir_at(proc, ".").and_then(Entries::new);
    names
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.name.to_str()?.parse().ok())
        .filter(|pid| *pid != 1)
        .collect()
}

/// The hard limit that carries the mark. From /proc, because the filter that init shares with its commands refuses
/// prlimit(2) on another process.
fn mark(proc: &OwnedFd, pid: i32) -> Option<u64> {
    let limits = shedbox_linux::inroot::read_small(proc, &format!("{pid}/limits"), 4096).ok()??;
    hard_locks(&String::from_utf8_lossy(&limits))
}

/// The hard limit of file locks in a `/proc/<pid>/limits`. Source: proc_pid_limits(5).
fn hard_locks(limits: &str) -> Option<u64> {
    let values = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max file locks"))?;
    values.split_whitespace().nth(1)?.parse().ok()
}

fn is_zombie(proc: &OwnedFd, pid: i32) -> bool {
    let stat = shedbox_linux::inroot::read_small(proc, &format!("{pid}/stat"), 4096);
    match stat {
        Ok(Some(stat)) => {
            state(&String::from_utf8_lossy(&stat)).is_none_or(|state| matches!(state, 'Z' | 'X'))
        }
        _ => true, // gone meanwhile
    }
}

/// The state letter of a `/proc/<pid>/stat`. Source: proc_pid_stat(5).
pub(crate) fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_of_the_kernel() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8123 1 2 3";
        assert_eq!(parent_and_start(stat), Some((1, 8123)));
        assert_eq!(parent_and_start("7 (a) S 1"), None);
    }
}
