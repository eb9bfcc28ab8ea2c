//! Sandboxes that go by themselves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::home::{Home, lives, until};

fn gone(home: &Home, name: &str) -> bool {
    until(|| {
        home.api("GET", &format!("sandboxes/{name}"), &Value::Null)
            .0
            == 404
    })
}

#[test]
fn a_lifetime_ends() {
    let home = Home::new();
    let info = home.create(&json!({"name": "short", "idle": true, "ttl_ms": 300}));
    assert!(info["expires_at"].is_string());
    assert!(gone(&home, "short"));
    assert!(until(|| !lives(info["init_pid"].as_i64().unwrap() as i32)));
}

#[test]
fn a_lifetime_that_ends_without_a_daemon_ends() {
    let mut home = Home::new();
    let info = home.create(&json!({"name": "short", "idle": true, "ttl_ms": 500}));
    home.kill_daemon();
    assert!(
        until(|| !lives(info["init_pid"].as_i64().unwrap() as i32)),
        "init keeps the time itself"
    );
    home.start();
    assert!(gone(&home, "short"));
}

#[test]
fn auto_remove_follows_the_main_process() {
    let home = Home::new();
    home.create(&json!({"name": "once", "command": ["sleep", "0.2"], "auto_remove": true}));
    let (_, result) = home.post("sandboxes/once/wait?condition=removed");
    assert_eq!(result["exit_code"], 0);
    assert!(gone(&home, "once"));
}

/// Runs in a process of its own, started by the test below: creates a sandbox that it owns and waits.
#[test]
#[ignore = "the other half of `an_owned_sandbox_dies_with_its_owner`"]
fn owner() {
    let socket = std::env::var("OWNER_SOCKET").expect("started by the test below");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let body = json!({"spec": {"source": "host", "name": "owned", "idle": true}, "start": true, "owned": true}).to_string();
    let length = body.len();
    write!(
        stream,
        "POST /shedbox/v1/sandboxes HTTP/1.1\r\nhost: d\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("201"), "{line}");
    let mut stdout = std::io::stdout();
    writeln!(stdout, "created").unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn an_owned_sandbox_dies_with_its_owner() {
    for daemon_is_away in [false, true] {
        let mut home = Home::new();
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lifetime::owner", "--ignored", "--nocapture"])
            .env("OWNER_SOCKET", home.runtime().join("docker.sock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "created"));
        let init = home.inspect("owned")["init_pid"].as_i64().unwrap() as i32;
        if daemon_is_away {
            home.kill_daemon();
        }
        owner.kill().unwrap();
        owner.wait().unwrap();
        if daemon_is_away {
            home.start();
        }
        assert!(gone(&home, "owned"));
        assert!(until(|| !lives(init)));
    }
}
