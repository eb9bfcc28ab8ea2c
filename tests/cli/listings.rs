//! Listings, for people and for programs.

use serde_json::Value;

use crate::require;
use crate::support::{Home, eventually, unique};

fn json(home: &Home, arguments: &[&str]) -> Value {
    serde_json::from_str(&home.run(arguments)).unwrap()
}

#[test]
fn sandboxes() {
    require!(userns);
    let home = Home::new();
    let (up, down) = (unique("up"), unique("down"));
    let id = home.run([
        "run", "-d", "--idle", "--name", &up, "--label", "team=a", "host",
    ]);
    home.run(["create", "--name", &down, "host", "true"]);
    assert_eq!(home.run(["ps", "-q"]), id[..12]);
    assert_eq!(home.run(["ps", "-q", "--no-trunc"]), id);
    assert_eq!(home.run(["ps", "-aq"]).lines().count(), 2);
    assert_eq!(
        home.run(["ps", "-aq", "--filter", "label=team=a", "--no-trunc"]),
        id
    );
    assert_eq!(
        home.run(["ps", "-q", "--filter", "status=created"])
            .lines()
            .count(),
        1
    );
    let table = home.run(["ps"]);
    assert!(
        table.starts_with("SANDBOX ID ") && table.lines().count() == 2,
        "{table}"
    );
    let list = json(&home, &["ps", "--all", "--format", "json"]);
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(json(&home, &["inspect", &up])[0]["id"], id.as_str());
    home.run(["exec", "-d", &up, "sleep", "1000"]);
    // The kernel shows the name a moment before the arguments.
    eventually("the command is listed", || {
        json(&home, &["top", "--format=json", &up])[0]["command"] == "sleep 1000"
    });
    let stats = json(&home, &["stats", "--no-stream", "--format=json", &up]);
    assert_eq!(
        (&stats[0]["pids"], &stats[0]["name"]),
        (&Value::from(1), &Value::from(up.as_str()))
    );
    home.run(["exec", &up, "touch", "/tmp/new"]);
    assert!(
        home.run(["diff", &up])
            .lines()
            .any(|line| line == "A /tmp/new")
    );
    let changes = json(&home, &["diff", "--format", "json", &up]);
    assert!(
        changes
            .as_array()
            .unwrap()
            .iter()
            .any(|change| change["path"] == "/tmp/new")
    );
    home.run(["rm", "-f", &up, &down]);
    assert_eq!(
        json(&home, &["ps", "-a", "--format", "json"]),
        Value::Array(Vec::new())
    );
}

#[test]
fn images() {
    require!(userns, program "docker-registry", image "tiny");
    let home = Home::new();
    let reference = home.image("tiny");
    assert_eq!(home.run(["pull", "--quiet", &reference]), reference);
    let list = json(&home, &["images", "--format", "json"]);
    assert_eq!(list[0]["references"][0], reference.as_str());
    let short = home.run(["images", "-q"]);
    assert_eq!(short.len(), 12);
    assert_eq!(
        home.run(["images", "-q", "--filter", "reference=*/tiny"]),
        short
    );
    assert_eq!(home.run(["images", "-q", "nothing"]), "");
    assert_eq!(
        json(&home, &["inspect", "--type=image", &reference])[0]["os"],
        "linux"
    );
    let dir = crate::support::scratch();
    let archive = dir.path().join("tiny.tar");
    let archive = archive.to_str().unwrap();
    home.run(["save", "--output", archive, &reference]);
    assert!(home.run(["rmi", &reference]).contains("Untagged: "));
    assert_eq!(
        home.run(["load", "--quiet", "--input", archive]),
        format!("Loaded image: {reference}")
    );
    home.shedbox(["prune", "--all"]).assert().code(1);
    home.run(["prune", "--all", "--force"]);
    assert_eq!(home.run(["images", "-q"]), "");
}

#[test]
fn what_is_said_goes_to_standard_error_and_errors_say_what_to_do() {
    require!(userns);
    let home = Home::new();
    let output = home.shedbox(["exec", "nobody", "true"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("error: no such sandbox") && text.contains("\nhint: "),
        "{text}"
    );
    let output = home.shedbox(["doctor", "--format=json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report["checks"].as_array().unwrap().len() > 10);
    let output = home.shedbox(["version", "--format=json"]).output().unwrap();
    let versions: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(versions["client"], env!("CARGO_PKG_VERSION"));
}
