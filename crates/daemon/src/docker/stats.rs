//! What containers use: `top` and `stats`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::top::{Around, table};
use shedbox_spec::api::{SandboxInfo, SandboxStats, Status};
use shedbox_spec::control::{Reply, Request};
use shedbox_spec::{Error, Result};

use super::ends::Control;
use super::{Docker, lifecycle, now};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::stream;

/// Between the two looks of an answer that is not a stream; dockerd takes a second.
const BETWEEN: Duration = Duration::from_millis(100);

pub(super) async fn top(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    if info.status != Status::Paused {
        lifecycle::must_run(&info)?;
    }
    let control = Control::ask(Path::new(&info.socket), &Request::Stats, &[])?;
    let (Reply::Stats(stats), _) = control.reply().await? else {
        return Err(Error::internal("the sandbox answers something else"));
    };
    let around = Around {
        now: Timestamp::now(),
        memory: total_memory(),
    };
    let answer = table(
        query.get("ps_args").unwrap_or(""),
        &stats.processes,
        &around,
    )?;
    Ok(answer::json(StatusCode::OK, &answer))
}

pub(super) async fn stats(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let streamed = query.flag_or("stream", true)?;
    let one_shot = query.flag("one-shot")?;
    let read = |info: &SandboxInfo| match info.status {
        Status::Running | Status::Paused => now(|| docker.engine.stats(info.id.as_str())),
        _ => Ok(SandboxStats::default()),
    };
    if !streamed {
        let before = if one_shot {
            None
        } else {
            let first = (read(&info)?, Timestamp::now());
            tokio::time::sleep(BETWEEN).await;
            Some(first)
        };
        let value = shown(&info, &read(&info)?, before.as_ref());
        return Ok(answer::json(StatusCode::OK, &value));
    }
    let (feed, body) = stream::channel();
    let docker = Arc::clone(docker);
    tokio::spawn(async move {
        let mut before: Option<(SandboxStats, Timestamp)> = None;
        loop {
            let Ok(info) = docker.engine.inspect(info.id.as_str()) else {
                return;
            };
            let current = match info.status {
                Status::Running | Status::Paused => {
                    now(|| docker.engine.stats(info.id.as_str())).unwrap_or_default()
                }
                _ => SandboxStats::default(),
            };
            feed.line(&shown(&info, &current, before.as_ref())).await;
            before = Some((current, Timestamp::now()));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = feed.closed() => return,
            }
        }
    });
    Ok(answer::stream("application/json", body))
}

/// In the form of a cgroup of version 2, which clients compute percentages from.
fn shown(
    info: &SandboxInfo,
    stats: &SandboxStats,
    before: Option<&(SandboxStats, Timestamp)>,
) -> Value {
    let now = Timestamp::now().to_string();
    let memory = stats.memory_detail.as_ref();
    let limit = memory
        .and_then(|memory| memory.limit)
        .unwrap_or_else(total_memory);
    let io: Vec<Value> = stats
        .io
        .iter()
        .flat_map(|device| {
            let (major, minor) = device.device.split_once(':').unwrap_or(("0", "0"));
            let number = |text: &str| text.parse::<u64>().unwrap_or(0);
            let (major, minor) = (number(major), number(minor));
            [("read", device.read_bytes), ("write", device.write_bytes)].map(move |(op, value)| {
                json!({"major": major, "minor": minor, "op": op, "value": value})
            })
        })
        .collect();
    json!({
        "id": info.id,
        "name": format!("/{}", info.name),
        "read": now,
        "preread": before.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |(_, at)| at.to_string()),
        "num_procs": 0,
        "pids_stats": {"current": stats.pids, "limit": stats.pids_limit},
        "cpu_stats": cpu(stats),
        "precpu_stats": before.map_or_else(|| cpu(&SandboxStats::default()), |(stats, _)| cpu(stats)),
        "memory_stats": {
            "usage": stats.memory,
            "limit": limit,
            "stats": {
                "anon": memory.map(|memory| memory.anon),
                "file": memory.map(|memory| memory.file),
                "inactive_file": memory.map_or(0, |memory| memory.file),
            },
        },
        "blkio_stats": {"io_service_bytes_recursive": io},
        "storage_stats": {},
        "networks": networks(info),
    })
}

/// Counters of its interfaces; those of a sandbox are seen through its init. Source: proc_pid_net(5).
fn networks(info: &SandboxInfo) -> Value {
    let Some(pid) = info.init_pid.filter(|_| !info.networks.is_empty()) else {
        return json!({});
    };
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let interfaces = text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let name = name.trim();
        if !info.networks.iter().any(|endpoint| endpoint.interface == name) {
            return None;
        }
        let counters: Vec<u64> = counters
            .split_ascii_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let counter = |index: usize| counters.get(index).copied().unwrap_or(0);
        let entry = json!({
            "rx_bytes": counter(0), "rx_packets": counter(1), "rx_errors": counter(2), "rx_dropped": counter(3),
            "tx_bytes": counter(8), "tx_packets": counter(9), "tx_errors": counter(10), "tx_dropped": counter(11),
        });
        Some((name.to_owned(), entry))
    });
    Value::Object(interfaces.collect())
}

fn cpu(stats: &SandboxStats) -> Value {
    let throttling = stats.throttling.unwrap_or_default();
    json!({
        "cpu_usage": {
            "total_usage": stats.cpu_us * 1000,
            "usage_in_usermode": stats.user_us.unwrap_or(0) * 1000,
            "usage_in_kernelmode": stats.system_us.unwrap_or(0) * 1000,
        },
        "system_cpu_usage": system_cpu(),
        "online_cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "throttling_data": {
            "periods": throttling.periods,
            "throttled_periods": throttling.throttled,
            "throttled_time": throttling.throttled_us * 1000,
        },
    })
}

/// Nanoseconds of all CPUs since the boot. Source: proc_stat(5); ticks are hundredths of a second.
fn system_cpu() -> u64 {
    std::fs::read_to_string("/proc/stat")
        .unwrap_or_default()
        .lines()
        .next()
        .map_or(0, |line| {
            let ticks: u64 = line
                .split_ascii_whitespace()
                .skip(1)
                .take(8)
                .filter_map(|field| field.parse::<u64>().ok())
                .sum();
            ticks * 10_000_000
        })
}

/// Bytes of memory of this host.
pub(super) fn total_memory() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|text| text.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
