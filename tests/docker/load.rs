//! Many clients at once, and that nothing grows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::Engine;
use crate::require;
use crate::wire::ask;

/// Clients at once.
const CLIENTS: usize = 64;

/// SHEDBOX_TEST_DOCKER_LOAD: containers in all.
fn containers() -> usize {
    std::env::var("SHEDBOX_TEST_DOCKER_LOAD")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(320)
}

fn episode(socket: &Path) {
    let body = r#"{"Image":"tiny","Cmd":["sleep","1000"],"HostConfig":{"NetworkMode":"none"}}"#;
    let made = ask(socket, "POST", "/containers/create", Some(body));
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json()["Id"].as_str().unwrap().to_owned();
    assert_eq!(
        ask(socket, "POST", &format!("/containers/{id}/start"), None).status,
        204
    );
    let exec = r#"{"Cmd":["echo","hello"],"AttachStdout":true}"#;
    let exec = ask(
        socket,
        "POST",
        &format!("/containers/{id}/exec"),
        Some(exec),
    )
    .json();
    let exec = exec["Id"].as_str().unwrap().to_owned();
    let said = ask(socket, "POST", &format!("/exec/{exec}/start"), Some("{}"));
    assert_eq!(said.body, b"\x01\0\0\0\0\0\0\x06hello\n");
    assert_eq!(
        ask(socket, "GET", &format!("/exec/{exec}/json"), None).json()["ExitCode"],
        0
    );
    assert_eq!(
        ask(socket, "DELETE", &format!("/containers/{id}?force=1"), None).status,
        204
    );
}

/// Descriptors, and kilobytes of memory, of the daemon that serves a socket.
fn footprint(engine: &Engine) -> (usize, u64) {
    let pid = engine.daemon_pid();
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|text| text.parse().ok())
        .unwrap();
    (fds, rss)
}

#[test]
fn sixty_four_clients_leave_nothing_behind() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket: Arc<Path> = engine.socket().into();
    for _ in 0..CLIENTS {
        episode(&socket);
    }
    let before = footprint(&engine);
    let next = Arc::new(AtomicUsize::new(0));
    let most = containers();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (socket, next) = (Arc::clone(&socket), Arc::clone(&next));
            std::thread::spawn(move || {
                while next.fetch_add(1, Ordering::Relaxed) < most {
                    episode(&socket);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(
        ask(&socket, "GET", "/containers/json?all=1", None).json(),
        serde_json::json!([])
    );
    let settled = || {
        let after = footprint(&engine);
        (
            after,
            after.0 <= before.0 + 16 && after.1 <= before.1 + 48 * 1024,
        )
    };
    crate::support::eventually("the daemon is as small as before", || settled().1);
    eprintln!(
        "descriptors and KiB: {before:?} before, {:?} after {most} containers",
        settled().0
    );
}
