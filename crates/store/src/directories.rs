//! What must be done to directories last: making things in a directory changes its modification time, and a setgid bit
//! would be inherited by what is made in it.
//!
//! The list goes to a file when it grows: its size is the archive's choice.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, Timestamp};
use shedbox_linux::path;

use crate::error::Doing;
use crate::{Result, StoreError};

/// Bytes kept in memory: some ten thousand directories.
const IN_MEMORY: usize = 1 << 20;

/// Times and modes to set at the end, in the order of the archive: the last of several wins.
pub(crate) struct Directories {
    buffer: Vec<u8>,
    spill_path: PathBuf,
    spill: Option<File>,
}

/// Bytes before the path of a record: seconds, nanoseconds, mode, whether to set it, length of the path.
const HEAD: usize = 8 + 4 + 4 + 1 + 4;

impl Directories {
    /// `spill_path` is where the list may go: on disk, beside the layer.
    pub(crate) fn new(spill_path: PathBuf) -> Self {
        Self {
            buffer: Vec::new(),
            spill_path,
            spill: None,
        }
    }

    /// Remembers a directory. `mode` when it must be set, too.
    pub(crate) fn add(&mut self, path: &[u8], mtime: Timestamp, mode: Option<u32>) -> Result<()> {
        self.buffer.extend_from_slice(&mtime.seconds.to_le_bytes());
        self.buffer.extend_from_slice(&mtime.nanos.to_le_bytes());
        self.buffer
            .extend_from_slice(&mode.unwrap_or(0).to_le_bytes());
        self.buffer.push(u8::from(mode.is_some()));
        self.buffer
            .extend_from_slice(&(path.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(path);
        if self.buffer.len() >= IN_MEMORY {
            let what = || format!("write `{}`", self.spill_path.display());
            if self.spill.is_none() {
                let file = File::create_new(&self.spill_path).doing(what)?;
                self.spill = Some(file);
            }
            if let Some(file) = &mut self.spill {
                file.write_all(&self.buffer).doing(what)?;
            }
            self.buffer.clear();
        }
        Ok(())
    }

    /// Sets everything, and removes the file.
    pub(crate) fn apply(mut self, root: BorrowedFd<'_>) -> Result<()> {
        if self.spill.take().is_some() {
            let path: &Path = &self.spill_path;
            let what = || format!("read `{}`", path.display());
            apply_all(root, &mut BufReader::new(File::open(path).doing(what)?))?;
            std::fs::remove_file(path).doing(|| format!("remove `{}`", path.display()))?;
        }
        apply_all(root, &mut &self.buffer[..])
    }
}

fn apply_all(root: BorrowedFd<'_>, records: &mut dyn Read) -> Result<()> {
    let broken = |source| StoreError::Io {
        what: "read the list of directories".to_owned(),
        source,
    };
    let mut path = Vec::new();
    loop {
        let mut head = [0; HEAD];
        match records.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(broken(error)),
        }
        let four = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let mut seconds = [0; 8];
        seconds.copy_from_slice(&head[..8]);
        let mtime = Timestamp {
            seconds: i64::from_le_bytes(seconds),
            nanos: u32::from_le_bytes(four(8)),
        };
        let mode = (head[16] != 0).then_some(u32::from_le_bytes(four(12)));
        path.resize(u32::from_le_bytes(four(17)) as usize, 0);
        records.read_exact(&mut path).map_err(broken)?;
        apply_one(root, &path, mtime, mode)?;
    }
}

fn apply_one(root: BorrowedFd<'_>, path: &[u8], mtime: Timestamp, mode: Option<u32>) -> Result<()> {
    let name = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    let opened = match path::open_dir_beneath(root, name) {
        Err(error) if error.errno == Errno::ELOOP => path::open_dir_in_root(root, name),
        other => other,
    };
    let what = || {
        format!(
            "set the time of `{}` in a layer",
            String::from_utf8_lossy(path)
        )
    };
    let dir = match opened {
        Ok(dir) => dir,
        // A later entry has put something else there.
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
            return Ok(());
        }
        Err(error) => return Err(error).doing(what),
    };
    if let Some(mode) = mode {
        meta::chmod(&dir, mode).doing(what)?;
    }
    meta::set_mtime(&dir, mtime).doing(what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn many_are_spilled_and_the_last_wins() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let long = "x".repeat(200);
        std::fs::create_dir_all(root.join(&long)).unwrap();
        let at = |seconds| Timestamp {
            seconds,
            nanos: 500_000_000,
        };
        let mut list = Directories::new(dir.path().join("spill"));
        for seconds in 0..10_000 {
            list.add(long.as_bytes(), at(seconds), Some(0o2700))
                .unwrap();
        }
        list.add(b"", at(77), None).unwrap();
        list.add(b"gone", at(1), None).unwrap();
        assert!(dir.path().join("spill").exists());
        let fd = path::open_dir(&root).unwrap();
        list.apply(std::os::fd::AsFd::as_fd(&fd)).unwrap();
        let meta = root.join(&long).metadata().unwrap();
        assert_eq!(
            (meta.mtime(), meta.mtime_nsec(), meta.mode() & 0o7777),
            (9999, 500_000_000, 0o2700)
        );
        assert_eq!(root.metadata().unwrap().mtime(), 77);
        assert!(!dir.path().join("spill").exists());
    }
}
