//! The floor program, driven one round at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// A running `floor serve`.
pub(crate) struct Floor {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Floor {
    /// Starts it over the lower directories (uppermost first), with its upper directories below `dir`.
    pub(crate) fn start(program: &Path, lower: &[String], dir: &Path) -> anyhow::Result<Self> {
        let mut process = command(program, lower, dir)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = process.stdin.take().context("stdin is piped")?;
        let output = BufReader::new(process.stdout.take().context("stdout is piped")?);
        Ok(Self {
            process,
            input,
            output,
        })
    }

    /// `create`, `end` or `killcreate`.
    pub(crate) fn step(&mut self, name: &str) -> anyhow::Result<Duration> {
        Ok(self.pair(name)?.0)
    }

    /// One exec: as timed inside, and with one message there and one back.
    pub(crate) fn exec(&mut self) -> anyhow::Result<(Duration, Duration)> {
        self.pair("exec")
    }

    fn pair(&mut self, name: &str) -> anyhow::Result<(Duration, Duration)> {
        writeln!(self.input, "{name}")?;
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("floor ended at `{name}`");
        }
        let mut numbers = line.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(inside)), Some(Ok(outside))) => {
                Ok((Duration::from_nanos(inside), Duration::from_nanos(outside)))
            }
            _ => bail!("floor said `{line}`"),
        }
    }

    /// Ends it; what is alive in it goes with it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input);
        self.process.wait()?;
        Ok(())
    }
}

/// What `floor many` measured.
#[derive(Debug, Default)]
pub(crate) struct Many {
    /// Sandboxes created in a second.
    pub(crate) per_second: f64,
    /// Memory that each took, in KiB.
    pub(crate) kib_each: f64,
    /// p90 of one exec in each, in microseconds.
    pub(crate) exec_p90_us: f64,
}

/// Runs `floor many`.
pub(crate) fn many(
    program: &Path,
    lower: &[String],
    dir: &Path,
    count: usize,
) -> anyhow::Result<Many> {
    let output = command(program, lower, dir)
        .args(["many", &count.to_string()])
        .output()?;
    if !output.status.success() {
        bail!("floor many: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut many = Many::default();
    for line in String::from_utf8(output.stdout)?.lines() {
        let value: serde_json::Value = serde_json::from_str(line)?;
        let number = |name: &str| value[name].as_f64().unwrap_or_default();
        match value["name"].as_str() {
            Some("many") => {
                many.per_second = number("per_second");
                many.kib_each = number("kib_each");
            }
            Some("many_exec_call") => many.exec_p90_us = number("p90_us"),
            _ => {}
        }
    }
    Ok(many)
}

fn command(program: &Path, lower: &[String], dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--lower", &lower.join(":")])
        .arg("--dir")
        .arg(dir);
    command
}
