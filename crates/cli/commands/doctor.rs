//! `shedbox doctor`.

use std::fmt::Write as _;

use anyhow::Result;
use shedbox_client::Client;
use shedbox_engine::doctor::{Doctor, Level, Report};

use crate::render::{self, Format};

/// Check what this host can do, and say how to mend what is missing
///
/// The exit status is 0 when sandboxes can run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Show the layers of isolation that are in force on this host instead
    #[arg(long)]
    security: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let paths = Client::shared().paths();
    let report = if args.security {
        Doctor::security(paths)
    } else {
        Doctor::run(paths)
    };
    match args.format {
        Format::Json => render::json(&report)?,
        Format::Table if args.security => render::line(layers(&report).trim_end())?,
        Format::Table => render::line(text(&report).trim_end())?,
    }
    Ok(u8::from(!report.can_run()))
}

fn layers(report: &Report) -> String {
    let mut text = String::new();
    let width = report
        .checks
        .iter()
        .map(|check| check.title.chars().count())
        .max()
        .unwrap_or(0);
    for check in &report.checks {
        let level = match check.level {
            Level::Ok => "in force",
            Level::Degraded => "partly",
            Level::Missing => "MISSING",
        };
        // Writing to a String does not fail, here and below.
        let _ = writeln!(text, "{level:<8}  {:<width$}  {}", check.title, check.found);
        let _ = writeln!(text, "          {:<width$}  {}", "", check.means);
        if let Some(fix) = &check.fix {
            let _ = writeln!(text, "          {:<width$}  mend it: {fix}", "");
        }
    }
    text.push_str(match report.worst() {
        Level::Ok => "\nEvery layer is in force.\n",
        Level::Degraded => "\nEvery layer that sandboxes rely on is in force.\n",
        Level::Missing => "\nA layer that sandboxes rely on is missing: they cannot run.\n",
    });
    text
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let width = report
        .checks
        .iter()
        .map(|check| check.title.chars().count())
        .max()
        .unwrap_or(0);
    for check in &report.checks {
        let level = match check.level {
            Level::Ok => "ok",
            Level::Degraded => "degraded",
            Level::Missing => "MISSING",
        };
        // Writing to a String does not fail, here and below.
        let _ = writeln!(text, "{level:<8}  {:<width$}  {}", check.title, check.found);
        if check.level != Level::Ok {
            let _ = writeln!(text, "          {}", check.means);
            if let Some(fix) = &check.fix {
                let _ = writeln!(text, "          mend it: {fix}");
            }
        }
    }
    text.push_str(match report.worst() {
        Level::Ok => "\nSandboxes can run.\n",
        Level::Degraded => "\nSandboxes can run, with less of something.\n",
        Level::Missing => "\nSandboxes cannot run.\n",
    });
    text
}
