//! A position in a log: which file, how far, and which file comes next.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shedbox_linux::errno::Errno;
use shedbox_linux::{meta, path};
use shedbox_spec::api::LOG_FRAME_HEADER;

use super::{Frame, Stream};
use crate::error::{Doing, Result, on_path};

const CURRENT: &str = "0";
const PREVIOUS: &str = "1";
/// Read at once.
const CHUNK: usize = 64 << 10;
/// A length above this is no frame: the writer divides its output into smaller ones.
const LONGEST: usize = 1 << 30;

/// An open file of the log.
#[derive(Debug, Clone)]
struct LogFile {
    file: Arc<File>,
    inode: u64,
}

/// Gives the frames of a log in the order in which they were written.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    dir: Arc<OwnedFd>,
    /// Its path, for messages.
    place: PathBuf,
    /// The file being read; none before the first has been written.
    current: Option<LogFile>,
    /// Where its next frame begins.
    offset: u64,
    /// What has been read from `offset` on, less `used` bytes at its start.
    buffer: Vec<u8>,
    used: usize,
    /// What follows is no frame: pass over the rest of this file.
    broken: bool,
    /// Files known to come next.
    queue: VecDeque<LogFile>,
    /// Files gone through.
    passed: Vec<LogFile>,
}

impl Cursor {
    /// The start of the log in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let mut cursor = Self {
            dir: Arc::new(path::open_dir(dir).doing(|| on_path("open", dir))?),
            place: dir.to_owned(),
            current: None,
            offset: 0,
            buffer: Vec::new(),
            used: 0,
            broken: false,
            queue: VecDeque::new(),
            passed: Vec::new(),
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// Makes this cursor, still at the start, go through the files that `ahead`, a copy of it, has gone through.
    pub(super) fn remember(&mut self, ahead: Cursor) {
        let files = ahead.passed.into_iter().chain(ahead.current);
        self.queue = files
            .filter(|file| Some(file.inode) != self.current.as_ref().map(|own| own.inode))
            .collect();
        if self.current.is_none() {
            self.current = self.queue.pop_front();
        }
    }

    /// The next frame; `None` when no whole one is there now.
    pub(super) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.frame_here()? {
                return Ok(Some(frame));
            }
            if self.current.is_some() && !self.is_final()? {
                return Ok(None);
            }
            // The writer may have appended between the end that was just seen and the rotation; now it cannot any more.
            if let Some(frame) = self.frame_here()? {
                return Ok(Some(frame));
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Whether the current file is complete: another one has its name.
    fn is_final(&self) -> Result<bool> {
        if !self.queue.is_empty() {
            return Ok(true);
        }
        let live = self.inode(CURRENT)?;
        Ok(live.is_none() || live != self.current.as_ref().map(|file| file.inode))
    }

    /// Goes to the file after the current one; false when there is none yet.
    fn advance(&mut self) -> Result<bool> {
        let next = match self.queue.pop_front() {
            Some(file) => Some(file),
            None => self.find_next()?,
        };
        let Some(next) = next else {
            return Ok(false);
        };
        self.passed.extend(self.current.replace(next));
        self.offset = 0;
        self.buffer.clear();
        self.used = 0;
        self.broken = false;
        Ok(true)
    }

    fn find_next(&self) -> Result<Option<LogFile>> {
        // In this order: a rotation between the two then shows the live file twice and hides none. The other way round
        // the file that stops being live in between would be in neither place.
        let live = self.open_file(CURRENT)?;
        let previous = self.open_file(PREVIOUS)?;
        let is_current = |file: &LogFile| {
            self.current
                .as_ref()
                .is_some_and(|own| own.inode == file.inode)
        };
        Ok(match (previous, live) {
            (_, Some(live)) if is_current(&live) => None,
            (Some(previous), live) if is_current(&previous) => live,
            // At the start, or more than one rotation behind: the oldest that is left.
            (Some(previous), _) => Some(previous),
            (None, live) => live,
        })
    }

    /// The frame at the current position, when all of it is there.
    fn frame_here(&mut self) -> Result<Option<Frame>> {
        if self.broken || !self.fill(LOG_FRAME_HEADER)? {
            return Ok(None);
        }
        let header = &self.buffer[self.used..self.used + LOG_FRAME_HEADER];
        let (stream, time, length) = (header[0], &header[1..9], &header[9..13]);
        // Slices of exactly these lengths.
        let time_ns = u64::from_le_bytes(time.try_into().unwrap_or_default());
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
        let stream = match stream {
            1 if length <= LONGEST => Stream::Stdout,
            2 if length <= LONGEST => Stream::Stderr,
            _ => {
                tracing::debug!(dir = %self.place.display(), offset = self.offset, "not a log frame; the rest of the file is passed over");
                self.broken = true;
                return Ok(None);
            }
        };
        let whole = LOG_FRAME_HEADER + length;
        if !self.fill(whole)? {
            return Ok(None);
        }
        let bytes = self.buffer[self.used + LOG_FRAME_HEADER..self.used + whole].to_vec();
        self.used += whole;
        self.offset += whole as u64;
        Ok(Some(Frame {
            stream,
            time_ns,
            bytes,
        }))
    }

    /// Has at least `wanted` bytes from `offset` on in the buffer; false when the file has fewer.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        if self.buffer.len() - self.used >= wanted {
            return Ok(true);
        }
        let Some(current) = &self.current else {
            return Ok(false);
        };
        // Read anew from the start of the frame: the writer may have cut off and replaced what was half there.
        self.used = 0;
        self.buffer.resize(wanted.max(CHUNK), 0);
        let mut filled = 0;
        while filled < wanted {
            let count = match current
                .file
                .read_at(&mut self.buffer[filled..], self.offset + filled as u64)
            {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.doing(|| on_path("read the log in", &self.place))?,
            };
            if count == 0 {
                break;
            }
            filled += count;
        }
        self.buffer.truncate(filled);
        if filled < wanted {
            self.buffer.clear();
            return Ok(false);
        }
        Ok(true)
    }

    fn open_file(&self, name: &str) -> Result<Option<LogFile>> {
        let doing = || on_path("open", &self.place.join(name));
        match path::open_file_at(&*self.dir, name) {
            Err(error) if error.errno == Errno::ENOENT => Ok(None),
            opened => {
                let file = File::from(opened.doing(doing)?);
                let inode = meta::stat(&file).doing(doing)?.ino;
                Ok(Some(LogFile {
                    file: Arc::new(file),
                    inode,
                }))
            }
        }
    }

    fn inode(&self, name: &str) -> Result<Option<u64>> {
        match meta::stat_at(&*self.dir, name) {
            Err(error) if error.errno == Errno::ENOENT => Ok(None),
            other => Ok(Some(
                other
                    .doing(|| on_path("look at", &self.place.join(name)))?
                    .ino,
            )),
        }
    }
}
