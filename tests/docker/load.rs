//! Many clients at once, and that nothing grows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::engine::Engine;
use crate::require;
use crate::support::wait::comes_true;
use crate::wire::ask;

/// Clients at once.
const CLIENTS: usize = 64;

/// How long a daemon may take until it is small again.
const SETTLE: Duration = Duration::from_secs(30);

/// A number that a variable may change.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable)
        .ok()
        .map_or(usual, |text| text.parse().expect(variable))
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

/// What a daemon takes.
#[derive(Debug, Clone, Copy, Default)]
struct Footprint {
    descriptors: usize,
    threads: u64,
    /// KiB.
    memory: u64,
    /// Names below its data directory, but for those in the trash.
    files: usize,
    /// What lies in the trash, whose thread works when nobody else does until there is a crowd.
    discarded: usize,
}

/// Twice the crowd at which the trash gets a helper.
const MOST_DISCARDED: usize = 256;

impl Footprint {
    /// The greater of both, in each.
    fn or(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            memory: self.memory.max(other.memory),
            files: self.files.max(other.files),
            discarded: self.discarded.max(other.discarded),
        }
    }

    /// Not more than `before`, with some room: for what is just being done, and for what the allocator keeps (MiB).
    fn is_within(self, before: Self, allocator: u64) -> bool {
        self.descriptors <= before.descriptors + 32
            && self.memory <= before.memory + allocator * 1024
            && self.files <= before.files + 200
            && self.discarded <= MOST_DISCARDED
    }
}

/// Names in a directory and below. What is removed meanwhile, or may not be read, is not counted.
fn count(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + count(&entry.path()),
            _ => 1,
        })
        .sum()
}

/// A daemon as /proc and its directory show it. It is not spoken to: that would keep its threads alive.
struct Daemon {
    pid: i32,
    root: PathBuf,
}

impl Daemon {
    fn of(engine: &Engine) -> Self {
        Self {
            pid: engine.daemon_pid(),
            root: engine.root(),
        }
    }

    fn footprint(&self) -> Footprint {
        let pid = self.pid;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name));
            let word = rest.and_then(|rest| rest.split_ascii_whitespace().next());
            word.and_then(|word| word.parse().ok()).expect(name)
        };
        let trash = self.root.join("trash");
        Footprint {
            descriptors,
            threads: number("Threads:"),
            memory: number("VmRSS:"),
            files: count(&self.root).saturating_sub(count(&trash)),
            discarded: std::fs::read_dir(trash).into_iter().flatten().count(),
        }
    }
}

#[test]
fn sixty_four_clients_leave_nothing_behind() {
    require!(userns, many_ids, program "docker", program "busybox");
    let engine = Engine::ours();
    let socket: Arc<Path> = engine.socket().into();
    for _ in 0..CLIENTS {
        episode(&socket);
    }
    let daemon = Daemon::of(&engine);
    let before = daemon.footprint();
    let next = Arc::new(AtomicUsize::new(0));
    let most = number("SHEDBOX_TEST_DOCKER_LOAD", 320);
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
    // Most of what a crowd takes is threads, and those without work leave after ten seconds.
    let settled = comes_true(SETTLE, || daemon.footprint().is_within(before, 24));
    let after = daemon.footprint();
    eprintln!("{before:?} before, {after:?} after {most} containers");
    assert!(settled, "the daemon is as small as before");
}

/// What it takes after its first quarter is what it takes at its end. 600 seconds are for whoever has them; a lane has some.
mod long {
    use std::time::Instant;

    use super::*;

    /// Clients at once.
    const FEW: usize = 8;

    /// Containers before the clock runs.
    const WARM_UP: usize = 128;

    #[test]
    fn a_soak_is_flat() {
        require!(userns, many_ids, program "docker", program "busybox");
        let time = Duration::from_secs(number("SHEDBOX_TEST_DOCKER_SOAK", 12) as u64);
        let engine = Engine::ours();
        let socket: Arc<Path> = engine.socket().into();
        // What is kept once (threads, buffers, the events of the last minutes) is there before anything is compared.
        for _ in 0..WARM_UP {
            episode(&socket);
        }
        let daemon = Daemon::of(&engine);
        let (began, rounds) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..FEW)
            .map(|_| {
                let (socket, rounds) = (Arc::clone(&socket), Arc::clone(&rounds));
                std::thread::spawn(move || {
                    while began.elapsed() < time {
                        episode(&socket);
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // The most of each of eight parts.
        let mut parts = vec![Footprint::default(); 8];
        while began.elapsed() < time {
            let part = began.elapsed().as_millis() * 8 / time.as_millis();
            if let Some(part) = parts.get_mut(part as usize) {
                *part = part.or(daemon.footprint());
            }
            crate::support::wait::pause();
        }
        for client in clients {
            client.join().unwrap();
        }
        eprintln!(
            "{} containers, the most of each eighth: {parts:#?}",
            rounds.load(Ordering::Relaxed)
        );
        let [_, early, .., late, last] = parts.as_slice() else {
            unreachable!("eight parts");
        };
        assert!(late.or(*last).is_within(*early, 8), "it grows: {parts:#?}");
    }
}
