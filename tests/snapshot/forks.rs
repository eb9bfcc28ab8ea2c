//! Forks: what they share, what they have of their own, and how many at once.

use std::collections::BTreeSet;

use crate::require;
use crate::subject::Subject;
use crate::support::{eventually, unique};

#[test]
fn a_fork_has_the_files_and_the_spec_and_an_identity_of_its_own() {
    require!(userns, image "tiny");
    let subject = Subject::with(&[
        "--env",
        "KEPT=yes",
        "--label",
        "team=a",
        "--workdir",
        "/srv",
    ]);
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.sh("echo shared >/file");
    subject.snapshot("point");
    subject.sh("echo later >/file");
    let made = home.run([
        "fork",
        &format!("{name}:point"),
        "first",
        "second",
        "--count",
        "3",
    ]);
    let names: Vec<&str> = made.lines().collect();
    assert_eq!(names[..2], ["first", "second"]);
    assert_eq!(names.len(), 3);
    let client = home.client();
    for fork in &names {
        let look = "cat /file; echo $KEPT; pwd; test \"$HOSTNAME\" = \"$(hostname)\"";
        assert_eq!(subject.sh_in(fork, look), "shared\nyes\n/srv");
        let info = client.sandbox(fork).unwrap().info().unwrap();
        assert_eq!(info.labels["team"], "a");
        assert_eq!(info.argv, ["sleep", "1000000"]);
        assert_eq!(subject.sh_in(fork, "hostname"), info.id.short());
        assert_eq!(info.forked_from, info.base);
    }
    // What one writes no other sees, and a reset goes back to the fork point.
    subject.sh_in("first", "echo own >/file; rm /etc/image");
    assert_eq!(
        subject.sh_in("second", "cat /file; ls /etc/image"),
        "shared\n/etc/image"
    );
    assert_eq!(subject.sh("cat /file"), "later");
    for _ in 0..3 {
        home.run(["reset", "first"]);
        assert_eq!(
            subject.sh_in("first", "cat /file; ls /etc/image"),
            "shared\n/etc/image"
        );
        subject.sh_in("first", "echo own >/file");
    }
    home.run(["stop", "--time=0", "first"]);
    home.run(["start", "first"]);
    assert_eq!(subject.sh_in("first", "cat /file"), "own");
}

#[test]
fn without_a_tag_it_is_of_now() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    for round in 0..2 {
        subject.sh(&format!("echo {round} >/file"));
        if round == 1 {
            home.run(["stop", "--time=0", name]);
        }
        let fork = home.run(["fork", name]);
        assert_eq!(subject.sh_in(&fork, "cat /file"), round.to_string());
    }
    home.run(["start", name]);
    assert_eq!(
        subject.sh("cat /file"),
        "1",
        "its own files are as they were"
    );
    assert_eq!(
        home.run(["snapshot", "ls", "--quiet"]),
        "",
        "they have no name"
    );
    let snapshots = subject.snapshots();
    assert_eq!(snapshots.len(), 2);
    assert!(
        snapshots
            .iter()
            .all(|snapshot| snapshot.tag.is_none() && !snapshot.used_by.is_empty())
    );
}

#[test]
fn sixteen_at_once() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    subject.sh("mkdir /d; for i in $(seq 50); do echo $i >/d/$i; done");
    subject.snapshot("point");
    let client = subject.home.client();
    let ids = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let (client, parent) = (client.clone(), subject.name.as_str());
                scope.spawn(move || {
                    let parent = client.sandbox(parent).unwrap();
                    let forks = parent.fork(Some("point"), 1).unwrap();
                    let fork = forks.into_iter().next().unwrap();
                    let script = format!("cat /d/* | wc -l; rm /d/{}; ls /d | wc -l", number + 1);
                    let output = fork.command("sh").args(["-c", &script]).output().unwrap();
                    assert_eq!(String::from_utf8_lossy(&output.stdout), "50\n49\n");
                    fork.id().to_string()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.collect::<BTreeSet<String>>()
    });
    assert_eq!(ids.len(), 16);
    // Each was owned by its handle.
    eventually("the forks have gone", || {
        client.sandboxes(true, &[]).unwrap().len() == 1
    });
    assert_eq!(subject.sh("ls /d | wc -l"), "50");
    assert_eq!(subject.directories(), 1);
}

#[test]
fn a_fork_of_a_fork_of_a_fork() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let home = &subject.home;
    let mut parent = subject.name.clone();
    for level in 1..=4 {
        subject.sh_in(
            &parent,
            &format!("echo {level} >/level{level}; echo {level} >>/all"),
        );
        home.run(["stop", "--time=0", &parent]);
        let fork = home.run(["fork", &parent]);
        home.run(["rm", &parent]);
        let lines: Vec<String> = (1..=level).map(|line| line.to_string()).collect();
        assert_eq!(subject.sh_in(&fork, "cat /all"), lines.join("\n"));
        subject.sh_in(&fork, "echo lost >>/all");
        home.run(["reset", &fork]);
        assert_eq!(
            subject.sh_in(&fork, "cat /all; ls /level* | wc -l"),
            format!("{}\n{level}", lines.join("\n"))
        );
        parent = fork;
    }
    // The whole chain is in use.
    assert_eq!(subject.directories(), 4);
    home.run(["rm", "-f", &parent]);
    assert_eq!(subject.directories(), 0);
}

#[test]
fn addresses_and_ports_of_their_own() {
    require!(userns, image "tiny", tun);
    let subject = Subject::with(&["--network", "bridge", "--publish", "127.0.0.1:0:80"]);
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.snapshot("point");
    let made = home.run(["fork", &format!("{name}:point"), "--count=2"]);
    let client = home.client();
    let all: Vec<&str> = made.lines().chain([name]).collect();
    let infos: Vec<_> = all
        .iter()
        .map(|name| client.sandbox(name).unwrap().info().unwrap())
        .collect();
    let addresses: BTreeSet<String> = infos
        .iter()
        .map(|info| format!("{:?}", info.networks[0].ip))
        .collect();
    let ports: BTreeSet<u16> = infos.iter().map(|info| info.ports[0].host_port).collect();
    assert_eq!(
        (addresses.len(), ports.len()),
        (3, 3),
        "{addresses:?} {ports:?}"
    );
}

#[test]
fn all_or_none() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    let taken = unique("taken");
    home.run(["fork", name, &taken]);
    home.refused(
        ["fork", name, "fresh", &taken, "other"],
        1,
        &format!("the name `{taken}` is taken"),
    );
    home.refused(
        ["fork", name, "twice", "twice"],
        1,
        "the name `twice` is taken",
    );
    let left: BTreeSet<String> = home
        .client()
        .sandboxes(true, &[])
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(left, BTreeSet::from([name.to_owned(), taken]));
    assert_eq!(subject.directories(), 1, "that of the one that is there");
}
