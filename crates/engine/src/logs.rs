//! Reading the log of a main process while it is written: the other side of the runtime's log writer.
//!
//! The writer appends frames to `0`; now and then `0` becomes `1` and a new `0` begins. A reader holds the file it reads
//! open, so a rotation takes nothing from it: at the end of a file that is no longer `0` it goes on with the one that
//! came after, found by inode. (A file that is held open keeps its inode, so no other file can have the same.) A frame
//! of which only a part is there is not read until all of it is.

mod cursor;
mod lines;

use std::path::{Path, PathBuf};
use std::time::Duration;

use shedbox_linux::errno::Errno;
use shedbox_linux::inotify::DirectoryWatch;
use shedbox_linux::poll::poll;
use shedbox_spec::api::LOG_FRAME_HEADER;

use crate::error::{Doing, Result, on_path};
use cursor::Cursor;
use lines::LineCounter;

/// How often the directory is looked at when the user's inotify instances are used up.
const POLL: Duration = Duration::from_millis(100);

/// Which output stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Standard output, and everything with a terminal.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// One piece of output, as it was written: it may hold a part of a line or many lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it was written to.
    pub stream: Stream,
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The frame as it is on disk and on the wire: see [`LOG_FRAME_HEADER`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LOG_FRAME_HEADER + self.bytes.len());
        bytes.push(self.stream as u8);
        bytes.extend_from_slice(&self.time_ns.to_le_bytes());
        // A frame comes from a file whose lengths are u32.
        bytes.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.bytes);
        bytes
    }
}

/// Which frames a reader gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Select {
    /// Frames of standard output.
    pub stdout: bool,
    /// Frames of standard error.
    pub stderr: bool,
    /// Not what was written before this time (nanoseconds since 1970).
    pub since_ns: Option<u64>,
    /// Nor what was written after this one.
    pub until_ns: Option<u64>,
    /// Of what is there at the start and is selected by the other fields, only the last lines. What comes later is
    /// given in full.
    pub tail: Option<u64>,
}

impl Default for Select {
    /// Everything.
    fn default() -> Self {
        Self {
            stdout: true,
            stderr: true,
            since_ns: None,
            until_ns: None,
            tail: None,
        }
    }
}

impl Select {
    fn takes(&self, frame: &Frame) -> bool {
        let stream = match frame.stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        stream
            && self.since_ns.is_none_or(|since| frame.time_ns >= since)
            && self.until_ns.is_none_or(|until| frame.time_ns <= until)
    }
}

/// Reads a log from its oldest frame on, and follows it when asked to.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    select: Select,
    cursor: Cursor,
    /// Lines still to be passed over, for `tail`.
    skip: u64,
    lines: LineCounter,
    watch: Option<Watch>,
}

#[derive(Debug)]
enum Watch {
    Events(DirectoryWatch),
    Polling,
}

impl LogReader {
    /// Opens the log in `dir`. One that has not been written yet is empty.
    pub fn open(dir: &Path, select: Select) -> Result<Self> {
        let mut cursor = Cursor::open(dir)?;
        let mut skip = 0;
        if let Some(tail) = select.tail {
            let mut counter = LineCounter::default();
            let mut total = 0u64;
            let mut ahead = cursor.clone();
            while let Some(frame) = ahead.next()? {
                if select.takes(&frame) {
                    total += counter.lines_begun(&frame);
                }
            }
            // The second pass must see the same files, whatever is rotated meanwhile.
            cursor.remember(ahead);
            skip = total.saturating_sub(tail);
        }
        Ok(Self {
            dir: dir.to_owned(),
            select,
            cursor,
            skip,
            lines: LineCounter::default(),
            watch: None,
        })
    }

    /// The next frame; `None` when no more is there now.
    pub fn next_frame(&mut self) -> Result<Option<Frame>> {
        while let Some(frame) = self.cursor.next()? {
            if !self.select.takes(&frame) {
                continue;
            }
            let frame = self.lines.skip(frame, &mut self.skip);
            if !frame.bytes.is_empty() {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// True when nothing that may still be written is selected: a reader that follows is done.
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.select.until_ns.is_some_and(|until| now_ns > until)
    }

    /// Waits until there may be more to read; false when `timeout` came first. To be called when
    /// [`Self::next_frame`] gave `None`. The first call returns at once, because only from then on changes are seen.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        match &self.watch {
            None => {
                self.watch = Some(match DirectoryWatch::new(&self.dir) {
                    Ok(watch) => Watch::Events(watch),
                    // Removed: what was written is in the files that are open, and nothing comes any more.
                    Err(error) if error.errno == Errno::ENOENT => return Ok(true),
                    Err(error) if matches!(error.errno, Errno::EMFILE | Errno::ENOSPC) => {
                        tracing::debug!(%error, "no inotify watch left; polling the log");
                        Watch::Polling
                    }
                    Err(error) => return Err(error).doing(|| on_path("watch", &self.dir)),
                });
                Ok(true)
            }
            Some(Watch::Events(watch)) => watch
                .wait(Some(timeout))
                .doing(|| on_path("watch", &self.dir)),
            Some(Watch::Polling) => {
                // Nothing to wait for but the time.
                poll(&[], Some(timeout.min(POLL))).doing(|| "wait".into())?;
                Ok(timeout >= POLL)
            }
        }
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
