//! What restore, reset, stop and start do to what a sandbox stands on.

use shedbox_client::spec::api::Status;

use crate::require;
use crate::subject::Subject;
use crate::support::{Case, Home, eventually, unique};

#[test]
fn a_process_goes_on_after_a_snapshot() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    home.run([
        "exec",
        "--detach",
        name,
        "sh",
        "-c",
        "n=0; while :; do n=$((n+1)); echo $n >/count.new; mv /count.new /count; sleep 0.01; done",
    ]);
    let counted = || {
        subject
            .sh("cat /count 2>/dev/null || echo 0")
            .parse::<u64>()
            .unwrap()
    };
    eventually("the counter counts", || counted() > 0);
    let before = subject.info();
    let low = counted();
    subject.snapshot("while");
    let after = counted();
    eventually("the counter goes on", || counted() > after);
    assert_eq!(subject.info().init_pid, before.init_pid);
    let fork = home.run(["fork", &format!("{name}:while")]);
    let kept: u64 = subject.sh_in(&fork, "cat /count").parse().unwrap();
    assert!((low..=after).contains(&kept), "{low} {kept} {after}");
    // Nothing runs in the fork but its main process.
    let count =
        "n=0; for p in /proc/[0-9]*; do grep -q count.new $p/cmdline && n=$((n+1)); done; echo $n";
    assert_eq!(subject.sh_in(&fork, count), "1", "this very command alone");
}

#[test]
fn twenty_times_and_no_trace() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    subject.sh("echo kept >/file");
    subject.snapshot("point");
    let client = subject.home.client();
    let sandbox = client.sandbox(&subject.name).unwrap();
    let first = subject.info().generation;
    for round in 0..20 {
        let report = sandbox.restore("point").unwrap();
        assert_eq!(report.generation, first + round + 1);
        assert_eq!(
            subject.sh("cat /file; ls / | grep -c round || true"),
            "kept\n0"
        );
        subject.sh(&format!(
            "echo {round} >/file; echo x >/round{round}; sleep 1000 >/dev/null 2>&1 &"
        ));
    }
    // The next one is likely the same as the last one: so is what is built ahead.
    eventually("a spare stands ready", || sandbox.info().unwrap().spare);
    assert!(sandbox.restore("point").unwrap().from_spare);
    eventually("a spare stands ready", || sandbox.info().unwrap().spare);
    assert!(
        !sandbox.reset().unwrap().from_spare,
        "it stood on the snapshot"
    );
    subject.sh("! test -e /file");
    eventually("a spare stands ready", || sandbox.info().unwrap().spare);
    assert!(sandbox.reset().unwrap().from_spare);
    assert_eq!(subject.directories(), 1);
}

#[test]
fn reset_goes_back_to_the_image_and_restore_to_the_snapshot_again() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo 1 >/file");
    subject.snapshot("one");
    subject.sh("echo 2 >/file");
    subject.snapshot_at_rest("two");
    subject.sh("echo 3 >/file");
    subject.restore("one");
    assert_eq!(subject.sh("cat /file"), "1");
    // Stop and start keep what was written over a snapshot.
    subject.sh("echo over >/over");
    home.run(["stop", "--time=0", name]);
    home.run(["start", name]);
    assert_eq!(subject.sh("cat /file /over"), "1\nover");
    home.run(["reset", name]);
    subject.sh("! test -e /file; ! test -e /over");
    assert_eq!(subject.info().base, None);
    // One that does not run is started, as by a reset.
    home.run(["stop", "--time=0", name]);
    subject.restore("two");
    assert_eq!(subject.sh("cat /file"), "2");
    let info = subject.info();
    assert_eq!(
        (info.status, info.base.is_some(), info.forked_from),
        (Status::Running, true, None)
    );
}

#[test]
fn with_stop_it_is_a_rename_and_the_sandbox_runs_again() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo 1 >/file");
    let inode = subject.sh("stat -c %i /file");
    let before = subject.info();
    assert_eq!(home.run(["snapshot", "create", "--stop", name]), "1");
    assert_eq!(subject.sh("cat /file"), "1");
    assert_eq!(subject.sh("stat -c %i /file"), inode, "the very same file");
    let after = subject.info();
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(after.base.as_ref(), Some(&subject.snapshots()[0].id));
    assert_eq!(home.run(["snapshot", "create", "--stop", name]), "2");
    assert_eq!(subject.snapshots()[1].parent, after.base);
}

#[test]
fn of_the_host_and_of_a_directory() {
    require!(userns);
    let case = Case::host().sh("echo kept >$HOME/file; rm -rf /srv").ok();
    let (home, name) = (case.get_home(), case.name().to_owned());
    assert_eq!(home.run(["snapshot", "create", &name]), "1");
    let case = case.sh("rm $HOME/file").ok();
    case.get_home().run(["restore", &name, "1"]);
    let case = case.sh("cat $HOME/file").stdout("kept");
    let fork = case.get_home().run(["fork", &format!("{name}:1")]);
    assert_eq!(
        case.get_home()
            .run(["exec", &fork, "sh", "-c", "cat $HOME/file"]),
        "kept"
    );
    case.get_home().run(["rm", "-f", &fork]);
}

#[test]
fn one_that_has_never_run() {
    require!(userns, image "tiny");
    let home = Home::new();
    let tiny = home.image("tiny");
    let name = unique("never");
    home.run(["create", "--name", &name, &tiny, "sleep", "1000000"]);
    home.run(["snapshot", "create", &name, "empty"]);
    let fork = home.run(["fork", "--no-start", &format!("{name}:empty"), "unstarted"]);
    assert_eq!(fork, "unstarted");
    home.refused(["exec", "unstarted", "true"], 125, "is not running");
    home.run(["start", &name, "unstarted"]);
    assert_eq!(
        home.run([
            "exec",
            "unstarted",
            "sh",
            "-c",
            "cat /etc/image; echo y >/y"
        ]),
        home.run(["exec", &name, "cat", "/etc/image"])
    );
    home.run(["reset", "unstarted"]);
    home.refused(["exec", "unstarted", "cat", "/y"], 1, "No such file");
}
