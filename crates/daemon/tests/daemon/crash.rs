//! Daemon, keeper and init killed; resets interrupted half-way.

use serde_json::{Value, json};
use shedbox_store::upper;

use crate::home::{Home, exec, kill, lives, until, wrote};

fn pid(info: &Value) -> i32 {
    i32::try_from(info["init_pid"].as_i64().unwrap()).unwrap()
}

#[test]
fn sandboxes_outlive_the_daemon_and_are_found_again() {
    let mut home = Home::new();
    let before = home.create(&json!({"name": "one", "idle": true}));
    home.sh("one", "echo kept > /file");
    home.spare("one");
    home.kill_daemon();
    assert_eq!(
        home.sh("one", "cat /file"),
        wrote("kept\n"),
        "a daemon is not needed to run commands"
    );
    home.start();
    let after = home.inspect("one");
    assert_eq!(
        (&after["id"], &after["init_pid"], &after["status"]),
        (&before["id"], &before["init_pid"], &json!("running"))
    );
    assert!(home.spare("one"));
    assert_eq!(
        home.reset("one"),
        json!({"generation": 2, "from_spare": true})
    );
    assert_eq!(home.sh("one", "ls /file 2>/dev/null | wc -l"), wrote("0\n"));
    assert!(until(|| !lives(pid(&before))));
}

#[test]
fn a_dead_keeper_is_replaced() {
    let home = Home::new();
    home.create(&json!({"name": "one", "idle": true}));
    home.spare("one");
    home.kill_keeper();
    assert_eq!(home.sh("one", "echo alive"), wrote("alive\n"));
    home.reset("one");
    home.reset("one");
    home.create(&json!({"name": "two", "idle": true}));
    assert_eq!(home.sh("one", "echo alive"), wrote("alive\n"));
}

#[test]
fn with_daemon_and_keeper_dead_the_same_user_namespace_is_found() {
    let mut home = Home::new();
    home.create(&json!({"name": "one", "idle": true}));
    let namespace = |home: &Home| home.sh("one", "readlink /proc/self/ns/net").stdout;
    let before = namespace(&home);
    home.kill_keeper();
    home.kill_daemon();
    home.start();
    home.reset("one");
    assert_eq!(namespace(&home), before, "joined, not made anew");
}

#[test]
fn a_dead_init_is_noticed() {
    let home = Home::new();
    let info = home.create(&json!({"name": "main", "command": ["sleep", "1000"]}));
    kill(pid(&info));
    let (_, result) = home.post("sandboxes/main/wait");
    assert_eq!(result["exit_code"], 137);
    assert_eq!(home.post("sandboxes/main/start").0, 200);
    assert_eq!(home.inspect("main")["generation"], 2);
}

#[test]
fn an_end_while_nobody_watched_is_learnt_from_the_record() {
    let mut home = Home::new();
    home.create(&json!({"name": "main", "command": ["sh", "-c", "while ! test -e /go; do sleep 0.05; done; exit 5"]}));
    let init = pid(&home.inspect("main"));
    home.kill_daemon();
    home.sh("main", "touch /go");
    assert!(until(|| !lives(init)));
    home.start();
    let info = home.inspect("main");
    assert_eq!(
        (&info["status"], &info["exit_code"]),
        (&json!("exited"), &json!(5))
    );
}

#[test]
fn a_reset_cut_off_before_the_old_init_ended_has_not_happened() {
    let mut home = Home::new();
    let info = home.create(&json!({"name": "one", "idle": true}));
    home.sh("one", "echo kept > /file");
    home.spare("one");
    home.kill_daemon();
    let dir = home
        .root()
        .join("sandboxes")
        .join(info["id"].as_str().unwrap());
    upper::swap(&dir.join("live"), &dir.join("spare")).unwrap();
    home.start();
    assert_eq!(home.sh("one", "cat /file"), wrote("kept\n"));
    assert_eq!(
        home.api("GET", "sandboxes/one/diff", &Value::Null).1,
        json!([{"kind": "added", "path": "/file"}])
    );
    assert_eq!(home.post("sandboxes/one/stop").0, 204);
    assert_eq!(home.post("sandboxes/one/start").0, 200);
    assert_eq!(
        home.sh("one", "cat /file"),
        wrote("kept\n"),
        "the directory is the one it ran on"
    );
}

#[test]
fn a_reset_cut_off_after_the_old_init_ended_is_finished() {
    let mut home = Home::new();
    let info = home.create(&json!({"name": "one", "idle": true}));
    home.sh("one", "echo gone > /file");
    home.spare("one");
    home.kill_daemon();
    let dir = home
        .root()
        .join("sandboxes")
        .join(info["id"].as_str().unwrap());
    upper::swap(&dir.join("live"), &dir.join("spare")).unwrap();
    kill(pid(&info));
    home.start();
    let after = home.inspect("one");
    assert_eq!(
        (&after["status"], &after["generation"]),
        (&json!("running"), &json!(2))
    );
    assert_eq!(home.sh("one", "ls /file 2>/dev/null | wc -l"), wrote("0\n"));
    assert!(until(|| home.inspect("one")["spare"] == true));
}

#[test]
fn half_made_sandboxes_sockets_and_names_are_cleared_away() {
    let mut home = Home::new();
    home.create(&json!({"name": "one", "idle": true}));
    home.kill_daemon();
    let sandboxes = home.root().join("sandboxes");
    let sockets = home.runtime().join("sandboxes");
    let id = "ab".repeat(32);
    std::fs::create_dir_all(sandboxes.join(".new-7/live/upper")).unwrap();
    std::fs::create_dir(sandboxes.join(&id)).unwrap();
    drop(shedbox_linux::seqpacket::listen(&sockets.join(format!("{id}.sock"))).unwrap());
    std::os::unix::fs::symlink(format!("../{id}.sock"), sockets.join("names/ghost")).unwrap();
    home.start();
    assert!(!sandboxes.join(&id).exists() && !sandboxes.join(".new-7/live").join("upper").exists());
    assert!(!sockets.join(format!("{id}.sock")).exists());
    assert!(!sockets.join("names/ghost").is_symlink());
    assert!(sockets.join("names/one").is_symlink());
    assert_eq!(home.sh("one", "echo alive"), wrote("alive\n"));
}

#[test]
fn an_init_without_a_record_is_ended() {
    let mut home = Home::new();
    let info = home.create(&json!({"name": "one", "idle": true}));
    home.kill_daemon();
    std::fs::remove_dir_all(
        home.root()
            .join("sandboxes")
            .join(info["id"].as_str().unwrap())
            .join("log"),
    )
    .unwrap();
    std::fs::remove_file(
        home.root()
            .join("sandboxes")
            .join(info["id"].as_str().unwrap())
            .join("spec.json"),
    )
    .unwrap();
    home.start();
    assert!(!lives(pid(&info)));
    assert_eq!(
        home.api("GET", "sandboxes?all=1", &Value::Null).1,
        json!([])
    );
}

#[test]
fn an_exec_in_flight_survives_the_daemon() {
    let mut home = Home::new();
    let info = home.create(&json!({"name": "one", "idle": true}));
    let socket = std::path::PathBuf::from(info["socket"].as_str().unwrap());
    let running = std::thread::spawn(move || {
        exec(
            &socket,
            &[
                "sh",
                "-c",
                "while ! test -e /go; do sleep 0.05; done; echo done",
            ],
        )
    });
    home.kill_daemon();
    home.start();
    home.sh("one", "touch /go");
    assert_eq!(running.join().unwrap(), wrote("done\n"));
}

#[test]
fn a_record_of_another_release_is_left_alone() {
    let mut home = Home::new();
    let info = home.create(&json!({"name": "one", "idle": true}));
    home.kill_daemon();
    let record = home
        .root()
        .join("sandboxes")
        .join(info["id"].as_str().unwrap())
        .join("spec.json");
    let ours = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, "{\"version\":99,\"id\":\"of another form\"}").unwrap();
    home.start();
    assert_eq!(
        home.api("GET", "sandboxes?all=1", &Value::Null).1,
        json!([])
    );
    assert!(lives(pid(&info)));
    home.kill_daemon();
    std::fs::write(&record, ours).unwrap();
    home.start();
    assert_eq!(home.inspect("one")["init_pid"], info["init_pid"]);
}
