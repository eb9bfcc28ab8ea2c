//! `shedbox pressure`.

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::api::{Pressure, PressureReport, Stall};
use shedbox_spec::size::format_duration;
use std::time::Duration;

use crate::render::{self, Format, Table};

/// Show how long processes had to wait for CPUs, memory and disks
///
/// Of a sandbox, or of the host and of all sandboxes together. `some`: at least one process waited; `full`: none could
/// go on. Percent of the last 10, 60 and 300 seconds, and the time in all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Name or id; the host when absent
    sandbox: Option<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let client = Client::shared();
    if let Some(name) = &args.sandbox {
        let report = client.sandbox(name)?.pressure()?;
        match args.format {
            Format::Json => render::json(&report)?,
            Format::Table => table(&[(name, &report)]).print()?,
        }
        return Ok(0);
    }
    let found = client.pressure()?;
    match args.format {
        Format::Json => render::json(&found)?,
        Format::Table => {
            let sandboxes = found.sandboxes.as_ref().map(|report| ("sandboxes", report));
            let rows: Vec<_> = [("host", &found.host)]
                .into_iter()
                .chain(sandboxes)
                .collect();
            table(&rows).print()?;
        }
    }
    Ok(0)
}

fn table(reports: &[(&str, &PressureReport)]) -> Table {
    let mut table = Table::new(&[
        "OF",
        "WAITING FOR",
        "WHO",
        "10 S",
        "60 S",
        "300 S",
        "IN ALL",
    ]);
    for (name, report) in reports {
        let parts = [
            ("cpu", report.cpu),
            ("memory", report.memory),
            ("io", report.io),
        ];
        for (what, pressure) in parts {
            let Some(Pressure { some, full }) = pressure else {
                continue;
            };
            for (who, stall) in [("some", Some(some)), ("full", full)] {
                if let Some(stall) = stall {
                    table.row(row(name, what, who, stall));
                }
            }
        }
    }
    table
}

fn row(name: &str, what: &str, who: &str, stall: Stall) -> [String; 7] {
    let percent = |value: f64| format!("{value:.2}%");
    [
        name.to_owned(),
        what.to_owned(),
        who.to_owned(),
        percent(stall.avg10),
        percent(stall.avg60),
        percent(stall.avg300),
        format_duration(Duration::from_millis(stall.total_us / 1000)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_not_show_has_no_line() {
        let stall = Stall {
            avg10: 1.5,
            total_us: 2_000_000,
            ..Stall::default()
        };
        let report = PressureReport {
            memory: Some(Pressure {
                some: stall,
                full: None,
            }),
            ..PressureReport::default()
        };
        assert_eq!(
            table(&[("box", &report)]).to_text(),
            "OF    WAITING FOR   WHO    10 S    60 S    300 S   IN ALL\n\
             box   memory        some   1.50%   0.00%   0.00%   2s\n"
        );
    }
}
