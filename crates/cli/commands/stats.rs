//! `shedbox stats`.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use shedbox_client::{Client, Sandbox};
use shedbox_spec::size::format_bytes_binary;

use crate::render::{self, Format, Table};
use crate::report;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show what sandboxes use, again and again
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
    /// CPU time of the living processes in microseconds.
    cpu_us: u64,
    /// Resident memory in bytes; shared pages count in each process.
    rss: u64,
    /// Processes.
    pids: usize,
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
        let percent = match before.insert(id.clone(), (now, stats.cpu_us)) {
            Some((then, cpu_us)) => rate(stats.cpu_us.saturating_sub(cpu_us), now - then),
            None => 0.0,
        };
        usages.push(Usage {
            id,
            name,
            cpu_percent: percent,
            cpu_us: stats.cpu_us,
            rss: stats.rss,
            pids: stats.processes.len(),
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
    let mut table = Table::new(&["SANDBOX ID", "NAME", "CPU %", "MEMORY", "PIDS"]);
    for usage in usages {
        let id = usage.id.chars().take(12).collect();
        let cpu = format!("{:.2}%", usage.cpu_percent);
        table.row([
            id,
            usage.name.clone(),
            cpu,
            format_bytes_binary(usage.rss),
            usage.pids.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_and_its_line() {
        assert!((rate(500_000, Duration::from_secs(2)) - 25.0).abs() < 1e-9);
        let usage = Usage {
            id: "ab".repeat(32),
            name: "box".into(),
            cpu_percent: 12.345,
            cpu_us: 0,
            rss: 3 << 20,
            pids: 2,
        };
        assert_eq!(
            table(&[usage]).to_text(),
            "SANDBOX ID     NAME   CPU %    MEMORY   PIDS\nabababababab   box    12.35%   3MiB     2\n"
        );
    }
}
