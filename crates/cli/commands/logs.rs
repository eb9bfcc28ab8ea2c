//! `shedbox logs`.

use std::io::{self, Write};
use std::time::SystemTime;

use anyhow::Result;
use shedbox_client::{Client, LogFrame, LogOptions};
use shedbox_spec::Error;

use crate::time;

/// Show what the main process of a sandbox has written
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on until the main process ends
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines from the end, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Only what was written since: a time, or how long ago (`10m`)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was written before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Put the time in front of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Name or id
    sandbox: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let now = SystemTime::now();
    let at = |text: &Option<String>| {
        text.as_deref()
            .map(|text| time::parse_ns(text, now))
            .transpose()
    };
    let options = LogOptions {
        follow: args.follow,
        since_ns: at(&args.since)?,
        until_ns: at(&args.until)?,
        tail: lines(&args.tail)?,
        ..LogOptions::default()
    };
    let sandbox = Client::shared().sandbox(&args.sandbox)?;
    let mut printer = Printer {
        timestamps: args.timestamps,
        within_line: [false; 2],
    };
    for frame in sandbox.logs(&options)? {
        printer.print(&frame?)?;
    }
    Ok(0)
}

/// `all` and negative numbers are everything, as in Docker.
pub(super) fn lines(text: &str) -> Result<Option<u64>, Error> {
    if text == "all" || text.starts_with('-') && text[1..].parse::<u64>().is_ok() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Error::invalid(format!("invalid number of lines `{text}`"))
            .with_hint("use a number, or `all`")
    })
}

struct Printer {
    timestamps: bool,
    /// For each stream: the last frame did not end its line.
    within_line: [bool; 2],
}

impl Printer {
    fn print(&mut self, frame: &LogFrame) -> io::Result<()> {
        let within_line = &mut self.within_line[usize::from(frame.stderr)];
        let text = if self.timestamps {
            stamped(frame, within_line)
        } else {
            frame.bytes.clone()
        };
        if frame.stderr {
            io::stderr().lock().write_all(&text)
        } else {
            let mut out = io::stdout().lock();
            out.write_all(&text).and_then(|()| out.flush())
        }
    }
}

/// The frame with its time in front of each line that begins in it.
fn stamped(frame: &LogFrame, within_line: &mut bool) -> Vec<u8> {
    let time = time::show_ns(frame.time_ns);
    let mut text = Vec::with_capacity(frame.bytes.len() + time.len() + 1);
    for line in frame.bytes.split_inclusive(|byte| *byte == b'\n') {
        if !*within_line {
            text.extend_from_slice(time.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(line);
        *within_line = !line.ends_with(b"\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_in_front_of_lines_not_of_frames() {
        let frame = |bytes: &[u8]| LogFrame {
            stderr: false,
            time_ns: 0,
            bytes: bytes.to_vec(),
        };
        let mut within = false;
        let mut text = stamped(&frame(b"a\nb"), &mut within);
        text.extend(stamped(&frame(b"c\nd\n"), &mut within));
        let time = "1970-01-01T00:00:00.000000000Z";
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!("{time} a\n{time} bc\n{time} d\n")
        );
    }

    #[test]
    fn numbers_of_lines() {
        for (text, expected) in [
            ("all", None),
            ("-1", None),
            ("0", Some(0)),
            ("12", Some(12)),
        ] {
            assert_eq!(lines(text), Ok(expected));
        }
        assert!(lines("x").is_err() && lines("-x").is_err() && lines("").is_err());
    }
}
