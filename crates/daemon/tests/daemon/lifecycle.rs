//! Create, run, reset, stop, start, remove.

use serde_json::{Value, json};

use crate::home::{Home, exec, until, wrote};

#[test]
fn create_run_reset_remove() {
    let home = Home::new();
    let info = home.create(&json!({"name": "one", "idle": true}));
    assert_eq!(
        (&info["status"], &info["generation"]),
        (&json!("running"), &json!(1))
    );
    assert_eq!(
        home.sh("one", "echo kept > /file; cat /file"),
        wrote("kept\n")
    );
    assert!(home.spare("one"));
    assert_eq!(
        home.reset("one"),
        json!({"generation": 2, "from_spare": true})
    );
    assert_eq!(
        home.sh(
            "one",
            "ls /file 2>/dev/null | wc -l; ps ax | grep -c '[s]leep'"
        ),
        {
            let mut output = wrote("0\n0\n");
            output.end = shedbox_spec::exec::End::Exited { code: 1 };
            output
        }
    );
    assert!(home.spare("one"), "the next spare is built by itself");
    assert_eq!(home.remove("one"), 204);
    assert_eq!(home.api("GET", "sandboxes/one", &Value::Null).0, 404);
    let left = |dir: &str| std::fs::read_dir(home.runtime().join(dir)).unwrap().count();
    assert_eq!((left("sandboxes"), left("sandboxes/names")), (1, 0));
    assert!(until(|| std::fs::read_dir(home.root().join("trash"))
        .unwrap()
        .count()
        == 0));
}

#[test]
fn processes_do_not_cross_a_reset() {
    let home = Home::new();
    home.create(&json!({"name": "one", "idle": true}));
    // Double-forked, in a session of its own, deaf to SIGTERM.
    home.sh(
        "one",
        "setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' >/dev/null 2>&1 &",
    );
    assert!(until(|| home.sh("one", "pgrep -c sleep").stdout == "2\n"));
    home.reset("one");
    assert_eq!(home.sh("one", "pgrep -c sleep").stdout, "0\n");
}

#[test]
fn a_reset_without_a_spare_is_the_same() {
    let home = Home::with_config("spares = false\n");
    home.create(&json!({"name": "one", "idle": true}));
    for generation in 2..6 {
        home.sh("one", "touch /file");
        assert_eq!(
            home.reset("one"),
            json!({"generation": generation, "from_spare": false})
        );
        assert_eq!(home.sh("one", "test -e /file && echo there"), {
            let mut output = wrote("");
            output.end = shedbox_spec::exec::End::Exited { code: 1 };
            output
        });
    }
}

#[test]
fn a_main_process_ends_with_its_status_and_its_log() {
    let home = Home::new();
    home.create(
        &json!({"name": "main", "command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}),
    );
    let (status, result) = home.post("sandboxes/main/wait");
    assert_eq!((status, &result["exit_code"]), (200, &json!(3)));
    assert_eq!(home.inspect("main")["status"], "exited");
    let (_, frames) = home.raw("GET", "sandboxes/main/logs?follow=1", &Value::Null);
    assert_eq!((frames[0], &frames[13..17]), (1, &b"out\n"[..]));
    assert_eq!((frames[17], &frames[30..]), (2, &b"err\n"[..]));
    // A reset runs it again.
    home.reset("main");
    let (_, result) = home.post("sandboxes/main/wait");
    assert_eq!(result["exit_code"], 3);
}

#[test]
fn stop_keeps_the_files_and_start_finds_them() {
    let home = Home::new();
    home.create(&json!({"name": "main", "command": ["sleep", "1000"]}));
    home.sh("main", "echo kept > /file");
    assert_eq!(home.post("sandboxes/main/stop?timeout_ms=5000").0, 204);
    let info = home.inspect("main");
    assert_eq!(
        (&info["status"], &info["exit_code"], &info["spare"]),
        (&json!("exited"), &json!(143), &json!(false))
    );
    assert_eq!(
        home.post("sandboxes/main/stop").0,
        204,
        "stopping what is stopped is no error"
    );
    let (_, changes) = home.api("GET", "sandboxes/main/diff", &Value::Null);
    assert_eq!(changes, json!([{"kind": "added", "path": "/file"}]));
    let (status, files) = home.post("sandboxes/main/files");
    assert_eq!(status, 200);
    let socket = files["socket"].as_str().unwrap().to_owned();
    assert_eq!(exec(socket.as_ref(), &["cat", "/file"]), wrote("kept\n"));
    assert_eq!(home.post("sandboxes/main/start").0, 200);
    assert!(
        !std::path::Path::new(&socket).exists(),
        "two inits over one upper directory"
    );
    assert_eq!(home.sh("main", "cat /file"), wrote("kept\n"));
    assert_eq!(home.post("sandboxes/main/kill?signal=USR1").0, 204);
    assert_eq!(home.post("sandboxes/main/wait").1["exit_code"], 138);
}

#[test]
fn what_cannot_start_leaves_nothing() {
    let home = Home::new();
    let (status, error) = home.try_create(&json!({"name": "bad", "command": ["/no/such/program"]}));
    assert_eq!((status, &error["kind"]), (404, &json!("not_found")));
    let mount =
        json!({"type": "bind", "source": "/no/such/dir", "target": "/data", "access": "rw"});
    let (status, error) = home.try_create(&json!({"name": "bad", "idle": true, "mounts": [mount]}));
    assert_eq!(status, 400);
    assert!(
        error["message"].as_str().unwrap().contains("/no/such/dir"),
        "{error}"
    );
    let (status, _) =
        home.try_create(&json!({"name": "bad", "idle": true, "user": "nobody-of-that-name"}));
    let (_, list) = home.api("GET", "sandboxes?all=1", &Value::Null);
    // The user is looked up inside, at the first command.
    let expected = usize::from(status == 201);
    assert_eq!(list.as_array().unwrap().len(), expected);
}

#[test]
fn names_are_unique_and_can_be_used_again() {
    let home = Home::new();
    let first = home.create(&json!({"name": "one", "idle": true}));
    assert_eq!(
        home.try_create(&json!({"name": "one", "idle": true})).0,
        409
    );
    let id = first["id"].as_str().unwrap();
    assert_eq!(
        home.inspect(&id[..10])["name"],
        "one",
        "found by a prefix of its id"
    );
    assert_eq!(home.remove("one"), 204);
    let second = home.create(&json!({"name": "one", "idle": true}));
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn a_second_daemon_says_so_and_leaves() {
    let home = Home::new();
    let output = home.command().output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("error: ") && text.contains(&home.daemon_pid().to_string()),
        "{text}"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is to happen for longer than the idle time"
)]
fn an_idle_daemon_leaves_and_takes_the_keeper_along() {
    let mut home = Home::with_config("idle_exit_s = 1\n");
    home.create(&json!({"name": "one", "idle": true}));
    let keeper = home.keeper().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(home.remove("one"), 204, "it stays while a sandbox runs");
    assert!(home.daemon_leaves());
    assert!(!home.runtime().join("docker.sock").exists());
    assert!(until(|| !crate::home::lives(keeper)));
}

#[test]
fn unknown_paths_and_bodies_are_refused_in_json() {
    let home = Home::new();
    let (status, error) = home.api("GET", "nothing", &Value::Null);
    assert_eq!((status, &error["kind"]), (404, &json!("not_found")));
    let (status, error) = home.api(
        "POST",
        "sandboxes",
        &json!({"spec": {"source": "host", "colour": "red"}}),
    );
    assert_eq!(status, 400);
    assert!(
        error["message"].as_str().unwrap().contains("colour"),
        "{error}"
    );
}
