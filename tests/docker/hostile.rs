//! Clients that mean no good, or are broken: the daemon says no and serves the others.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::require;
use crate::wire::{ask, connect, raw};

fn alive(socket: &Path) {
    assert_eq!(ask(socket, "GET", "/_ping", None).body, b"OK");
}

fn running(socket: &Path, name: &str) {
    let body = r#"{"Image":"tiny","Cmd":["sleep","1000"],"HostConfig":{"NetworkMode":"none"}}"#;
    let made = ask(
        socket,
        "POST",
        &format!("/containers/create?name={name}"),
        Some(body),
    );
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    assert_eq!(
        ask(socket, "POST", &format!("/containers/{name}/start"), None).status,
        204
    );
}

#[test]
fn what_is_no_request_is_refused_and_others_are_served() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    let giant = format!(
        "GET /_ping HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(2 << 20)
    );
    let many: String = (0..5000)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let many = format!("GET /_ping HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    for bytes in [
        &b"\0\0\0\0"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        giant.as_bytes(),
        many.as_bytes(),
    ] {
        if let Some(answer) = raw(socket, bytes) {
            assert!((400..500).contains(&answer.status), "{}", answer.head);
        }
        alive(socket);
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        deep.as_str(),
        "{\"Image\":",
        "[]",
        "\"x\"",
        "{\"Image\":7}",
        "{\"HostConfig\":[]}",
    ] {
        let answer = ask(socket, "POST", "/containers/create", Some(body));
        assert_eq!(answer.status, 400, "{body:.60}");
        assert!(answer.json()["message"].is_string());
    }
    // More than a request's body may have: refused, whether all of it is sent or not.
    let huge = format!("{{\"Image\":\"{}\"}}", "x".repeat(17 << 20));
    assert_eq!(
        ask(socket, "POST", "/containers/create", Some(&huge)).status,
        400
    );
    for path in [
        "/v9.99/info",
        "/v1.1/info",
        "/nothing",
        "/containers/../../etc/passwd/json",
        "/containers/%2e%2e/json",
        "/images/%00/json",
        "/containers/x/y/z",
        "/v1.41",
        "//",
        "/volumes/../x",
    ] {
        let answer = ask(socket, "GET", path, None);
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.head
        );
        assert!(answer.json()["message"].is_string(), "{path}");
    }
    alive(socket);
}

#[test]
fn slow_and_silent_clients_hold_up_nobody() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    let mut held = Vec::new();
    for number in 0..300 {
        let mut stream = connect(socket);
        let part: &[u8] = match number % 3 {
            0 => b"",
            1 => b"POST /containers/create HTTP/1.1\r\nHo",
            _ => b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        };
        stream.write_all(part).unwrap();
        held.push(stream);
    }
    alive(socket);
    running(socket, "busy");
    assert_eq!(
        ask(socket, "DELETE", "/containers/busy?force=1", None).status,
        204
    );
    drop(held);
    alive(socket);
}

/// Starts an exec and gives the connection after the head of the answer.
fn hijacked(socket: &Path, container: &str, body: &str, upgrade: bool, early: &[u8]) -> UnixStream {
    let made = ask(
        socket,
        "POST",
        &format!("/containers/{container}/exec"),
        Some(body),
    );
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json()["Id"].as_str().unwrap().to_owned();
    stream_of(socket, &format!("/exec/{id}/start"), upgrade, early)
}

/// Asks for a stream and gives the connection after the head of the answer.
fn stream_of(socket: &Path, path: &str, upgrade: bool, early: &[u8]) -> UnixStream {
    let mut stream = connect(socket);
    let fields = if upgrade {
        "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    } else {
        ""
    };
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{fields}Content-Length: 2\r\n\r\n{{}}"
    )
    .into_bytes();
    request.extend_from_slice(early);
    stream.write_all(&request).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    if upgrade {
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    } else {
        assert!(head.contains(" 200 OK"), "{head}");
        let lower = head.to_lowercase();
        assert!(
            !lower.contains("content-length") && !lower.contains("chunked"),
            "{head}"
        );
    }
    stream
}

const CAT: &str = r#"{"Cmd":["cat"],"AttachStdin":true,"AttachStdout":true,"AttachStderr":true}"#;

#[test]
fn streams_with_and_without_an_upgrade_early_bytes_and_half_closed() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    running(socket, "box");
    for upgrade in [true, false] {
        // Bytes that come with the request are the process's.
        let mut stream = hijacked(socket, "box", CAT, upgrade, b"early ");
        stream.write_all(b"late").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let mut text = Vec::new();
        let mut rest = &all[..];
        while let [1, 0, 0, 0, a, b, c, d, tail @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            text.extend_from_slice(&tail[..length]);
            rest = &tail[length..];
        }
        assert_eq!(
            String::from_utf8_lossy(&text),
            "early late",
            "upgrade: {upgrade}"
        );
    }
}

#[test]
fn a_client_that_leaves_leaves_its_exec_alone_unless_it_said_so() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    running(socket, "box");
    let top = || {
        String::from_utf8_lossy(&ask(socket, "GET", "/containers/box/top", None).body).into_owned()
    };
    let stays = r#"{"Cmd":["sleep","777"],"AttachStdout":true}"#;
    drop(hijacked(socket, "box", stays, true, b""));
    let goes = r#"{"Cmd":["sleep","778"],"AttachStdout":true,"KillOnDisconnect":true}"#;
    let stream = hijacked(socket, "box", goes, true, b"");
    crate::support::eventually("both run", || {
        top().contains("777") && top().contains("778")
    });
    drop(stream);
    crate::support::eventually("one goes with its client", || !top().contains("778"));
    assert!(top().contains("777"));
}

#[test]
fn a_client_that_writes_and_never_reads_holds_up_nobody_after_it() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    let body =
        r#"{"Image":"tiny","Cmd":["cat"],"OpenStdin":true,"HostConfig":{"NetworkMode":"none"}}"#;
    let made = ask(socket, "POST", "/containers/create?name=cat", Some(body));
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let path = "/containers/cat/attach?stream=1&stdin=1&stdout=1";
    let mut rude = stream_of(socket, path, true, b"");
    assert_eq!(
        ask(socket, "POST", "/containers/cat/start", None).status,
        204
    );
    rude.set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    // Until all that is between us and the process is full.
    let full = (0..100_000).any(|_| rude.write(&line).is_err());
    assert!(full, "somebody keeps 100 MB");
    drop(rude);
    let mut next = stream_of(socket, path, true, b"the next one\n");
    next.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    // What the first one has sent may be read after it.
    while !all.windows(13).any(|said| said == b"the next one\n") {
        let count = next
            .read(&mut buffer)
            .expect("what the process says goes on");
        assert!(count > 0, "the stream ends after {} bytes", all.len());
        all.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn archives_lead_nowhere_else() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket = engine.socket();
    running(socket, "box");
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "safe").unwrap();
    let link = |name: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_link_name_literal(target).unwrap();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        header
    };
    let file = |name: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        header
    };
    let parent = outside.path().display().to_string();
    let hostile: Vec<Vec<(tar::Header, &[u8])>> = vec![
        vec![(file("../../../../../../../tmp/out-of-it"), b"bad")],
        vec![(link("l", &parent), b""), (file("l/victim"), b"bad")],
        vec![
            (link("l", "../../../../../../.."), b""),
            (
                file(&format!("l{parent}/victim")[..50.min(parent.len() + 8)]),
                b"bad",
            ),
        ],
    ];
    for entries in hostile {
        let mut builder = tar::Builder::new(Vec::new());
        for (header, data) in &entries {
            builder.append(header, *data).unwrap();
        }
        let archive = builder.into_inner().unwrap();
        for path in ["/containers/box/archive?path=/tmp", "/build?t=x"] {
            let method = if path.starts_with("/build") {
                "POST"
            } else {
                "PUT"
            };
            let mut request = format!(
                "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                archive.len()
            )
            .into_bytes();
            request.extend_from_slice(&archive);
            // Refused, or kept inside; both are well.
            let _ = raw(socket, &request);
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "safe");
        assert!(!Path::new("/tmp/out-of-it").exists());
        alive(socket);
    }
    for path in [
        "/../../etc/shadow",
        "/proc/1/root/etc/shadow",
        "/proc/self/root/../etc/shadow",
    ] {
        let answer = ask(
            socket,
            "GET",
            &format!("/containers/box/archive?path={path}"),
            None,
        );
        // The image has no such file, the host does.
        assert!(
            answer.status == 404
                || answer.status == 403
                || answer.status == 400
                || answer.status == 500,
            "{path}: {}",
            answer.head
        );
    }
}

#[test]
fn one_name_is_given_once() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket: Arc<Path> = engine.socket().into();
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let socket = Arc::clone(&socket);
            std::thread::spawn(move || {
                let body = r#"{"Image":"tiny","Cmd":["true"],"HostConfig":{"NetworkMode":"none"}}"#;
                ask(&socket, "POST", "/containers/create?name=same", Some(body)).status
            })
        })
        .collect();
    let mut statuses: Vec<u16> = racers
        .into_iter()
        .map(|racer| racer.join().unwrap())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(
        statuses[1..].iter().all(|status| *status == 409),
        "{statuses:?}"
    );
}

#[test]
fn the_socket_is_the_users_alone() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let meta = std::fs::metadata(engine.socket()).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

/// What testcontainers' reaper and other containers that look after containers need.
#[test]
fn a_container_that_is_lent_the_socket_can_use_it() {
    require!(userns, many_ids, program "docker", program "busybox", image "debian");
    let engine = Engine::ours();
    let image = engine.image("debian");
    let ping = "import socket\n\
                s = socket.socket(socket.AF_UNIX)\n\
                s.connect('/var/run/docker.sock')\n\
                s.sendall(b'GET /_ping HTTP/1.1\\r\\nHost: d\\r\\nConnection: close\\r\\n\\r\\n')\n\
                print(s.makefile().read()[-2:])";
    let path = engine.socket().display().to_string();
    let run = |user: &str| {
        let lent = format!("{path}:/var/run/docker.sock");
        let words = ["run", "--rm", "--network=none", "--user", user, "-v", &lent];
        let words = words.into_iter().chain([&*image, "python3", "-c", ping]);
        let mut docker = std::process::Command::new("docker");
        let output = docker.args(words).envs(engine.variables()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(run("0"), "OK\n");
    assert_eq!(run("1000"), "", "others than its root may not");
}
