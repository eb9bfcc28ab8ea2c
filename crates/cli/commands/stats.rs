//! `shedbox stats`.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use shedbox_client::{Client, Sandbox};
use shedbox_spec::api::SandboxStats;
use shedbox_spec::size::{format_bytes, format_bytes_binary};

use crate::render::{self, Format, Table};
use crate::report;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show what sandboxes use, again and again
///
/// Where a sandbox has a control group the kernel counts: everything since its last reset or start, page cache and what
/// has ended included. Elsewhere it is what the living processes add up to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// How to show it; JSON is one document for each look
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Names or ids; all that run when none is given
    #[arg(value_name = "SANDBOX")]
    sandboxes: Vec<String>,
}

/// One line of the table.
#[derive(Debug, Serialize, PartialEq)]
struct Usage {
    id: String,
    name: String,
    /// Percent of one CPU since the look before.
    cpu_percent: f64,
    #[serde(flatten)]
    stats: SandboxStats,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let mut before = HashMap::new();
    // A rate needs two looks: the first is not shown.
    look(&args.sandboxes, &mut before)?;
    let clears = !args.no_stream && args.format == Format::Table && io::stdout().is_terminal();
    loop {
        #[expect(
            clippy::disallowed_methods,
            reason = "a rate over time has no event to wait for"
        )]
        std::thread::sleep(if args.no_stream {
            INTERVAL / 5
        } else {
            INTERVAL
        });
        let usages = look(&args.sandboxes, &mut before)?;
        if clears {
            io::stdout().lock().write_all(b"\x1b[H\x1b[J")?;
        }
        match args.format {
            Format::Json => render::json(&usages)?,
            Format::Table => table(&usages).print()?,
        }
        if args.no_stream {
            return Ok(0);
        }
    }
}

/// The CPU time of each sandbox at the last look.
type Before = HashMap<String, (Instant, u64)>;

fn look(names: &[String], before: &mut Before) -> Result<Vec<Usage>> {
    let client = Client::shared();
    let all = names.is_empty();
    let sandboxes: Vec<(String, Sandbox)> = if all {
        let list = client.sandboxes(false, &[])?;
        let open = |info: shedbox_spec::api::SandboxInfo| {
            Some((info.name, client.sandbox(info.id.as_str()).ok()?))
        };
        list.into_iter().filter_map(open).collect()
    } else {
        let open = |name: &String| Ok((name.clone(), client.sandbox(name)?));
        names.iter().map(open).collect::<Result<_>>()?
    };
    let mut usages = Vec::new();
    for (name, sandbox) in sandboxes {
        let stats = match sandbox.stats() {
            Ok(stats) => stats,
            Err(_) if all => continue, // it has ended since it was listed
            Err(error) => {
                report::report(&error.into(), 1);
                continue;
            }
        };
        let now = Instant::now();
        let id = sandbox.id().to_string();
        let cpu_percent = match before.insert(id.clone(), (now, stats.cpu_us)) {
            Some((then, cpu_us)) => rate(stats.cpu_us.saturating_sub(cpu_us), now - then),
            None => 0.0,
        };
        usages.push(Usage {
            id,
            name,
            cpu_percent,
            stats,
        });
    }
    Ok(usages)
}

/// Percent of one CPU.
fn rate(cpu_us: u64, elapsed: Duration) -> f64 {
    let elapsed = elapsed.as_micros().max(1) as f64;
    cpu_us as f64 / elapsed * 100.0
}

fn table(usages: &[Usage]) -> Table {
    let mut table = Table::new(&[
        "SANDBOX ID",
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "MEM PEAK",
        "BLOCK I/O",
        "PIDS",
    ]);
    for usage in usages {
        let stats = &usage.stats;
        let memory = stats.memory_detail.as_ref();
        let or_dash =
            |value: Option<u64>| value.map_or_else(|| "-".to_owned(), format_bytes_binary);
        let io = if stats.from_cgroup {
            let sum =
                |field: fn(&shedbox_spec::api::IoUse) -> u64| stats.io.iter().map(field).sum();
            format!(
                "{} / {}",
                format_bytes(sum(|io| io.read_bytes)),
                format_bytes(sum(|io| io.write_bytes))
            )
        } else {
            "-".to_owned()
        };
        table.row([
            usage.id.chars().take(12).collect(),
            usage.name.clone(),
            format!("{:.2}%", usage.cpu_percent),
            format!(
                "{} / {}",
                format_bytes_binary(stats.memory),
                or_dash(memory.and_then(|memory| memory.limit))
            ),
            or_dash(memory.and_then(|memory| memory.peak)),
            io,
            stats.pids.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::api::{IoUse, MemoryUse};

    fn usage(stats: SandboxStats) -> Usage {
        Usage {
            id: "ab".repeat(32),
            name: "box".into(),
            cpu_percent: 12.345,
            stats,
        }
    }

    #[test]
    fn a_rate() {
        assert!((rate(500_000, Duration::from_secs(2)) - 25.0).abs() < 1e-9);
    }

    #[test]
    fn lines_with_and_without_a_control_group() {
        let counted = SandboxStats {
            from_cgroup: true,
            memory: 3 << 20,
            memory_detail: Some(MemoryUse {
                peak: Some(4 << 20),
                limit: Some(64 << 20),
                ..MemoryUse::default()
            }),
            io: vec![IoUse {
                device: "8:0".into(),
                read_bytes: 1000,
                ..IoUse::default()
            }],
            pids: 2,
            ..SandboxStats::default()
        };
        let added_up = SandboxStats {
            memory: 1 << 20,
            pids: 1,
            ..SandboxStats::default()
        };
        assert_eq!(
            table(&[usage(counted), usage(added_up)]).to_text(),
            "SANDBOX ID     NAME   CPU %    MEM USAGE / LIMIT   MEM PEAK   BLOCK I/O   PIDS\n\
             abababababab   box    12.35%   3MiB / 64MiB        4MiB       1kB / 0B    2\n\
             abababababab   box    12.35%   1MiB / -            -          -           1\n"
        );
    }
}
