//! The log of the main process: frames appended to a file, capped by rotation. Written by init itself, so that it
//! survives daemon and keeper.
//!
//! A frame is one byte for the stream, the time as u64 nanoseconds and the length as u32 (little-endian), then the
//! bytes: [`LOG_FRAME_HEADER`]. Frames go to the file `0`; when that would exceed half of the cap it becomes `1`, in
//! place of the `1` before, and a new `0` begins. A reader finds only whole frames, but for one being written: what a
//! write could not finish (full disk) is cut off again, and what an init that was killed left half written is cut off
//! by the next one.
//!
//! Nothing here fails: a log that cannot be written loses frames, counts their bytes, and says so in a frame of its own
//! when there is room again. The files are opened by the first write, because a spare generation shares the directory
//! with the one that still lives.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use shedbox_linux::errno::Errno;
use shedbox_linux::path::{self, Rename};
use shedbox_linux::{Result, fd, meta};
use shedbox_spec::api::LOG_FRAME_HEADER;

/// File of the newest frames.
const CURRENT: &str = "0";
/// File of the frames before them.
const PREVIOUS: &str = "1";
/// The least that one file holds, in bytes: a smaller cap would leave no room for a frame.
const MIN_FILE: u64 = 4096;
/// The stream of our own words: standard error.
const STDERR: u8 = 2;

/// Appends frames to the file `0` of a directory; see the module.
#[derive(Debug)]
pub struct LogWriter {
    dir: OwnedFd,
    file: Option<OwnedFd>,
    /// Bytes of whole frames in `file`.
    size: u64,
    /// Most bytes of one file.
    limit: u64,
    /// Bytes of output lost since the last frame that was written.
    lost: u64,
    /// Bytes of output lost in all.
    dropped: u64,
}

impl LogWriter {
    /// A log in `dir` whose files together stay below `cap` bytes (8 KiB at least). Nothing is opened or made yet.
    pub fn open(dir: BorrowedFd<'_>, cap: u64) -> Result<Self> {
        Ok(Self {
            dir: path::dir_handle_at(dir, ".")?,
            file: None,
            size: 0,
            limit: (cap / 2).max(MIN_FILE),
            lost: 0,
            dropped: 0,
        })
    }

    /// Appends `bytes` of `stream` (1 or 2) with the time of now.
    pub fn write(&mut self, stream: u8, bytes: &[u8]) {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos() as u64);
        // A frame larger than a file could never be kept.
        for part in bytes.chunks(self.limit as usize - LOG_FRAME_HEADER) {
            if self.lost > 0 {
                let notice = format!(
                    "shedbox: {} bytes of output are missing here: the log could not be written\n",
                    self.lost
                );
                if self.append(STDERR, time, notice.as_bytes()).is_ok() {
                    self.lost = 0;
                }
            }
            if self.lost > 0 || self.append(stream, time, part).is_err() {
                self.lost += part.len() as u64;
                self.dropped += part.len() as u64;
            }
        }
    }

    /// Bytes of output that could not be written, since this log was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn append(&mut self, stream: u8, time: u64, bytes: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(LOG_FRAME_HEADER + bytes.len());
        frame.push(stream);
        frame.extend_from_slice(&time.to_le_bytes());
        frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        frame.extend_from_slice(bytes);
        if self.file.is_none() {
            self.begin()?;
        }
        if self.size > 0 && self.size + frame.len() as u64 > self.limit {
            self.rotate()?;
        }
        let Some(file) = &self.file else {
            return Err(shedbox_linux::Error::new(
                "write",
                "no log file",
                Errno::EBADF,
            ));
        };
        let written = fd::write_all(file, &frame);
        match written {
            Ok(()) => self.size += frame.len() as u64,
            // Part of the frame may be there. A file that cannot be cut either is given up: its next reader skips the
            // rest of it.
            Err(_) if meta::set_len(file, self.size).is_ok() => {}
            Err(_) => self.rotate()?,
        }
        written
    }

    /// Opens `0`, without what an earlier writer left half written.
    fn begin(&mut self) -> Result<()> {
        let file = path::append_at(&self.dir, CURRENT, 0o600)?;
        let present = meta::stat(&file)?.size;
        self.size = match present {
            0 => 0,
            _ => whole_frames(path::open_file_at(&self.dir, CURRENT)?.as_fd(), present)?,
        };
        if self.size < present {
            meta::set_len(&file, self.size)?;
        }
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        // Closed first: when the rename works and the open does not, the next write must not go to the old file.
        self.file = None;
        path::rename_at(&self.dir, CURRENT, &self.dir, PREVIOUS, Rename::Replace)?;
        self.begin()
    }
}

/// The length of the whole frames at the start of a log file of `present` bytes.
fn whole_frames(file: BorrowedFd<'_>, present: u64) -> Result<u64> {
    let mut buffer = vec![0; 16 << 10];
    // Bytes of the file that have been passed; where the next frame begins; its header as far as it has been seen.
    let (mut passed, mut next) = (0u64, 0u64);
    let mut header = [0; LOG_FRAME_HEADER];
    loop {
        let count = fd::read(file, &mut buffer)?;
        if count == 0 {
            return Ok(next);
        }
        let end = passed + count as u64;
        // A header may lie across two reads.
        while next < end {
            let from = next.max(passed);
            let have = (from - next) as usize;
            let take = (LOG_FRAME_HEADER - have).min((end - from) as usize);
            let start = (from - passed) as usize;
            header[have..have + take].copy_from_slice(&buffer[start..start + take]);
            if have + take < LOG_FRAME_HEADER {
                break;
            }
            let [.., a, b, c, d] = header;
            let after =
                next + LOG_FRAME_HEADER as u64 + u64::from(u32::from_le_bytes([a, b, c, d]));
            if !matches!(header[0], 1 | 2) || after > present {
                return Ok(next);
            }
            next = after;
        }
        passed = end;
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
