//! Pause stops everything where it is, and everything else goes on.

use shedbox_client::spec::api::Status;

use crate::require;
use crate::subject::Subject;
use crate::support::{Home, eventually, wait};

/// A command that counts in a file, without end.
fn count(subject: &Subject) {
    subject.home.run([
        "exec",
        "--detach",
        &subject.name,
        "sh",
        "-c",
        "n=0; while :; do n=$((n+1)); echo $n > /count; sleep 0.01; done",
    ]);
    eventually("the counter counts", || counted(subject) > 0);
}

/// How far it has come. Read as a file, because a paused sandbox runs no command.
fn counted(subject: &Subject) -> u64 {
    let output = subject
        .home
        .shedbox(["cp", &format!("{}:/count", subject.name), "-"])
        .output()
        .expect("run shedbox");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A tar stream of one small file: the number stands in its second block.
    text.get(512..)
        .map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        })
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[test]
fn a_counter_stops_and_goes_on() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    count(&subject);
    subject.run(&["pause"]);
    let stopped = counted(&subject);
    assert!(stopped > 0);
    for _ in 0..50 {
        wait::pause();
    }
    assert_eq!(counted(&subject), stopped);
    subject.run(&["unpause"]);
    eventually("it goes on", || counted(&subject) > stopped);
}

#[test]
fn listings_say_so_and_commands_are_refused() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    subject.run(&["pause"]);
    assert_eq!(subject.info().status, Status::Paused);
    let listed = subject.home.run(["ps"]);
    assert!(listed.contains("(Paused)"), "{listed}");
    let listed = subject.home.run([
        "ps",
        "--quiet",
        "--filter",
        "status=paused",
        "--filter",
        &format!("name={}", subject.name),
    ]);
    assert_eq!(listed.lines().count(), 1);
    let exec = ["exec", &subject.name, "true"];
    subject.home.refused(exec, 125, "is paused, unpause it");
    let pause = ["pause", &subject.name];
    subject.home.refused(pause, 1, "already paused");
    subject.run(&["unpause"]);
    assert_eq!(subject.info().status, Status::Running);
    assert_eq!(subject.sh("echo on"), "on");
    let unpause = ["unpause", &subject.name];
    subject.home.refused(unpause, 1, "not paused");
}

#[test]
fn the_next_daemon_knows_of_it() {
    require!(userns, cgroup);
    let subject = Subject::in_home(Home::new(), &[]);
    count(&subject);
    subject.run(&["pause"]);
    let stopped = counted(&subject);
    subject.home.stop_servants();
    // A daemon of this home, which a client in this process would start elsewhere.
    subject.home.run(["ps", "--quiet"]);
    assert_eq!(subject.info().status, Status::Paused);
    assert_eq!(counted(&subject), stopped);
    subject.run(&["unpause"]);
    eventually("it goes on", || counted(&subject) > stopped);
}

#[test]
fn reset_stop_and_removal_do_not_wait() {
    require!(userns, cgroup);
    let subject = Subject::new(&[]);
    subject.run(&["pause"]);
    subject.run(&["reset"]);
    assert_eq!(subject.info().status, Status::Running);
    assert_eq!(subject.sh("echo new"), "new");
    subject.run(&["pause"]);
    subject.run(&["stop", "--time=20"]);
    assert_eq!(subject.info().status, Status::Exited);
    subject.run(&["start"]);
    subject.run(&["pause"]);
    subject.run(&["rm", "-f"]);
}
