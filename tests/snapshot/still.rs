//! Processes stand still while they are copied, which takes a control group: run in guests.

use shedbox_client::spec::api::Status;

use crate::require;
use crate::subject::Subject;
use crate::support::eventually;

/// Pairs of files, and so many that to copy them takes longer than to write one.
const PAIRS: usize = 150;

/// Writes a number into a1, b1, a2, b2, … and then the next one, without end and without starting a program.
const WRITE: &str = "mkdir /p; n=0; while :; do n=$((n+1)); i=1; while [ $i -le 150 ]; do \
    echo $n >/p/a$i; echo $n >/p/b$i; i=$((i+1)); done; done";

/// What is in them, in the order in which they are written.
const READ: &str = "i=1; while [ $i -le 150 ]; do for f in a$i b$i; do n=; read n </p/$f || true; echo \"$n\"; done; \
    i=$((i+1)); done";

fn begin() -> Subject {
    let subject = Subject::new();
    let detached = ["exec", "--detach", &subject.name, "sh", "-c", WRITE];
    subject.home.run(detached);
    eventually("it has written all of them once", || rounds(&subject) > 1);
    subject
}

/// How often it has begun anew; 0 at a moment when that cannot be seen.
fn rounds(subject: &Subject) -> u64 {
    let text = subject.sh("n=0; read n </p/a1 || true; echo $n");
    text.parse().unwrap_or(0)
}

/// The files of one moment: up to some file the last number, from there on the one before; where it was writing, a file
/// may be empty, because that is how a shell writes it.
#[track_caller]
fn is_of_one_moment(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2 * PAIRS, "{text}");
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.len() + 1 >= lines.len(), "{lines:?}");
    assert!(numbers.is_sorted_by(|a, b| a >= b), "{lines:?}");
    assert!(numbers[0] - numbers[numbers.len() - 1] <= 1, "{lines:?}");
}

#[test]
fn a_copy_is_of_one_moment_and_its_process_goes_on() {
    require!(userns, image "tiny", cgroup);
    let subject = begin();
    let (home, name) = (&subject.home, subject.name.as_str());
    let before = subject.info();
    for tag in ["one", "two", "three"] {
        subject.snapshot(tag);
        let after = rounds(&subject);
        eventually("the process goes on", || rounds(&subject) > after);
        // Read where nobody writes.
        let fork = home.run(["fork", &format!("{name}:{tag}")]);
        is_of_one_moment(&subject.sh_in(&fork, READ));
        home.run(["rm", "-f", &fork]);
    }
    let json = home.run(["snapshot", "inspect", name, "one", "two", "three"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for index in 0..3 {
        assert_eq!(json[index]["consistent"], true, "{json}");
    }
    let after = subject.info();
    assert_eq!(
        (after.status, after.init_pid),
        (Status::Running, before.init_pid)
    );
}

#[test]
fn one_that_was_paused_stays_paused() {
    require!(userns, image "tiny", cgroup);
    let subject = begin();
    let (home, name) = (&subject.home, subject.name.as_str());
    home.run(["pause", name]);
    subject.snapshot("one");
    assert_eq!(subject.info().status, Status::Paused);
    home.refused(["exec", name, "true"], 125, "is paused, unpause it");
    subject.snapshot("two");
    assert!(subject.snapshots().iter().all(|taken| taken.consistent));
    // Nothing was written between the two.
    let seen = ["one", "two"].map(|tag| {
        let fork = home.run(["fork", &format!("{name}:{tag}")]);
        subject.sh_in(&fork, READ)
    });
    is_of_one_moment(&seen[0]);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(subject.info().status, Status::Paused);
    home.run(["unpause", name]);
    let after = rounds(&subject);
    eventually("the process goes on", || rounds(&subject) > after);
}
