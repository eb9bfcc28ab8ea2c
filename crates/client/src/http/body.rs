//! The body of an answer, as a reader.

use std::io::{self, Read};
use std::sync::Arc;

use super::{Connection, Pool};
use crate::{Error, Result};

/// Longest line between chunks, in bytes: a length with its extensions.
const CHUNK_LINE_MAX: usize = 4 << 10;

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes.
    Known(u64),
    /// It is in chunks.
    Chunked,
    /// With the connection.
    UntilClose,
}

#[derive(Debug)]
enum State {
    /// So many bytes are to come: of the body, or of the current chunk.
    Bytes(u64),
    /// The length of a chunk comes next.
    ChunkSize,
    /// CRLF after a chunk, then a length.
    ChunkEnd,
    UntilClose,
    Done,
}

/// Reads the body of an answer. Its connection is used again when it has been read to its end.
#[derive(Debug)]
pub struct Body {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    chunked: bool,
    keep_alive: bool,
    state: State,
}

impl Body {
    pub(super) fn new(
        pool: Arc<Pool>,
        connection: Connection,
        length: Length,
        keep_alive: bool,
    ) -> Self {
        let state = match length {
            Length::Known(bytes) => State::Bytes(bytes),
            Length::Chunked => State::ChunkSize,
            Length::UntilClose => State::UntilClose,
        };
        let mut body = Self {
            pool,
            connection: Some(connection),
            chunked: length == Length::Chunked,
            keep_alive,
            state,
        };
        if length == Length::Known(0) {
            body.finish();
        }
        body
    }

    /// The whole body; an error when it is longer than `limit` bytes.
    pub(crate) fn into_bytes(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self).take(limit + 1).read_to_end(&mut bytes);
        read.map_err(Error::io("read from the daemon"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::protocol(
                "the daemon",
                format!("the answer is longer than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }

    fn finish(&mut self) {
        self.state = State::Done;
        if let Some(connection) = self.connection.take()
            && self.keep_alive
        {
            self.pool.give_back(connection);
        }
    }

    fn raw(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else {
            return Ok(0);
        };
        if connection.ahead.is_empty() {
            return connection.stream.read(buffer);
        }
        let count = buffer.len().min(connection.ahead.len());
        buffer[..count].copy_from_slice(&connection.ahead[..count]);
        connection.ahead.drain(..count);
        Ok(count)
    }

    /// A line up to CRLF, without it.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Err(cut_short());
            };
            if let Some(end) = connection.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let mut line: Vec<u8> = connection.ahead.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if connection.ahead.len() > CHUNK_LINE_MAX {
                return Err(malformed("a chunk's length is too long"));
            }
            let mut chunk = [0; 8 << 10];
            match connection.stream.read(&mut chunk) {
                Ok(0) => return Err(cut_short()),
                Ok(count) => connection.ahead.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let digits = line
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let size = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| malformed("unreadable length of a chunk"))?;
        if size > 0 {
            self.state = State::Bytes(size);
            return Ok(());
        }
        while !self.line()?.is_empty() {} // trailer fields
        self.finish();
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Done => return Ok(0),
                State::UntilClose => {
                    let count = self.raw(buffer)?;
                    if count == 0 {
                        self.finish();
                    }
                    return Ok(count);
                }
                State::ChunkSize => self.next_chunk()?,
                State::ChunkEnd => {
                    if !self.line()?.is_empty() {
                        return Err(malformed("a chunk is longer than its length"));
                    }
                    self.state = State::ChunkSize;
                }
                State::Bytes(left) => {
                    let wanted = buffer
                        .len()
                        .min(usize::try_from(left).unwrap_or(usize::MAX));
                    let count = self.raw(&mut buffer[..wanted])?;
                    if count == 0 {
                        return Err(cut_short());
                    }
                    let left = left - count as u64;
                    self.state = State::Bytes(left);
                    if left == 0 {
                        if self.chunked {
                            self.state = State::ChunkEnd;
                        } else {
                            self.finish();
                        }
                    }
                    return Ok(count);
                }
            }
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection ended within the answer",
    )
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
