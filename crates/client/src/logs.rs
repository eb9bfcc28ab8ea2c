//! The log of a main process, as a stream of frames.

use std::io::{BufReader, Read};

use shedbox_spec::api::LOG_FRAME_HEADER;

use crate::http::{Body, Target};
use crate::{Error, Result};

/// Longest payload of one frame, in bytes. Init writes at most what it reads at once.
const FRAME_MAX: usize = 16 << 20;

/// Which part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the main process ends.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// From this time on, in nanoseconds since 1970.
    pub since_ns: Option<u64>,
    /// Up to this time.
    pub until_ns: Option<u64>,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            follow: false,
            stdout: true,
            stderr: true,
            since_ns: None,
            until_ns: None,
            tail: None,
        }
    }
}

impl LogOptions {
    pub(crate) fn apply(&self, target: Target) -> Target {
        let mut target = target
            .query("follow", self.follow)
            .query("stdout", self.stdout)
            .query("stderr", self.stderr);
        for (name, value) in [
            ("since_ns", self.since_ns),
            ("until_ns", self.until_ns),
            ("tail", self.tail),
        ] {
            if let Some(value) = value {
                target = target.query(name, value);
            }
        }
        target
    }
}

/// Bytes that the main process wrote at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFrame {
    /// From standard error; otherwise standard output, or the terminal.
    pub stderr: bool,
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What; not cut at lines.
    pub bytes: Vec<u8>,
}

/// Iterates over a log, oldest first.
#[derive(Debug)]
pub struct Logs<R = Body>(BufReader<R>);

impl Logs {
    pub(crate) fn new(body: Body) -> Self {
        Self(BufReader::with_capacity(64 << 10, body))
    }
}

impl<R: Read> Logs<R> {
    fn frame(&mut self) -> Result<Option<LogFrame>> {
        let mut header = [0; LOG_FRAME_HEADER];
        let mut filled = 0;
        while filled < header.len() {
            match self.0.read(&mut header[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Error::protocol("the daemon", "the log ends within a frame")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read the log")(error)),
            }
        }
        let [stream, header @ ..] = header;
        let (time, length) = header.split_at(8);
        // Both have the length that their type has: LOG_FRAME_HEADER is 1 + 8 + 4.
        let time_ns = u64::from_le_bytes(time.try_into().unwrap_or_default());
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
        if !(1..=2).contains(&stream) || length > FRAME_MAX {
            return Err(Error::protocol(
                "the daemon",
                format!("a log frame of stream {stream} with {length} bytes"),
            ));
        }
        let mut bytes = vec![0; length];
        self.0
            .read_exact(&mut bytes)
            .map_err(Error::io("read the log"))?;
        Ok(Some(LogFrame {
            stderr: stream == 2,
            time_ns,
            bytes,
        }))
    }
}

impl<R: Read> Iterator for Logs<R> {
    type Item = Result<LogFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        self.frame().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<Result<LogFrame>> {
        let mut list = Vec::new();
        for frame in Logs(BufReader::new(bytes)) {
            let failed = frame.is_err();
            list.push(frame);
            if failed {
                break;
            }
        }
        list
    }

    fn encode(stream: u8, time: u64, bytes: &[u8]) -> Vec<u8> {
        let mut frame = vec![stream];
        frame.extend(time.to_le_bytes());
        frame.extend((bytes.len() as u32).to_le_bytes());
        frame.extend(bytes);
        frame
    }

    #[test]
    fn frames_come_back() {
        let mut log = encode(1, 5, b"out\n");
        log.extend(encode(2, u64::MAX, b""));
        let read: Vec<LogFrame> = frames(&log).into_iter().map(Result::unwrap).collect();
        let expected = [
            LogFrame {
                stderr: false,
                time_ns: 5,
                bytes: b"out\n".to_vec(),
            },
            LogFrame {
                stderr: true,
                time_ns: u64::MAX,
                bytes: Vec::new(),
            },
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn broken_frames() {
        for bytes in [
            encode(1, 5, b"out")[..15].to_vec(),
            vec![1, 2, 3],
            encode(3, 1, b"x"),
            vec![255; 40],
        ] {
            assert!(frames(&bytes).pop().unwrap().is_err(), "{bytes:?}");
        }
    }
}
