//! The compressed side of a layer: counted, hashed, its encoding told by magic, decompressed.

use std::io::{self, BufRead, ErrorKind, Read};

use sha2::{Digest as _, Sha256};
use shedbox_spec::Digest;

use crate::chunks::ChunkSender;
use crate::{Result, StoreError};

const BUFFER: usize = 256 << 10;

/// The blob as it comes: every byte that is read is counted and hashed.
pub(crate) struct Compressed<'a> {
    inner: &'a mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    hash: Sha256,
    total: u64,
    expected: Option<u64>,
    on_consumed: &'a mut dyn FnMut(u64),
    /// The first failure of `inner`: decoders wrap or hide errors, and what the network said must not be lost.
    failure: Option<StoreError>,
    ended: bool,
}

impl<'a> Compressed<'a> {
    /// A blob of `expected` bytes, when that is known: a longer one fails at once.
    pub(crate) fn new(
        inner: &'a mut dyn Read,
        expected: Option<u64>,
        on_consumed: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            inner,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            hash: Sha256::new(),
            total: 0,
            expected,
            on_consumed,
            failure: None,
            ended: false,
        }
    }

    /// Reads once, behind what the buffer still has.
    fn read_more(&mut self) -> io::Result<()> {
        if self.failure.is_some() {
            return Err(io::Error::other("the source has failed before"));
        }
        if self.ended {
            return Ok(());
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let length = loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(StoreError::Source(error));
                    return Err(io::Error::other("the source has failed"));
                }
                Ok(length) => break length,
            }
        };
        if length == 0 {
            self.ended = true;
            return Ok(());
        }
        self.hash.update(&self.buffer[self.end..self.end + length]);
        self.end += length;
        self.total += length as u64;
        if let Some(expected) = self.expected
            && self.total > expected
        {
            self.failure = Some(StoreError::SizeMismatch {
                expected,
                actual: self.total,
            });
            return Err(io::Error::other("longer than expected"));
        }
        (self.on_consumed)(self.total);
        Ok(())
    }

    /// The first bytes, as many as there are up to `count`, which stay to be read.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count && !self.ended {
            self.read_more()?;
        }
        let available = (self.end - self.start).min(count);
        Ok(&self.buffer[self.start..self.start + available])
    }

    /// Reads what is left, and gives digest and length of the whole blob.
    pub(crate) fn finish(&mut self) -> Result<(Digest, u64)> {
        while !self.ended {
            self.start = self.end;
            if let Err(error) = self.read_more() {
                return Err(self.failure.take().unwrap_or(StoreError::Source(error)));
            }
        }
        let hash = std::mem::take(&mut self.hash);
        Ok((Digest::from_bytes(&hash.finalize().into()), self.total))
    }
}

impl Read for Compressed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(into.len());
        into[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Compressed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.read_more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
    /// Known, and not one that layers may have.
    Foreign(&'static str),
}

impl Encoding {
    /// Tells by the first bytes. Sources: RFC 1952; RFC 8878 (data and skippable frames).
    fn sniff(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Self::Foreign("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Foreign("xz"),
            _ => Self::Plain,
        }
    }
}

/// Decompresses all of `source` into `sink`. Several gzip members or zstd frames in a row are one stream.
pub(crate) fn decode(source: &mut Compressed<'_>, sink: &mut ChunkSender) -> Result<()> {
    let encoding = match source.peek(6) {
        Ok(magic) => Encoding::sniff(magic),
        Err(error) => return Err(source.failure.take().unwrap_or(StoreError::Source(error))),
    };
    let corrupt = |encoding| {
        move |error| StoreError::Corrupt {
            encoding,
            source: error,
        }
    };
    let done = match encoding {
        Encoding::Plain => sink.send_all(source, &corrupt("tar")),
        Encoding::Gzip => {
            let mut decoder = flate2::bufread::MultiGzDecoder::new(&mut *source);
            sink.send_all(&mut decoder, &corrupt("gzip"))
        }
        // The library's own bound on the window, 128 MiB, is the largest that `zstd --ultra` makes; common layers have
        // 8 MiB at most.
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(&mut *source)
            .map_err(corrupt("zstd"))
            .and_then(|mut decoder| sink.send_all(&mut decoder, &corrupt("zstd"))),
        Encoding::Foreign(name) => Err(StoreError::Tar(format!(
            "it is compressed with {name}, which layers may not be"
        ))),
    };
    match source.failure.take() {
        Some(failure) => {
            // Later calls must not read on either.
            source.ended = true;
            Err(failure)
        }
        None => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic() {
        for (bytes, encoding) in [
            (&b"\x1f\x8b\x08"[..], Encoding::Gzip),
            (b"\x28\xb5\x2f\xfd", Encoding::Zstd),
            (b"\x51\x2a\x4d\x18", Encoding::Zstd),
            (b"BZh91AY", Encoding::Foreign("bzip2")),
            (b"\xfd7zXZ\0", Encoding::Foreign("xz")),
            (b"BZhello", Encoding::Plain),
            (b"", Encoding::Plain),
            (b"etc/", Encoding::Plain),
        ] {
            assert_eq!(Encoding::sniff(bytes), encoding, "{bytes:?}");
        }
    }

    /// Gives one byte at a time, and fails at the end when asked to.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.split_first() {
                Some((byte, rest)) => {
                    into[0] = *byte;
                    self.0 = rest;
                    Ok(1)
                }
                None if self.1 => Err(io::Error::from(ErrorKind::ConnectionReset)),
                None => Ok(0),
            }
        }
    }

    #[test]
    fn single_bytes_are_enough_to_tell() {
        let gz = {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut writer, b"hello").unwrap();
            writer.finish().unwrap()
        };
        let mut trickle = Trickle(&gz, false);
        let mut last = 0;
        let mut on_consumed = |total| last = total;
        let mut source = Compressed::new(&mut trickle, None, &mut on_consumed);
        let (mut sender, mut chunks) = crate::chunks::channel(100);
        decode(&mut source, &mut sender).unwrap();
        assert_eq!(chunks.fill().unwrap(), b"hello");
        let (digest, size) = source.finish().unwrap();
        assert_eq!(digest, crate::blob::digest_of(&gz));
        assert_eq!((size, last), (gz.len() as u64, gz.len() as u64));
    }

    #[test]
    fn the_failure_of_the_source_is_not_lost_in_the_decoder() {
        let mut trickle = Trickle(&b"\x1f\x8b\x08\0\0\0\0\0"[..], true);
        let mut ignore = |_| {};
        let mut source = Compressed::new(&mut trickle, None, &mut ignore);
        let (mut sender, _chunks) = crate::chunks::channel(100);
        let error = decode(&mut source, &mut sender).unwrap_err();
        assert!(
            matches!(&error, StoreError::Source(inner) if inner.kind() == ErrorKind::ConnectionReset),
            "{error:?}"
        );
    }

    #[test]
    fn longer_than_expected_fails_early() {
        let data = vec![0; 10 * BUFFER];
        let mut reader = &data[..];
        let mut ignore = |_| {};
        let mut source = Compressed::new(&mut reader, Some(BUFFER as u64), &mut ignore);
        let (mut sender, _chunks) = crate::chunks::channel(u64::MAX);
        let error = decode(&mut source, &mut sender).unwrap_err();
        assert!(
            matches!(error, StoreError::SizeMismatch { .. }),
            "{error:?}"
        );
        assert!(reader.len() > 7 * BUFFER);
    }
}
