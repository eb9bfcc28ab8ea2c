//! The log of the main process: frames appended to a file, capped by rotation. Written by init itself, so that it
//! survives daemon and keeper.

use std::fs::File;
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use shedbox_linux::Result;
use shedbox_linux::{meta, path};

/// Appends frames to the file `0` of a directory; see the module.
#[derive(Debug)]
pub struct LogWriter {
    dir: OwnedFd,
    file: Option<File>,
    size: u64,
    cap: u64,
}

impl LogWriter {
    /// Opens or makes the log in `dir`; all files together stay below `cap` bytes.
    pub fn open(dir: BorrowedFd<'_>, cap: u64) -> Result<Self> {
        let dir = path::open_dir_at(dir, ".")?;
        let file = path::append_at(&dir, "0", 0o600)?;
        let size = meta::stat(&file)?.size;
        Ok(Self {
            dir,
            file: Some(File::from(file)),
            size,
            cap,
        })
    }

    /// Appends one frame. A full disk loses the frame, never the process.
    pub fn write(&mut self, stream: u8, bytes: &[u8]) {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos() as u64);
        let mut frame = Vec::with_capacity(bytes.len() + 13);
        frame.push(stream);
        frame.extend_from_slice(&time.to_le_bytes());
        frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        frame.extend_from_slice(bytes);
        if self.size + frame.len() as u64 > self.cap / 2 {
            self.rotate();
        }
        if let Some(file) = &mut self.file
            && file.write_all(&frame).is_ok()
        {
            self.size += frame.len() as u64;
        }
    }

    fn rotate(&mut self) {
        let moved = path::rename_at(&self.dir, "0", &self.dir, "1", path::Rename::Replace);
        if moved.is_ok()
            && let Ok(file) = path::append_at(&self.dir, "0", 0o600)
        {
            self.file = Some(File::from(file));
            self.size = 0;
        }
    }
}
