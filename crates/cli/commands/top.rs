//! `shedbox top`.

use std::time::Duration;

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::control::ProcessStats;
use shedbox_spec::size::{format_bytes_binary, format_duration};

use crate::render::{self, Format, Table};

/// List the processes of a sandbox, with the pids they have inside
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Name or id
    sandbox: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let stats = Client::shared().sandbox(&args.sandbox)?.processes()?;
    match args.format {
        Format::Json => render::json(&stats.processes)?,
        Format::Table => table(&stats.processes).print()?,
    }
    Ok(0)
}

fn table(processes: &[ProcessStats]) -> Table {
    let mut table = Table::new(&["UID", "PID", "PPID", "STATE", "CPU", "RSS", "COMMAND"]);
    for process in processes {
        table.row([
            process.uid.to_string(),
            process.pid.to_string(),
            process.ppid.to_string(),
            process.state.to_string(),
            format_duration(Duration::from_millis(process.cpu_us / 1000)),
            format_bytes_binary(process.rss),
            process.command.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process() {
        let process = ProcessStats {
            pid: 7,
            ppid: 1,
            state: 'S',
            uid: 0,
            cpu_us: 1_500_000,
            rss: 1 << 20,
            command: "sh -c \u{7}".into(),
            ..ProcessStats::default()
        };
        assert_eq!(
            table(&[process]).to_text(),
            "UID   PID   PPID   STATE   CPU    RSS    COMMAND\n0     7     1      S       1.5s   1MiB   sh -c \\u{7}\n"
        );
    }
}
