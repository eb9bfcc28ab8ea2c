//! A layer as the tar stream that it came as: its [record](crate::record) and the content of its files.
//!
//! The result is believed when its digest is the diff id. Where there is no record (the layer was made here, or by a
//! release that kept none) or something does not fit any more, the layer is [packed](crate::pack): one that was made here
//! gives its own bytes by that, any other one is another layer then.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Sink, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use shedbox_linux::errno::Errno;
use shedbox_linux::{fd, path};
use shedbox_spec::Digest;

use crate::copier::split;
use crate::entry::shown;
use crate::error::Doing;
use crate::pack::{Packed, pack_layer};
use crate::record::{self, Piece, RecordReader};
use crate::replaced::{self, Replaced};
use crate::{Result, Store, StoreError};

const BUFFER: usize = 256 << 10;

/// Where the tar stream of a layer goes. What was written may turn out to be wrong.
pub trait TarOutput: Write {
    /// Forgets everything that was written.
    fn restart(&mut self) -> io::Result<()>;
}

impl TarOutput for BufWriter<File> {
    fn restart(&mut self) -> io::Result<()> {
        self.rewind()?;
        self.get_ref().set_len(0)
    }
}

impl TarOutput for Sink {
    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store {
    /// Writes a layer as tar: the very bytes that it came as, where that is possible. They were when the digest of what
    /// was written is the diff id; a warning in the log says why they are not.
    pub fn write_layer(&self, diff_id: &Digest, out: &mut dyn TarOutput) -> Result<Packed> {
        let why = match self.reproduce(diff_id, out) {
            Ok(Some(packed)) => return Ok(packed),
            Ok(None) => "the release that stored it kept no record of its archive".to_owned(),
            Err(error @ StoreError::NotReproduced { .. }) => {
                out.restart().doing(|| "write the archive".to_owned())?;
                shedbox_spec::error::chain(&error)
            }
            Err(error) => return Err(error),
        };
        let packed = pack_layer(&self.layer_dir(diff_id), out)?;
        if packed.diff_id != *diff_id {
            tracing::warn!(%diff_id, packed = %packed.diff_id, why, "a layer is packed anew and changes its digest");
        }
        Ok(packed)
    }

    /// The bytes that the layer came as; `None` when there is no record.
    fn reproduce(&self, diff_id: &Digest, out: &mut dyn Write) -> Result<Option<Packed>> {
        let layer = self.root.join("layers").join(diff_id.hex());
        let what = || format!("open layer {diff_id}");
        let dir = path::open_dir(&layer).doing(what)?;
        let record = match path::open_file_at(&dir, record::NAME) {
            Ok(file) => File::from(file),
            Err(error) if error.errno == Errno::ENOENT => return Ok(None),
            Err(error) => return Err(error).doing(what),
        };
        let moved = match path::open_dir_at(&dir, replaced::NAME) {
            Ok(dir) => Some(dir),
            Err(error) if error.errno == Errno::ENOENT => None,
            Err(error) => return Err(error).doing(what),
        };
        let unread = |source: io::Error| StoreError::NotReproduced {
            diff_id: diff_id.clone(),
            reason: format!("its record: {source}"),
        };
        let mut writer = Writer {
            diff_id,
            replaced: match &moved {
                Some(dir) => Replaced::read(dir).map_err(unread)?,
                None => Replaced::default(),
            },
            root: path::open_dir_at(&dir, "diff").doing(what)?,
            moved,
            parent: None,
            file: None,
            files: 0,
            out,
            hash: Sha256::new(),
            bytes: 0,
            buffer: vec![0; BUFFER],
        };
        let mut record = RecordReader::new(record).map_err(unread)?;
        while let Some(piece) = record.next().map_err(unread)? {
            match piece {
                Piece::Stream(length) => {
                    let mut left = length;
                    while left > 0 {
                        let step = left.min(BUFFER as u64) as usize;
                        record.read(&mut writer.buffer[..step]).map_err(unread)?;
                        writer.write(step)?;
                        left -= step as u64;
                    }
                }
                Piece::File => writer.open(&record.path)?,
                Piece::Content { offset, length } => {
                    writer.content(&record.path, offset, length)?;
                }
            }
        }
        writer.finish().map(Some)
    }
}

struct Writer<'a> {
    diff_id: &'a Digest,
    replaced: Replaced,
    root: OwnedFd,
    /// `replaced/`.
    moved: Option<OwnedFd>,
    /// The directory of the last file: the next one is nearly always in the same one.
    parent: Option<(PathBuf, OwnedFd)>,
    file: Option<OwnedFd>,
    /// Files so far.
    files: u64,
    out: &'a mut dyn Write,
    hash: Sha256,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Writer<'_> {
    fn open(&mut self, recorded: &[u8]) -> Result<()> {
        let place = self.replaced.find(self.files, recorded);
        self.files += 1;
        let file = match (place, &self.moved) {
            (Some((number, rest)), Some(moved)) => {
                let mut whole = number.to_string().into_bytes();
                if !rest.is_empty() {
                    whole.push(b'/');
                    whole.extend_from_slice(rest);
                }
                open_beneath(moved, &whole, &mut None)
            }
            _ => open_beneath(&self.root, recorded, &mut self.parent),
        };
        self.file = Some(file.map_err(|error| self.lost(recorded, error))?);
        Ok(())
    }

    fn content(&mut self, recorded: &[u8], offset: u64, length: u64) -> Result<()> {
        let mut done = 0;
        while done < length {
            let step = (length - done).min(BUFFER as u64) as usize;
            let Some(file) = &self.file else {
                return Err(self.lost(recorded, "it is named too late"));
            };
            let read = offset
                .checked_add(done)
                .map(|offset| fd::read_at(file.as_fd(), &mut self.buffer[..step], offset));
            match read {
                Some(Ok(read)) if read > 0 => {
                    self.write(read)?;
                    done += read as u64;
                }
                Some(Err(error)) => return Err(self.lost(recorded, error)),
                _ => return Err(self.lost(recorded, "it is shorter than it was")),
            }
        }
        Ok(())
    }

    /// Passes on the first bytes of the buffer.
    fn write(&mut self, length: usize) -> Result<()> {
        let bytes = &self.buffer[..length];
        self.hash.update(bytes);
        self.bytes += length as u64;
        self.out
            .write_all(bytes)
            .doing(|| "write the archive".to_owned())
    }

    fn finish(self) -> Result<Packed> {
        let diff_id = Digest::from_bytes(&self.hash.finalize().into());
        if diff_id != *self.diff_id {
            return Err(StoreError::NotReproduced {
                diff_id: self.diff_id.clone(),
                reason: format!("its files have changed: it is {diff_id} now"),
            });
        }
        Ok(Packed {
            diff_id,
            bytes: self.bytes,
        })
    }

    fn lost(&self, recorded: &[u8], why: impl std::fmt::Display) -> StoreError {
        StoreError::NotReproduced {
            diff_id: self.diff_id.clone(),
            reason: format!("`{}`: {why}", shown(recorded)),
        }
    }
}

/// Opens a file beneath `root`. `parent` is a directory of it that is open, and then the one that the file is in.
fn open_beneath(
    root: &OwnedFd,
    path: &[u8],
    parent: &mut Option<(PathBuf, OwnedFd)>,
) -> shedbox_linux::Result<OwnedFd> {
    let (dir, name) = split(path);
    let known = match parent.take() {
        Some(known) if known.0 == dir => known,
        _ => (dir.into(), path::dir_handle_beneath(root, dir)?),
    };
    let file = path::open_file_at(&known.1, name);
    *parent = Some(known);
    file
}

#[cfg(test)]
#[path = "reproduce_tests.rs"]
mod tests;
