//! The report: one markdown table, with what was measured, against what, and whether the target was met.

use std::fmt::Write;
use std::time::Duration;

use crate::samples::{Summary, ratio, words};

/// Rows, and the conditions under which they were measured.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<[String; 6]>,
    notes: Vec<String>,
    load_before: String,
}

/// A limit on a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times the yardstick.
    AtMost(f64),
    /// At least so many times faster than the yardstick.
    Faster(f64),
    /// For information.
    None,
}

impl Report {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            rows: Vec::new(),
            notes: Vec::new(),
            load_before: load()?,
        })
    }

    /// A ratio of two times: `ours` to `theirs`, p50 to p50.
    pub(crate) fn compare(
        &mut self,
        figure: &str,
        ours: Option<Summary>,
        yardstick: &str,
        theirs: Option<Summary>,
        target: Target,
    ) {
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return;
        };
        let (value, limit, met) = match target {
            Target::AtMost(limit) => {
                let value = ratio(ours.p50, theirs.p50);
                (
                    format!("{value:.2} ×"),
                    format!("≤ {limit} ×"),
                    value <= limit,
                )
            }
            Target::Faster(limit) => {
                let value = ratio(theirs.p50, ours.p50);
                (
                    format!("{value:.0} × faster"),
                    format!("≥ {limit:.0} × faster"),
                    value >= limit,
                )
            }
            Target::None => (
                format!("{:.2} ×", ratio(ours.p50, theirs.p50)),
                String::new(),
                true,
            ),
        };
        self.row(
            figure,
            &format!("{} ({})", both(ours), ours.count),
            &format!("{yardstick}: {} ({})", both(theirs), theirs.count),
            &value,
            &limit,
            met,
        );
    }

    /// Two rows: both times, and that the difference of their p50 is at most so much.
    pub(crate) fn added(
        &mut self,
        figure: &str,
        ours: Option<Summary>,
        yardstick: &str,
        theirs: Option<Summary>,
        most: Duration,
    ) {
        let (Some(with), Some(without)) = (ours, theirs) else {
            return;
        };
        let difference = with.p50.as_secs_f64() - without.p50.as_secs_f64();
        self.compare(figure, ours, yardstick, theirs, Target::None);
        self.row(
            &format!("{figure}: what it adds"),
            &format!("{:+.3} ms", difference * 1e3),
            "",
            "",
            &format!("≤ {:.2} ms", most.as_secs_f64() * 1e3),
            difference <= most.as_secs_f64(),
        );
    }

    /// Any row.
    pub(crate) fn row(
        &mut self,
        figure: &str,
        ours: &str,
        yardstick: &str,
        value: &str,
        target: &str,
        met: bool,
    ) {
        let verdict = match (target.is_empty(), met) {
            (true, _) => "",
            (false, true) => "met",
            (false, false) => "missed",
        };
        eprintln!("{figure}: {ours}; {yardstick}; {value} {target} {verdict}");
        self.rows
            .push([figure, ours, yardstick, value, target, verdict].map(str::to_owned));
    }

    /// Something to know about the numbers.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        eprintln!("note: {text}");
        self.notes.push(text);
    }

    /// The whole as markdown.
    pub(crate) fn finish(self) -> anyhow::Result<String> {
        let mut text = String::from(
            "| figure | shedbox p50 / p90 (rounds) | yardstick p50 / p90 (rounds) | ratio | target | |\n\
             |---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            writeln!(text, "| {} |", row.join(" | "))?;
        }
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        writeln!(
            text,
            "\n{} processors, kernel {}, uid {}; load average {} before and {} after.",
            std::thread::available_parallelism()?,
            kernel.trim(),
            shedbox_linux::process::own_uid(),
            self.load_before,
            load()?
        )?;
        for note in &self.notes {
            writeln!(text, "\n{note}")?;
        }
        Ok(text)
    }
}

fn both(summary: Summary) -> String {
    format!("{} / {}", words(summary.p50), words(summary.p90))
}

fn load() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
