//! What of a layer's tar stream is not in its directory: a file beside it, from which the stream can be made again.
//!
//! The order of entries, dialect, padding, extended headers and what follows the end are its writer's choice, and the diff
//! id is a digest of all of it. So everything that goes by while a layer is unpacked and does not become the content of a
//! file is kept here as it is, and the content as a reference. A header takes about 40 bytes after compression.
//!
//! A zstd stream of:
//!
//! | bytes | meaning |
//! |---|---|
//! | `shedbox tar record 1\n` | the beginning |
//! | 1, length, bytes | bytes of the stream |
//! | 2, length, path | the following content is of the file at this path of the directory, which is one more file |
//! | 3, offset, length | content of it |
//! | 0 | the end; without it the record is not whole |
//!
//! Numbers are of seven bits a byte, the lowest first, with the top bit set where another byte follows. Paths have no
//! link on the way. What a later entry has replaced is elsewhere, see [`replaced`](crate::replaced).

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

/// The name of the file, beside the layer's directory.
pub(crate) const NAME: &str = "tar.zst";

const MAGIC: &[u8] = b"shedbox tar record 1\n";
/// Fast enough to disappear beside the decompression of the layer; higher levels gain little on headers.
const LEVEL: i32 = 1;
/// Bytes of the stream that are put together before they are written: entries without content follow each other.
const PIECE: usize = 32 << 10;

const END: u8 = 0;
const STREAM: u8 = 1;
const FILE: u8 = 2;
const CONTENT: u8 = 3;

/// Writes a record. What fails is told at the end: everything until then only goes by.
pub(crate) struct Recorder<W: Write = File> {
    out: zstd::Encoder<'static, W>,
    pending: Vec<u8>,
    failure: Option<io::Error>,
}

impl<W: Write> Recorder<W> {
    /// Begins in an empty file.
    pub(crate) fn new(file: W) -> io::Result<Self> {
        let mut out = zstd::Encoder::new(file, LEVEL)?;
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            pending: Vec::with_capacity(PIECE),
            failure: None,
        })
    }

    /// Bytes of the stream that are not content.
    pub(crate) fn stream(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE {
            self.flush();
        }
    }

    /// What follows is content of the file at `path`.
    pub(crate) fn file(&mut self, path: &[u8]) {
        self.flush();
        let mut head = vec![FILE];
        put_number(&mut head, path.len() as u64);
        self.write(&head);
        self.write(path);
    }

    /// Bytes of the last file.
    pub(crate) fn content(&mut self, offset: u64, length: u64) {
        let mut item = vec![CONTENT];
        put_number(&mut item, offset);
        put_number(&mut item, length);
        self.write(&item);
    }

    /// Ends the record.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush();
        self.write(&[END]);
        match self.failure {
            Some(failure) => Err(failure),
            None => self.out.finish(),
        }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut head = vec![STREAM];
        put_number(&mut head, self.pending.len() as u64);
        self.write(&head);
        let mut pending = std::mem::take(&mut self.pending);
        self.write(&pending);
        pending.clear();
        self.pending = pending;
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.out.write_all(bytes).err();
        }
    }
}

/// One piece of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes of the stream, to be read from the reader.
    Stream(u64),
    /// What follows is content of the file whose path is in the reader.
    File,
    /// Bytes of the last file.
    Content { offset: u64, length: u64 },
}

/// Reads a record.
pub(crate) struct RecordReader<R: Read = File> {
    reader: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    /// The path of the last file.
    pub(crate) path: Vec<u8>,
}

impl<R: Read> RecordReader<R> {
    pub(crate) fn new(file: R) -> io::Result<Self> {
        let mut reader = BufReader::new(zstd::Decoder::new(file)?);
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged("it is not a record that this release knows"));
        }
        Ok(Self {
            reader,
            path: Vec::new(),
        })
    }

    /// The next piece; `None` at the end. The bytes of a [`Piece::Stream`] must have been read before.
    pub(crate) fn next(&mut self) -> io::Result<Option<Piece>> {
        match self.byte()? {
            END => Ok(None),
            STREAM => Ok(Some(Piece::Stream(self.number()?))),
            FILE => {
                let length = self.number()?;
                if length > crate::diff::PATH_MAX as u64 {
                    return Err(damaged("a path is too long"));
                }
                self.path.resize(length as usize, 0);
                self.reader.read_exact(&mut self.path)?;
                Ok(Some(Piece::File))
            }
            CONTENT => Ok(Some(Piece::Content {
                offset: self.number()?,
                length: self.number()?,
            })),
            _ => Err(damaged("it has a piece of an unknown kind")),
        }
    }

    /// Reads bytes of the stream.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(into)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> io::Result<u64> {
        number(&mut self.reader)
    }
}

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number.
pub(crate) fn number(reader: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        let bits = u64::from(byte[0] & 0x7f);
        if (bits << shift) >> shift != bits {
            break;
        }
        value |= bits << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number is too large"))
}

pub(crate) fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1 << 32, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, value);
            assert_eq!(number(&mut &bytes[..]).unwrap(), value);
            bytes.pop();
            assert!(number(&mut &bytes[..]).is_err(), "{value} cut short");
        }
        assert!(number(&mut &[0xff; 11][..]).is_err());
    }

    fn sample() -> Vec<u8> {
        let mut recorder = Recorder::new(Vec::new()).unwrap();
        recorder.stream(b"head");
        recorder.stream(b"er");
        recorder.file(b"a/\xff");
        recorder.content(0, 5);
        recorder.content(1 << 40, 7);
        recorder.stream(&vec![b'x'; PIECE + 3]);
        recorder.finish().unwrap()
    }

    #[test]
    fn pieces_come_back() {
        let bytes = sample();
        let mut reader = RecordReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.next().unwrap(), Some(Piece::Stream(6)));
        let mut header = [0; 6];
        reader.read(&mut header).unwrap();
        assert_eq!(&header, b"header");
        assert_eq!(reader.next().unwrap(), Some(Piece::File));
        assert_eq!(reader.path, b"a/\xff");
        let content = |offset, length| Some(Piece::Content { offset, length });
        assert_eq!(reader.next().unwrap(), content(0, 5));
        assert_eq!(reader.next().unwrap(), content(1 << 40, 7));
        let rest = PIECE as u64 + 3;
        assert_eq!(reader.next().unwrap(), Some(Piece::Stream(rest)));
        reader.read(&mut vec![0; rest as usize]).unwrap();
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn what_is_cut_short_has_no_end() {
        let whole = sample();
        for length in 0..whole.len() {
            let Ok(mut reader) = RecordReader::new(&whole[..length]) else {
                continue;
            };
            let outcome = loop {
                match reader.next() {
                    Ok(Some(Piece::Stream(bytes))) => {
                        let mut bytes = vec![0; bytes as usize];
                        if let Err(error) = reader.read(&mut bytes) {
                            break Err(error);
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            // zstd's own checksum may be what is missing; the pieces are all there then.
            assert!(outcome.is_err() || length + 8 > whole.len(), "{length}");
        }
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut recorder = Recorder::new(Full).unwrap();
        recorder.stream(b"x");
        let error = recorder.finish().map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
