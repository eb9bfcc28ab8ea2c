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
const ROUNDS: usize = 64;

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

/// Sends `signal` to those of `pids` that were started at most `age_ms` ago. The kernel notes starts in hundredths of a
/// second; who may be a little too old is taken along. Source: proc_pid_stat(5), `starttime`; proc_uptime(5).
pub(crate) fn signal_younger(
    proc: &OwnedFd,
    pids: impl Iterator<Item = i32>,
    signal: i32,
    age_ms: u64,
) {
    let text = |path: &str| {
        let bytes = shedbox_linux::inroot::read_small(proc, path, 4096).ok()??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let Some(now) = text("uptime").and_then(|uptime| hundredths(&uptime)) else {
        return;
    };
    let eldest = now.saturating_sub(age_ms / 10 + 1);
    for pid in pids {
        let born = text(&format!("{pid}/stat")).and_then(|stat| start(&stat));
        if born.is_some_and(|born| born >= eldest) {
            let _ = process::signal(pid, signal); // it may have just ended
        }
    }
}

/// The time since the system was started.
fn hundredths(uptime: &str) -> Option<u64> {
    let (seconds, rest) = uptime.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 100 + rest.parse::<u64>().ok()?)
}

/// When a process was started, in hundredths of a second since the system was: USER_HZ is 100 on our architectures.
fn start(stat: &str) -> Option<u64> {
    // The 22nd field; the second one, in parentheses, may have blanks.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
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
    fn times_of_the_kernel() {
        assert_eq!(hundredths("350735.47 234388.90\n"), Some(35_073_547));
        assert_eq!(hundredths("nothing"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8123 1 2 3";
        assert_eq!(start(stat), Some(8123));
    }
}
