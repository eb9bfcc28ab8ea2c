//! The content of one file, from the decoder's buffers to the disk; long runs of zeros become holes.

use std::os::fd::OwnedFd;

use shedbox_linux::meta;

use crate::Result;
use crate::entry::{Entries, Entry, shown};
use crate::error::Doing;
use crate::sparse::SparseMap;

/// Zeros are looked for in pieces of this size, and in what is left of a buffer; shorter runs are written. Smaller pieces
/// would mean more system calls.
const PIECE: usize = 64 << 10;

/// Writes all of the entry's data to an empty file, the last one of the record; gives the number of bytes that were stored
/// in the archive.
pub(crate) fn write_file(
    file: &OwnedFd,
    data: &mut Entries<'_>,
    map: Option<&SparseMap>,
    entry: &Entry,
) -> Result<u64> {
    let what = || format!("extract `{}`", shown(&entry.name));
    let mut output = Output {
        file,
        offset: 0,
        end: 0,
    };
    let mut pieces = map.map(|map| map.pieces.iter());
    // What is left of the current piece of a sparse file; a plain file is one piece.
    let mut left = 0;
    if pieces.is_none() {
        left = data.left();
        record(data, 0, left);
    }
    let mut stored = 0;
    loop {
        while left == 0 {
            let Some((offset, length)) = pieces.as_mut().and_then(Iterator::next) else {
                break;
            };
            output.offset = *offset;
            left = *length;
            record(data, *offset, left);
        }
        let available = data.data()?;
        let length = (available.len() as u64).min(left) as usize;
        if length == 0 {
            break; // the map was checked against the data: both are at their end
        }
        output.write(&available[..length]).doing(what)?;
        data.pass_on(length);
        stored += length as u64;
        left -= length as u64;
    }
    let size = map.map_or(output.offset, |map| map.size);
    if output.end < size {
        meta::set_len(file, size).doing(what)?;
    }
    Ok(stored)
}

fn record(data: &mut Entries<'_>, offset: u64, length: u64) {
    if length > 0
        && let Some(recorder) = data.recorder()
    {
        recorder.content(offset, length);
    }
}

struct Output<'a> {
    file: &'a OwnedFd,
    /// Where the next byte goes.
    offset: u64,
    /// Behind the last byte that was written.
    end: u64,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> shedbox_linux::Result<()> {
        // Runs of pieces that are not all zero are written at once.
        let mut pending = 0;
        let mut position = 0;
        while position < bytes.len() {
            let end = (position + PIECE).min(bytes.len());
            if is_zero(&bytes[position..end]) {
                self.write_plain(&bytes[pending..position])?;
                self.offset += (end - position) as u64;
                pending = end;
            }
            position = end;
        }
        self.write_plain(&bytes[pending..])
    }

    fn write_plain(&mut self, bytes: &[u8]) -> shedbox_linux::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        meta::write_all_at(self.file, bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        self.end = self.end.max(self.offset);
        Ok(())
    }
}

/// Whether all bytes are zero, a cache line at a time: most data says no in the first one.
fn is_zero(bytes: &[u8]) -> bool {
    let (lines, rest) = bytes.as_chunks::<64>();
    lines
        .iter()
        .all(|line| line.iter().fold(0, |sum, byte| sum | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros() {
        assert!(is_zero(&[]));
        assert!(is_zero(&[0; 1000]));
        for position in [0, 63, 64, 999] {
            let mut bytes = [0; 1000];
            bytes[position] = 1;
            assert!(!is_zero(&bytes), "{position}");
        }
    }
}
