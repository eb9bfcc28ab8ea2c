//! The output of a main process, as dockerd frames it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shedbox_docker::{frame, time};
use shedbox_engine::Engine;
use shedbox_engine::logs::{Frame, LogReader, Select};
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::{Error, Kind, Result};

use super::{Docker, later, now, stored};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::stream;

/// How long a reader that follows sleeps before it looks whether the container still runs and the client is there.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn logs(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let clock = Timestamp::now();
    let bound = |key: &str| time::nanoseconds(query.get(key).unwrap_or(""), clock);
    let select = Select {
        stdout: query.flag("stdout")?,
        stderr: query.flag("stderr")?,
        since_ns: bound("since")?,
        until_ns: bound("until")?,
        tail: tail(query.get("tail").unwrap_or("")),
    };
    if !select.stdout && !select.stderr {
        return Err(Error::invalid(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    if stored(&info).log_driver() == "none" {
        return Err(Error::new(
            Kind::Unsupported,
            "configured logging driver does not support reading",
        ));
    }
    let follow = query.flag("follow")?;
    let mut writer = Writer::new(!info.spec.tty, query.flag("timestamps")?);
    let id = info.id.to_string();
    let mut reader = now(|| LogReader::open(&docker.engine.log_directory(&id)?, select))?;
    let (feed, body) = stream::channel();
    let engine = Arc::clone(&docker.engine);
    tokio::task::spawn_blocking(move || {
        let copied = loop {
            // Asked first: what was written before the end is still read after it.
            let running = engine.is_running(&id);
            match pass(&mut reader, &mut writer, &mut |bytes| feed.send(bytes)) {
                Ok(true) => {}
                other => break other.map(drop),
            }
            let clock = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
            if !follow || !running || feed.is_closed() || reader.is_over(clock) {
                break Ok(());
            }
            if let Err(error) = reader.wait(LOOK) {
                break Err(error);
            }
        };
        if let Err(error) = copied {
            tracing::error!(
                container = id,
                error = shedbox_spec::error::chain(&error),
                "cannot read a log"
            );
            feed.fail(std::io::Error::other("the log cannot be read"));
        }
    });
    Ok(answer::stream(
        super::attach::content_type(shedbox_docker::version::MAX, info.spec.tty),
        body,
    ))
}

/// What is in the log, for who attaches.
pub(super) async fn so_far(
    docker: &Arc<Docker>,
    info: &SandboxInfo,
    stdout: bool,
    stderr: bool,
    framed: bool,
) -> Result<Vec<u8>> {
    let id = info.id.to_string();
    later(docker, move |engine: &Engine| {
        let select = Select {
            stdout,
            stderr,
            ..Select::default()
        };
        let mut reader = LogReader::open(&engine.log_directory(&id)?, select)?;
        let mut writer = Writer::new(framed, false);
        let mut all = Vec::new();
        pass(&mut reader, &mut writer, &mut |bytes| {
            all.extend_from_slice(&bytes);
            true
        })?;
        Ok(all)
    })
    .await
}

/// Passes on what is there; false when nobody takes it.
fn pass(
    reader: &mut LogReader,
    writer: &mut Writer,
    send: &mut dyn FnMut(Vec<u8>) -> bool,
) -> shedbox_engine::Result<bool> {
    while let Some(frame) = reader.next_frame()? {
        if !send(writer.encode(&frame)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `all`, or a number of lines; anything else is all of them, as with dockerd.
fn tail(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Frames in Docker's form.
struct Writer {
    framed: bool,
    timestamps: bool,
    /// By stream: the next byte begins a line.
    fresh: [bool; 2],
}

impl Writer {
    fn new(framed: bool, timestamps: bool) -> Self {
        Self {
            framed,
            timestamps,
            fresh: [true; 2],
        }
    }

    fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        let number = frame.stream as u8;
        let bytes = if self.timestamps {
            self.stamped(frame, usize::from(number - 1))
        } else {
            frame.bytes.clone()
        };
        if !self.framed {
            return bytes;
        }
        let mut all = frame::header(number, bytes.len()).to_vec();
        all.extend_from_slice(&bytes);
        all
    }

    fn stamped(&mut self, frame: &Frame, index: usize) -> Vec<u8> {
        let stamp = time::rfc3339_nano(frame.time_ns);
        let mut all = Vec::with_capacity(frame.bytes.len() + 64);
        for line in frame.bytes.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::replace(&mut self.fresh[index], line.ends_with(b"\n")) {
                all.extend_from_slice(stamp.as_bytes());
                all.push(b' ');
            }
            all.extend_from_slice(line);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_engine::logs::Stream;

    #[test]
    fn stamps_begin_lines_and_not_pieces() {
        let mut writer = Writer::new(false, true);
        let frame = |text: &str| Frame {
            stream: Stream::Stdout,
            time_ns: 0,
            bytes: text.as_bytes().to_vec(),
        };
        let stamp = "1970-01-01T00:00:00.000000000Z";
        assert_eq!(
            writer.encode(&frame("a\nb")),
            format!("{stamp} a\n{stamp} b").into_bytes()
        );
        assert_eq!(writer.encode(&frame("c\n")), b"c\n");
        assert_eq!(tail("all"), None);
        assert_eq!(tail("3"), Some(3));
        assert_eq!(tail("-1"), None);
    }
}
