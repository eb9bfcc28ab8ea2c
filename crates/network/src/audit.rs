//! The audit log of egress policies: who wanted to reach what, and whether it could; a JSON object a line.
//!
//! Whoever records does not wait for the disk: a bounded queue leads to one thread that writes. What a flood makes too
//! many is counted instead.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::directory::Member;

/// Size at which the file gets another name, in bytes.
const FILE_MAX: u64 = 32 << 20;
/// Most lines of one sandbox in a second.
const LINES_MAX: u32 = 200;
const QUEUE: usize = 4096;

/// What it was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A name was looked up.
    Dns,
    /// A TCP connection.
    Tcp,
    /// A UDP packet that begins a conversation.
    Udp,
    /// Another packet.
    Icmp,
    /// A TLS connection by the name that it gives.
    Tls,
    /// An HTTP request by the name that it gives.
    Http,
    /// Another policy is in force.
    Policy,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it was about.
    pub kind: EventKind,
    /// The name of whom it was about.
    pub host: Option<String>,
    /// Their address.
    pub address: Option<IpAddr>,
    /// Their port.
    pub port: Option<u16>,
    /// It was let through.
    pub allowed: bool,
    /// Why, where that is not plain.
    pub reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    time: String,
    sandbox: String,
    name: String,
    kind: EventKind,
    host: Option<String>,
    address: Option<IpAddr>,
    port: Option<u16>,
    verdict: &'static str,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u32>,
}

/// The log.
#[derive(Debug)]
pub struct Audit {
    lines: SyncSender<Line>,
    rates: Mutex<HashMap<String, Rate>>,
}

#[derive(Debug, Default)]
struct Rate {
    second: i64,
    lines: u32,
    suppressed: u32,
}

impl Audit {
    /// Opens the file, making its directory, and starts the thread that writes.
    pub fn open(path: &Path) -> std::io::Result<Arc<Self>> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let writer = Writer::open(path.to_owned())?;
        let (lines, queue) = mpsc::sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&queue))?;
        Ok(Arc::new(Self {
            lines,
            rates: Mutex::default(),
        }))
    }

    /// Notes an event of a sandbox that has a policy; others are not logged.
    pub fn record(&self, member: &Member, event: Event) {
        if member.egress().is_none() && event.kind != EventKind::Policy {
            return;
        }
        let now = Timestamp::now();
        let suppressed = {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            let rate = rates.entry(member.sandbox.clone()).or_default();
            match rate.step(now.as_second()) {
                Some(suppressed) => suppressed,
                None => return,
            }
        };
        let line = Line {
            time: now.to_string(),
            sandbox: member.sandbox.clone(),
            name: member.name().to_string(),
            kind: event.kind,
            host: event.host,
            address: event.address,
            port: event.port,
            verdict: if event.allowed { "allow" } else { "deny" },
            reason: event.reason,
            suppressed: Some(suppressed).filter(|count| *count > 0),
        };
        if self.lines.try_send(line).is_err() {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            rates.entry(member.sandbox.clone()).or_default().suppressed += 1;
        }
    }

    /// A sandbox has gone.
    pub fn forget(&self, sandbox: &str) {
        self.rates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(sandbox);
    }
}

impl Rate {
    /// One more event in this second: how many were left out before it, or nothing when it is to be left out itself.
    fn step(&mut self, second: i64) -> Option<u32> {
        if self.second != second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines >= LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Writer {
    fn open(path: PathBuf) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size })
    }

    fn run(mut self, queue: &Receiver<Line>) {
        for line in queue {
            if let Err(error) = self.write(&line) {
                tracing::warn!(%error, path = %self.path.display(), "cannot write the audit log");
            }
        }
    }

    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        if self.size >= FILE_MAX {
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            *self = Self::open(self.path.clone())?;
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.size += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted() {
        let mut rate = Rate::default();
        for _ in 0..LINES_MAX {
            assert_eq!(rate.step(1), Some(0));
        }
        assert_eq!(rate.step(1), None);
        assert_eq!(rate.step(1), None);
        assert_eq!(rate.step(2), Some(2));
        assert_eq!(rate.step(2), Some(0));
    }

    #[test]
    fn lines_are_objects_and_old_ones_move_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("egress.jsonl");
        let mut writer = Writer::open(path.clone()).unwrap();
        let line = |name: &str| Line {
            time: String::new(),
            sandbox: "s".into(),
            name: name.into(),
            kind: EventKind::Dns,
            host: Some("pypi.org".into()),
            address: None,
            port: None,
            verdict: "deny",
            reason: None,
            suppressed: None,
        };
        writer.write(&line("one")).unwrap();
        writer.size = FILE_MAX;
        writer.write(&line("two")).unwrap();
        let read = |path: &Path| -> serde_json::Value {
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        assert_eq!(read(&path.with_extension("jsonl.1"))["name"], "one");
        let second = read(&path);
        assert_eq!(
            (&second["name"], &second["verdict"], &second["kind"]),
            (&"two".into(), &"deny".into(), &"dns".into())
        );
        assert!(second.get("suppressed").is_none());
    }
}
