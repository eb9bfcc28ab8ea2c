//! Every process below this one, which must be a subreaper: found by parents, ended by pidfd.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use shedbox_linux::process;
use shedbox_linux::{inroot, path, pidfd};

use crate::tree;

/// Between two rounds: killed processes need a moment to end.
const PAUSE: Duration = Duration::from_millis(2);

/// Ends all of them and reaps them. Comes back when this process has no child any more.
///
/// A process may fork just before it dies, so this goes round until none is left.
pub(crate) fn end_all() {
    let Ok(proc) = path::open_dir(std::path::Path::new("/proc")) else {
        return;
    };
    loop {
        kill(&proc);
        loop {
            match process::reap(false) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // ECHILD: none is left.
                Err(_) => return,
            }
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "no event tells of a process that is between its fork and its end"
        )]
        std::thread::sleep(PAUSE);
    }
}

/// One round of SIGKILL.
fn kill(proc: &OwnedFd) {
    let parents: HashMap<i32, i32> = tree::pids(proc)
        .into_iter()
        .filter_map(|pid| Some((pid, parent(proc, pid)?)))
        .collect();
    let below = below(std::process::id() as i32, &parents);
    for pid in &below {
        // Opened first: should the pid have gone to another process since, its parent is not one of ours.
        let Ok(target) = pidfd::open(*pid) else {
            continue;
        };
        let ours = parent(proc, *pid)
            .is_some_and(|parent| below.contains(&parent) || parent == std::process::id() as i32);
        if ours {
            // It may have ended.
            let _ = pidfd::kill(target.as_fd());
        }
    }
}

/// The parent of a process, while it lives.
fn parent(proc: &OwnedFd, pid: i32) -> Option<i32> {
    let stat = inroot::read_small(proc, &format!("{pid}/stat"), 4096).ok()??;
    parent_in(&String::from_utf8_lossy(&stat))
}

/// Field 4 of a `/proc/<pid>/stat`. Source: proc_pid_stat(5).
fn parent_in(stat: &str) -> Option<i32> {
    let fields = stat.rsplit_once(')')?.1;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// All that descend from `root`, itself not among them.
fn below(root: i32, parents: &HashMap<i32, i32>) -> HashSet<i32> {
    let mut found = HashSet::new();
    loop {
        let before = found.len();
        for (pid, parent) in parents {
            if *parent == root || found.contains(parent) {
                found.insert(*pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_at_any_depth() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 9), (7, 4)]);
        assert_eq!(below(2, &parents), HashSet::from([3, 4, 7]));
        assert_eq!(below(6, &parents), HashSet::new());
        assert_eq!(parent_in("5 (a) b) S 17 5 5 0"), Some(17));
        assert_eq!(parent_in("5"), None);
    }
}
