//! The uncompressed stream on its way from the decoding to the unpacking thread: a few large buffers that go around.

use std::io::{ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel as unbounded, sync_channel};

use sha2::{Digest as _, Sha256};
use shedbox_spec::Digest;

use crate::record::Recorder;
use crate::{Result, StoreError};

/// Bytes of one buffer: large enough that handing over costs nothing, small enough to stay in a processor's cache.
const CHUNK: usize = 256 << 10;
/// Buffers on their way: what one layer may take of memory is about `CHUNK * (QUEUE + 2)`.
const QUEUE: usize = 8;

enum Message {
    Data(Vec<u8>),
    End,
}

/// The decoding side.
pub(crate) struct ChunkSender {
    full: SyncSender<Message>,
    empty: Receiver<Vec<u8>>,
    left: u64,
    limit: u64,
}

/// The unpacking side: reads, and hashes everything that goes by.
pub(crate) struct Chunks {
    full: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    hash: Sha256,
    ended: bool,
    /// Hears of everything that is consumed.
    recorder: Option<Recorder>,
}

/// A stream of at most `limit` bytes.
pub(crate) fn channel(limit: u64) -> (ChunkSender, Chunks) {
    let (full_sender, full) = sync_channel(QUEUE);
    let (empty, empty_receiver) = unbounded();
    (
        ChunkSender {
            full: full_sender,
            empty: empty_receiver,
            left: limit,
            limit,
        },
        Chunks {
            full,
            empty,
            current: Vec::new(),
            position: 0,
            hash: Sha256::new(),
            ended: false,
            recorder: None,
        },
    )
}

impl ChunkSender {
    /// Sends everything that `reader` gives, then the end mark. `broken` makes an error of what the reader reports.
    pub(crate) fn send_all(
        &mut self,
        reader: &mut dyn Read,
        broken: &dyn Fn(std::io::Error) -> StoreError,
    ) -> Result<()> {
        loop {
            let mut chunk = self.empty.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
            chunk.resize(CHUNK, 0);
            let mut length = 0;
            while length < CHUNK {
                match reader.read(&mut chunk[length..]) {
                    Ok(0) => break,
                    Ok(read) => length += read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(broken(error)),
                }
            }
            let message = if length == 0 {
                Message::End
            } else {
                self.left = self
                    .left
                    .checked_sub(length as u64)
                    .ok_or(StoreError::Limit {
                        what: "bytes of uncompressed data",
                        limit: self.limit,
                        setting: "max_layer_bytes",
                    })?;
                chunk.truncate(length);
                Message::Data(chunk)
            };
            // The other side hangs up only when it has failed.
            self.full.send(message).map_err(|_| StoreError::Aborted)?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}

impl Chunks {
    /// What has arrived and was not consumed; empty at the end of the stream only.
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        while self.position == self.current.len() && !self.ended {
            match self.full.recv() {
                Ok(Message::Data(chunk)) => {
                    self.hash.update(&chunk);
                    let used = std::mem::replace(&mut self.current, chunk);
                    self.position = 0;
                    // Once the other side has sent everything it takes no buffers back.
                    let _ = self.empty.send(used);
                }
                Ok(Message::End) => self.ended = true,
                Err(_) => return Err(StoreError::Aborted),
            }
        }
        Ok(&self.current[self.position..])
    }

    /// Has everything recorded from here on.
    pub(crate) fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// The record so far, to which the stream adds what it does not [pass on](Self::pass_on).
    pub(crate) fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Ends the record.
    pub(crate) fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    /// Marks bytes of the last [`fill`](Self::fill) as used.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let start = self.position;
        self.pass_on(bytes);
        if let Some(recorder) = &mut self.recorder {
            recorder.stream(&self.current[start..self.position]);
        }
    }

    /// The same for bytes that became the content of a file, to which the record refers.
    pub(crate) fn pass_on(&mut self, bytes: usize) {
        self.position = (self.position + bytes).min(self.current.len());
    }

    /// Fills `buffer`; gives how much of it the stream still had.
    pub(crate) fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let available = self.fill()?;
            if available.is_empty() {
                break;
            }
            let length = available.len().min(buffer.len() - done);
            buffer[done..done + length].copy_from_slice(&available[..length]);
            self.consume(length);
            done += length;
        }
        Ok(done)
    }

    /// Passes over `bytes`; an earlier end of the stream is an error.
    pub(crate) fn skip(&mut self, bytes: u64) -> Result<()> {
        if self.skip_at_most(bytes)? < bytes {
            return Err(StoreError::Tar(
                "it ends in the middle of an entry".to_owned(),
            ));
        }
        Ok(())
    }

    /// Passes over `bytes`, or what is left when that is less. How many there were.
    pub(crate) fn skip_at_most(&mut self, bytes: u64) -> Result<u64> {
        let mut left = bytes;
        while left > 0 {
            let available = self.fill()?.len();
            if available == 0 {
                break;
            }
            let step = left.min(available as u64);
            self.consume(step as usize);
            left -= step;
        }
        Ok(bytes - left)
    }

    /// Reads to the end and gives the digest of the whole stream.
    pub(crate) fn finish(&mut self) -> Result<Digest> {
        loop {
            let length = self.fill()?.len();
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        let hash = std::mem::take(&mut self.hash);
        Ok(Digest::from_bytes(&hash.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::digest_of;

    fn broken(error: std::io::Error) -> StoreError {
        StoreError::Source(error)
    }

    #[test]
    fn everything_arrives_in_order() {
        let data: Vec<u8> = (0..3 * CHUNK + 17)
            .map(|index| (index % 251) as u8)
            .collect();
        let (mut sender, mut chunks) = channel(u64::MAX);
        let sent = data.clone();
        let thread = std::thread::spawn(move || {
            sender.send_all(&mut &sent[..], &broken).unwrap();
        });
        let mut head = vec![0; 700_000];
        assert_eq!(chunks.read_full(&mut head).unwrap(), head.len());
        assert_eq!(head, data[..head.len()]);
        chunks.skip(1000).unwrap();
        assert_eq!(chunks.fill().unwrap()[0], data[head.len() + 1000]);
        assert_eq!(chunks.finish().unwrap(), digest_of(&data));
        thread.join().unwrap();
    }

    #[test]
    fn the_limit_holds() {
        let data = vec![0; CHUNK + 1];
        let (mut sender, chunks) = channel(CHUNK as u64);
        let error = sender.send_all(&mut &data[..], &broken).unwrap_err();
        assert!(matches!(error, StoreError::Limit { .. }), "{error:?}");
        drop(chunks);
    }

    #[test]
    fn hanging_up_is_not_the_end() {
        let (sender, mut chunks) = channel(1);
        drop(sender);
        assert!(matches!(chunks.fill(), Err(StoreError::Aborted)));
        let (mut sender, chunks) = channel(1 << 40);
        drop(chunks);
        let error = sender.send_all(&mut std::io::repeat(1), &broken);
        assert!(matches!(error, Err(StoreError::Aborted)));
    }
}
