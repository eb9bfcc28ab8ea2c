//! No group outlives its generation, whoever dies.

use std::path::{Path, PathBuf};

use crate::require;
use crate::subject::Subject;
use crate::support::{Home, Random, eventually, seed, unique};

/// Most groups that a daemon keeps ready.
const STOCK: usize = 8;

fn groups(base: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn populated(group: &Path) -> bool {
    std::fs::read_to_string(group.join("cgroup.events"))
        .is_ok_and(|events| events.contains("populated 1"))
}

/// Nothing but empty groups in stock.
fn only_stock(base: &Path) -> bool {
    let all = groups(base);
    all.len() <= STOCK && !all.iter().any(|group| populated(group))
}

#[test]
fn a_reset_and_a_removal_leave_none() {
    require!(userns, cgroup);
    let subject = Subject::in_home(Home::new(), &["--pids-limit=50"]);
    let first = subject.group();
    let base = first.parent().expect("a base").to_owned();
    for _ in 0..3 {
        subject.run(&["reset"]);
    }
    eventually("the group of the first life goes", || !first.exists());
    // The present one and a spare.
    eventually("groups of earlier lives go", || {
        groups(&base).len() <= STOCK + 2
    });
    subject.run(&["rm", "-f"]);
    eventually("the groups of a removed sandbox go", || only_stock(&base));
    subject.home.stop_servants();
    eventually("a daemon that leaves takes the rest along", || {
        !base.exists()
    });
}

#[test]
fn a_main_process_that_ends_leaves_none() {
    require!(userns, cgroup);
    let subject = Subject::in_home(Home::new(), &[]);
    let base = subject.group().parent().expect("a base").to_owned();
    for _ in 0..3 {
        subject.home.run(["run", "--rm", "host", "true"]);
    }
    subject.run(&["stop", "--time=0"]);
    eventually("the groups go", || only_stock(&base));
}

#[test]
fn the_next_daemon_takes_away_what_a_killed_one_left() {
    require!(userns, cgroup);
    let mut random = Random(seed());
    let subject = Subject::in_home(Home::new(), &["--pids-limit=50"]);
    let group = subject.group();
    let base = group.parent().expect("a base").to_owned();
    for _ in 0..3 {
        let name = unique("doomed");
        let mut create = subject
            .home
            .command([
                "run", "--detach", "--name", &name, "host", "sleep", "1000000",
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("start shedbox");
        for _ in 0..random.next() % 20 {
            crate::support::wait::pause();
        }
        let daemon = subject
            .home
            .servants()
            .into_iter()
            .find(|process| process.command.contains("daemon"))
            .expect("a daemon");
        shedbox_linux::process::signal(daemon.pid, 9).expect("kill the daemon");
        create.wait().expect("wait");
        subject.home.run(["ps", "--quiet"]);
    }
    assert_eq!(subject.group(), group, "a living sandbox keeps its group");
    assert_eq!(subject.sh("echo alive"), "alive");
    subject.home.remove_sandboxes();
    eventually("what the killed daemons left goes", || only_stock(&base));
    subject.home.stop_servants();
    eventually("the base goes", || !base.exists());
}
