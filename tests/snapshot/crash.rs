//! The daemon is killed, or the disk is as a kill at some step would have left it: nothing is lost that was promised, and
//! nothing stays that nobody uses.

use std::path::PathBuf;
use std::time::Duration;

use shedbox_client::spec::api::Status;

use crate::require;
use crate::subject::Subject;
use crate::support::{Kinship, eventually};

/// Kills the daemon, and comes back when it has gone.
fn kill_daemon(kin: &Kinship, subject: &Subject) {
    let daemon = kin.daemon(&subject.home).expect("a daemon");
    daemon.kill();
    eventually("the daemon is gone", || kin.daemon(&subject.home).is_none());
}

#[test]
fn the_next_daemon_knows_what_stands_on_what() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo 1 >/file");
    subject.snapshot_at_rest("one");
    subject.sh("echo 2 >/file");
    subject.snapshot("two");
    home.run(["fork", &format!("{name}:two"), "fork"]);
    subject.restore("two");
    subject.sh("echo over >/over");
    let before = subject.snapshots();
    for servants in [false, true] {
        kill_daemon(&kin, &subject);
        if servants {
            kin.keepers().iter().for_each(crate::support::Kin::kill);
        }
        assert_eq!(subject.snapshots(), before);
        assert_eq!(subject.sh("cat /file /over"), "2\nover");
        assert_eq!(subject.sh_in("fork", "cat /file"), "2");
        assert_eq!(subject.directories(), 2);
    }
    home.run(["stop", "--time=0", name]);
    home.run(["start", name]);
    assert_eq!(subject.sh("cat /file /over"), "2\nover");
    home.run(["reset", "fork"]);
    assert_eq!(subject.sh_in("fork", "cat /file"), "2");
    subject.restore("one");
    assert_eq!(subject.sh("cat /file"), "1");
    // Names and users go while nobody is there to count them.
    home.run(["rm", "-f", name]);
    kill_daemon(&kin, &subject);
    assert_eq!(subject.snapshots().len(), 2);
    home.run(["rm", "-f", "fork"]);
    assert_eq!(subject.directories(), 0);
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "moments spread over an operation are the point; there is no event to wait for"
)]
fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// Killed while it copies, exchanges, restores, forks: at moments spread over what these take.
#[test]
fn killed_in_between() {
    require!(userns, image "tiny");
    let kin = Kinship::begin();
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("for i in $(seq 300); do echo $i >/file$i; done; echo base >/state");
    subject.snapshot("base");
    let whole = "ls / | grep -c '^file'; cat /state";
    for round in 0..24_u64 {
        let tag = format!("t{round}");
        let target = format!("{name}:base");
        let stop: Vec<&str> = vec!["snapshot", "create", "--stop", name, &tag];
        let arguments: Vec<&str> = match round % 4 {
            0 => vec!["snapshot", "create", name, &tag],
            1 => vec!["restore", name, "base"],
            2 => vec!["fork", &target, &tag],
            _ => stop,
        };
        let mut client = home
            .command(&arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("start shedbox");
        let_pass(Duration::from_millis(5 + 4 * (round / 4) * (round / 4)));
        kill_daemon(&kin, &subject);
        let _ = client.wait();
        // The next daemon decides. What was answered or not: each sandbox that is there is whole.
        let client = home.client();
        if subject.info().status != Status::Running {
            home.run(["start", name]);
        }
        assert_eq!(subject.sh(whole), "300\nbase", "{arguments:?}");
        let tags = home.run(["snapshot", "ls", "-q", name]);
        if tags.lines().any(|line| line == tag) {
            home.run(["restore", name, &tag]);
            assert_eq!(subject.sh(whole), "300\nbase", "{arguments:?}");
            home.run(["snapshot", "rm", name, &tag]);
        }
        for info in client.sandboxes(true, &[]).unwrap() {
            if info.name == tag {
                home.run(["reset", &tag]);
                assert_eq!(subject.sh_in(&tag, whole), "300\nbase");
                home.run(["rm", "-f", &tag]);
            }
        }
        home.run(["restore", name, "base"]);
        eventually("nobody uses anything but the first one", || {
            subject.directories() == 1
        });
    }
}

/// What each step of taking a snapshot leaves, made by hand.
#[test]
fn half_made_ones_go_and_exchanged_ones_stay() {
    require!(userns, image "tiny", root);
    let kin = Kinship::begin();
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo 1 >/file");
    subject.snapshot_at_rest("one");
    subject.sh("echo 2 >/file");
    let snapshots = home.root().join("snapshots");
    let dir = PathBuf::from(subject.info().dir);
    kill_daemon(&kin, &subject);
    // A copy that was under way, a complete one without a name, an empty directory before an exchange, a stranger.
    let complete = snapshots.join("0".repeat(32));
    for half_made in [
        snapshots.join(format!(".new-{}", "1".repeat(32))),
        complete.clone(),
        snapshots.join("2".repeat(32)),
        snapshots.join("other"),
    ] {
        std::fs::create_dir_all(half_made.join("upper/deep")).unwrap();
    }
    std::fs::copy(
        std::fs::read_link(dir.join("snapshots/one"))
            .map(|link| dir.join("snapshots").join(link).join("snapshot.json"))
            .unwrap(),
        complete.join("snapshot.json"),
    )
    .unwrap();
    assert_eq!(subject.snapshots().len(), 1);
    assert_eq!(subject.directories(), 1);
    assert_eq!(subject.sh("cat /file"), "2");
    // Exchanged, and killed before the tag: the sandbox stands on a snapshot without a name.
    subject.snapshot_at_rest("two");
    kill_daemon(&kin, &subject);
    std::fs::remove_file(dir.join("snapshots/two")).unwrap();
    let left = subject.snapshots();
    assert_eq!(left.len(), 2);
    assert!(left[1].tag.is_none());
    assert_eq!(subject.sh("cat /file"), "2");
    home.run(["reset", name]);
    eventually("nobody uses it", || subject.directories() == 1);
    // A tag whose files have gone with the machine.
    kill_daemon(&kin, &subject);
    std::fs::write(
        snapshots.join(left[0].id.as_str()).join("snapshot.json"),
        "",
    )
    .unwrap();
    assert_eq!(subject.snapshots(), []);
    home.refused(["restore", name, "one"], 1, "has no snapshot `one`");
    assert_eq!(subject.directories(), 0);
}
