//! Requests to the daemon that are almost right.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use shedbox_client::SandboxSpec;

use crate::cases;
use crate::mutation::mutate;
use crate::require;
use crate::support::{Home, Random, eventually, seed};

/// Sends bytes and gives what comes back until the daemon closes or has nothing to say.
fn ask(home: &Home, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(home.paths().api_socket()).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("time-out");
    // The daemon may close while we still send.
    if stream.write_all(request).is_err() || stream.shutdown(std::net::Shutdown::Write).is_err() {
        return Vec::new();
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answer,
        Err(error) => panic!(
            "no answer to {}: {error}",
            String::from_utf8_lossy(request).escape_debug()
        ),
    }
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /shedbox/v1/{path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn status(answer: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(answer.get(..12)?).ok()?;
    text.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[test]
fn bodies_at_random() {
    require!(userns);
    let mut random = Random(seed());
    let home = Home::new();
    let daemon = home.client().version().expect("a daemon").pid;
    // None of them can be made: there is no such image, and nothing is pulled.
    let spec = SandboxSpec::image("localhost:1/nothing/here")
        .env("A", "b")
        .volume("/nonexistent", "/work");
    let body = serde_json::json!({ "spec": spec, "pull": "never" });
    let seeds = [
        serde_json::to_vec(&body).expect("encode"),
        br#"{"reference":"localhost:1/x","policy":"never"}"#.to_vec(),
    ];
    let mut refused = 0;
    for _ in 0..cases(6_000) {
        let body = mutate(&mut random, &seeds);
        let path = *random.pick(&["sandboxes", "images/pull", "sandboxes/nope/reset"]);
        if let Some(status) = status(&ask(&home, &post(path, &body))) {
            assert_ne!(
                status,
                500,
                "{path}: {}",
                String::from_utf8_lossy(&body).escape_debug()
            );
            refused += usize::from((400..500).contains(&status));
        }
    }
    assert!(refused > 500, "{refused} refused");
    still_well(&home, daemon);
}

#[test]
fn requests_at_random() {
    require!(userns);
    let mut random = Random(seed());
    let home = Home::new();
    let daemon = home.client().version().expect("a daemon").pid;
    let seeds = [
        post("sandboxes", b"{}"),
        b"GET /shedbox/v1/sandboxes?all=1 HTTP/1.1\r\nHost: d\r\n\r\n".to_vec(),
        b"GET /shedbox/v1/sandboxes/%2e%2e%2f/logs?tail=-1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n".to_vec(),
        b"DELETE /shedbox/v1/sandboxes/..?force=1 HTTP/1.0\r\n\r\n".to_vec(),
        b"POST /shedbox/v1/images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_vec(),
    ];
    let mut answers = 0;
    for _ in 0..cases(5_000) {
        let request = mutate(&mut random, &seeds);
        answers += usize::from(status(&ask(&home, &request)).is_some());
    }
    assert!(answers > 500, "{answers} answers");
    still_well(&home, daemon);
}

/// The same daemon, with its keeper at most (who starts the daemon may take a moment to leave); nothing made; no panic in the
/// daemon's last words.
fn still_well(home: &Home, daemon: i32) {
    eventually("the daemon and its keeper are all there is", || {
        let servants = home.servants();
        let keepers = servants
            .iter()
            .filter(|it| it.command.starts_with("shedbox-keeper"));
        servants.iter().any(|it| it.pid == daemon) && servants.len() - keepers.count() == 1
    });
    assert_eq!(home.run(["ps", "-aq"]), "");
    let log = std::fs::read_to_string(home.runtime().join("daemon.stderr")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{log}");
}
