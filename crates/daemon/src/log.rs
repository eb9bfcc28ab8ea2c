//! The daemon's own log: a file that does not outgrow its cap, or standard error.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use shedbox_spec::Result;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::Doing;

/// Bytes after which the file becomes `daemon.log.old`, in place of the one before.
const CAP: u64 = 4 << 20;

/// Starts logging: to `daemon.log` in the root, or to standard error in the foreground. `SHEDBOX_LOG` sets the level.
/// Gives the path of the file, for the keeper.
pub(crate) fn start(root: &Path, foreground: bool) -> Result<Option<PathBuf>> {
    let filter = EnvFilter::try_from_env("SHEDBOX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false);
    if foreground {
        // Refused when the program that links us has a subscriber already: then that one is used.
        let _ = builder.with_writer(io::stderr).try_init();
        return Ok(None);
    }
    let path = root.join("daemon.log");
    let file = CappedFile::open(&path, CAP).doing(|| format!("open {}", path.display()))?;
    let _ = builder
        .with_ansi(false)
        .with_writer(Shared(Arc::new(Mutex::new(file))))
        .try_init();
    Ok(Some(path))
}

/// A file that starts anew when it is full.
#[derive(Debug)]
struct CappedFile {
    path: PathBuf,
    file: File,
    size: u64,
    cap: u64,
}

impl CappedFile {
    fn open(path: &Path, cap: u64) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            cap,
        })
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.cap {
            std::fs::rename(&self.path, self.path.with_extension("log.old"))?;
            *self = Self::open(&self.path, self.cap)?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<CappedFile>>);

impl Write for Shared {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_line(buffer)
            .map(|()| buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Shared {
    type Writer = Shared;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_starts_anew_and_keeps_one_predecessor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.log");
        let mut file = CappedFile::open(&path, 10).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            file.write_line(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
        assert_eq!(
            std::fs::read_to_string(dir.path().join("daemon.log.old")).unwrap(),
            "three\n"
        );
        drop(file);
        let mut file = CappedFile::open(&path, 10).unwrap();
        file.write_line(b"five\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\nfive\n");
    }
}
