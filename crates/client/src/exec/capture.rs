//! Output kept in memory, up to a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What becomes of output beyond the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overflow {
    /// It is read and dropped; the command goes on.
    Truncate,
    /// The whole stream goes to a file, `<path>.stdout` or `<path>.stderr`, replaced when it exists; memory keeps the
    /// beginning. Without overflow no file is made.
    Spill(PathBuf),
}

/// The end of one captured stream.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    /// Bytes of the stream, kept or not.
    pub(crate) total: u64,
    pub(crate) spilled: Option<PathBuf>,
}

impl Captured {
    pub(crate) fn truncated(&self) -> bool {
        self.total > self.bytes.len() as u64
    }
}

#[derive(Debug)]
pub(crate) struct Capture {
    kept: Captured,
    limit: usize,
    /// Where to go beyond the limit.
    spill: Option<PathBuf>,
    file: Option<File>,
}

impl Capture {
    /// `stream` is `stdout` or `stderr`.
    pub(crate) fn new(limit: Option<u64>, overflow: &Overflow, stream: &str) -> Self {
        let spill = match overflow {
            Overflow::Truncate => None,
            Overflow::Spill(path) => Some(with_suffix(path, stream)),
        };
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        Self {
            kept: Captured::default(),
            limit,
            spill,
            file: None,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.kept.total += bytes.len() as u64;
        let room = self.limit.saturating_sub(self.kept.bytes.len());
        if bytes.len() > room
            && self.file.is_none()
            && let Some(path) = &self.spill
        {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(&self.kept.bytes)?;
            self.kept.spilled = Some(path.clone());
            self.file = Some(file);
        }
        self.kept
            .bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }

    pub(crate) fn take(&mut self) -> Captured {
        std::mem::take(&mut self.kept)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_the_limit_and_beyond() {
        let mut all = Capture::new(None, &Overflow::Truncate, "stdout");
        all.push(b"abc").unwrap();
        let kept = all.take();
        assert_eq!(
            (kept.bytes.as_slice(), kept.truncated()),
            (&b"abc"[..], false)
        );

        let mut cut = Capture::new(Some(4), &Overflow::Truncate, "stdout");
        for part in [&b"abc"[..], b"def", b"g"] {
            cut.push(part).unwrap();
        }
        let kept = cut.take();
        assert_eq!(
            (kept.bytes.as_slice(), kept.total, kept.truncated()),
            (&b"abcd"[..], 7, true)
        );
        assert_eq!(kept.spilled, None);
    }

    #[test]
    fn spilling_keeps_the_whole_stream() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.v1");
        let mut spill = Capture::new(Some(4), &Overflow::Spill(path.clone()), "stderr");
        spill.push(b"abcd").unwrap();
        let file = dir.path().join("out.v1.stderr");
        assert!(!file.exists(), "no file without overflow");
        spill.push(b"ef").unwrap();
        spill.push(b"gh").unwrap();
        let kept = spill.take();
        assert_eq!(kept.bytes, b"abcd");
        assert_eq!(kept.spilled.as_deref(), Some(file.as_path()));
        assert_eq!(std::fs::read(file).unwrap(), b"abcdefgh");
    }
}
