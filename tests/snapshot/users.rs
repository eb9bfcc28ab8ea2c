//! A snapshot lives as long as somebody uses it, and no longer.

use crate::require;
use crate::subject::Subject;
use crate::support::{Home, eventually};

#[test]
fn the_files_stay_until_the_last_fork_has_gone() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo kept >/file");
    subject.snapshot("point");
    home.run(["fork", &format!("{name}:point"), "one", "two"]);
    home.run(["rm", "-f", name]);
    assert_eq!(subject.directories(), 1);
    for fork in ["one", "two"] {
        home.run(["reset", fork]);
        assert_eq!(subject.sh_in(fork, "cat /file"), "kept");
    }
    assert_eq!(subject.snapshots()[0].used_by.len(), 2);
    home.run(["rm", "-f", "one"]);
    assert_eq!(subject.directories(), 1);
    assert_eq!(subject.sh_in("two", "cat /file"), "kept");
    home.run(["rm", "-f", "two"]);
    assert_eq!(subject.directories(), 0);
}

#[test]
fn a_removed_name_goes_at_once_and_its_files_with_a_reset() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo kept >/file");
    subject.snapshot("point");
    subject.restore("point");
    assert_eq!(home.run(["snapshot", "rm", name, "point"]), "point");
    assert_eq!(home.run(["snapshot", "ls", "-q", name]), "");
    assert_eq!(subject.sh("cat /file"), "kept");
    home.refused(["restore", name, "point"], 1, "has no snapshot `point`");
    // It stands on the files still, also after a stop.
    home.run(["stop", "--time=0", name]);
    home.run(["start", name]);
    assert_eq!(subject.sh("cat /file"), "kept");
    assert_eq!(subject.directories(), 1);
    home.run(["reset", name]);
    subject.sh("! test -e /file");
    eventually("nobody uses the files", || subject.directories() == 0);
    // The name is free again.
    subject.sh("echo second >/file");
    subject.snapshot("point");
    subject.restore("point");
    assert_eq!(subject.sh("cat /file"), "second");
}

/// The files were copied, and the name could not be written.
#[test]
fn one_that_gets_no_name_leaves_no_files() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    let tags = std::path::Path::new(&subject.info().dir).join("snapshots");
    std::fs::write(&tags, "in the way").unwrap();
    subject.sh("echo kept >/file");
    home.refused(["snapshot", "create", name, "point"], 1, "snapshots");
    assert_eq!(subject.directories(), 0);
    std::fs::remove_file(&tags).unwrap();
    subject.snapshot("point");
    subject.sh("rm /file");
    subject.restore("point");
    assert_eq!(subject.sh("cat /file"), "kept");
}

#[test]
fn a_parent_stays_while_a_snapshot_lies_on_it() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo 1 >/one");
    subject.snapshot_at_rest("one");
    subject.sh("echo 2 >/two");
    subject.snapshot_at_rest("two");
    home.run(["snapshot", "rm", name, "one"]);
    home.run(["reset", name]);
    subject.restore("two");
    assert_eq!(subject.sh("cat /one /two"), "1\n2");
    assert_eq!(subject.directories(), 2);
    home.run(["snapshot", "rm", name, "two"]);
    home.run(["reset", name]);
    eventually("nobody uses them", || subject.directories() == 0);
}

#[test]
fn they_are_listed_counted_and_pruned() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("dd if=/dev/urandom of=/big bs=1024 count=4096 2>/dev/null");
    subject.snapshot_at_rest("big");
    subject.snapshot_at_rest("small");
    let listed = subject.snapshots();
    assert!(listed[0].bytes.unwrap() > 4 << 20, "{listed:?}");
    assert!(listed[1].bytes.unwrap() < 1 << 20, "{listed:?}");
    assert_eq!(listed[1].parent.as_ref(), Some(&listed[0].id));
    let table = home.run(["snapshot", "ls"]);
    assert!(
        table.lines().nth(2).unwrap().contains("  big  "),
        "its parent by name:\n{table}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&home.run(["snapshot", "inspect", name, "small"])).unwrap();
    assert_eq!(json[0]["sandbox"], name);
    let fork = home.run(["fork", "--no-start", &format!("{name}:big")]);
    home.run(["stop", "--time=0", name]);
    let pruned = home.client().prune_sandboxes().unwrap();
    assert_eq!(pruned.removed.len(), 2, "with {fork}");
    assert!(pruned.bytes > 4 << 20, "{pruned:?}");
    assert_eq!(subject.directories(), 0);
}

#[test]
fn an_image_stays_while_a_fork_uses_it() {
    require!(userns, image "tiny");
    let home = Home::new();
    let tiny = home.image("tiny");
    home.run(["run", "-d", "--name", "parent", &tiny, "sleep", "1000000"]);
    let fork = home.run(["fork", "parent"]);
    home.run(["rm", "-f", "parent"]);
    home.refused(["rmi", &tiny], 1, "is in use by sandbox");
    home.run(["prune", "--all", "--force"]);
    assert_eq!(
        home.run(["exec", &fork, "cat", "/etc/image"]),
        "built by scripts/test-images"
    );
}
