//! What is refused, and in which words.

use crate::require;
use crate::subject::Subject;
use crate::support::Home;

#[test]
fn tags_and_names() {
    require!(userns, image "tiny");
    let subject = Subject::new();
    let (home, name) = (&subject.home, subject.name.as_str());
    subject.snapshot("there");
    let long = "t".repeat(129);
    for bad in [
        "",
        ".",
        "..",
        "-x",
        "a/b",
        "../../etc",
        "a b",
        "a:b",
        "\u{e9}",
        &long,
    ] {
        home.refused(["snapshot", "create", "--", name, bad], 125, "invalid tag");
        // Past the command's own check.
        let client = home.client();
        let error = client
            .sandbox(name)
            .unwrap()
            .snapshot(Some(bad))
            .unwrap_err();
        assert!(error.to_string().contains("invalid tag"), "{bad}: {error}");
        let error = client.sandbox(name).unwrap().restore(bad).unwrap_err();
        assert!(error.to_string().contains("invalid tag"), "{bad}: {error}");
    }
    home.refused(
        ["snapshot", "create", name, "there"],
        1,
        "has a snapshot `there` already",
    );
    home.refused(["restore", name, "absent"], 1, "has no snapshot `absent`");
    home.refused(
        ["snapshot", "rm", name, "absent"],
        1,
        "has no snapshot `absent`",
    );
    home.refused(
        ["snapshot", "inspect", name, "absent"],
        1,
        "has no snapshot `absent`",
    );
    home.refused(
        ["fork", &format!("{name}:absent")],
        1,
        "has no snapshot `absent`",
    );
    home.refused(["fork", name, "a/b"], 1, "invalid sandbox name");
    home.refused(["fork", name, "--count=0"], 1, "0 forks cannot be made");
    home.refused(["fork", name, "--count=1001"], 1, "at most 1000");
    home.refused(
        ["fork", name, "--count=1", "aa", "bb"],
        1,
        "2 names for 1 forks",
    );
    for command in [
        ["restore", "nobody", "x"],
        ["snapshot", "create", "nobody"],
        ["snapshot", "ls", "nobody"],
    ] {
        home.refused(command, 1, "no such sandbox: `nobody`");
    }
    assert_eq!(home.run(["snapshot", "ls", "-q"]), "there");
    assert_eq!(subject.directories(), 1, "nothing half-made is left");
    // It is as it was.
    subject.sh("true");
}

#[test]
fn what_is_in_memory_cannot_be_kept() {
    require!(userns, image "tiny");
    let home = Home::new();
    let tiny = home.image("tiny");
    let options = [
        "run",
        "-d",
        "--name",
        "memory",
        "--disk",
        "16m,backing=tmpfs",
        &tiny,
        "sleep",
        "1000000",
    ];
    home.run(options);
    home.refused(
        ["snapshot", "create", "memory"],
        1,
        "is in memory, inside of it alone",
    );
    home.refused(
        ["snapshot", "create", "--stop", "memory"],
        1,
        "is in memory, inside of it alone",
    );
    home.refused(["fork", "memory"], 1, "is in memory, inside of it alone");
    home.run(["exec", "memory", "true"]);
}

#[test]
fn one_that_goes_with_its_end_is_not_stopped() {
    require!(userns, image "tiny");
    let subject = Subject::with(&["--rm"]);
    subject.home.refused(
        ["snapshot", "create", "--stop", &subject.name],
        1,
        "would be removed by stopping it",
    );
    subject.snapshot("runs");
    subject.sh("true");
}
