//! From an async download to a blocking reader, with a bound on the bytes between them.
//!
//! The bound is what keeps a pull's memory constant: a download that is faster than its extraction waits, and with it,
//! through TCP, the registry.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that may wait between download and extraction of one layer.
const CAPACITY: usize = 4 << 20;

enum Message {
    /// Holding the permit is what bounds the channel; it goes back when the bytes have been read.
    Data(Bytes, OwnedSemaphorePermit),
    End,
}

/// The download's end. Dropping it without [`Sender::finish`] makes the reader fail: an aborted download must never
/// look like a complete one.
pub(crate) struct Sender {
    messages: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
}

/// The extraction's end. To be read outside of the runtime's own threads.
pub(crate) struct Reader {
    messages: mpsc::UnboundedReceiver<Message>,
    current: Option<(Bytes, OwnedSemaphorePermit)>,
    ended: bool,
}

/// A connected pair.
pub(crate) fn channel() -> (Sender, Reader) {
    let (messages, receiver) = mpsc::unbounded_channel();
    (
        Sender {
            messages,
            room: Arc::new(Semaphore::new(CAPACITY)),
        },
        Reader {
            messages: receiver,
            current: None,
            ended: false,
        },
    )
}

impl Sender {
    /// Hands bytes over, waiting for room. `false` when the reader is gone.
    pub(crate) async fn send(&self, bytes: Bytes) -> bool {
        let permits = bytes.len().min(CAPACITY) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(permits);
        tokio::select! {
            biased;
            () = self.messages.closed() => false,
            permit = room => match permit {
                Ok(permit) => self.messages.send(Message::Data(bytes, permit)).is_ok(),
                // The semaphore is never closed.
                Err(_) => false,
            },
        }
    }

    /// Everything has been sent.
    pub(crate) fn finish(self) {
        // A reader that is gone has its own reason, which its thread reports.
        let _ = self.messages.send(Message::End);
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.current.is_none() && !self.ended {
            match self.messages.blocking_recv() {
                Some(Message::Data(bytes, permit)) if bytes.has_remaining() => {
                    self.current = Some((bytes, permit));
                }
                Some(Message::Data(..)) => {}
                Some(Message::End) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the download was given up",
                    ));
                }
            }
        }
        let Some((bytes, _)) = &mut self.current else {
            return Ok(0);
        };
        let count = bytes.len().min(buffer.len());
        bytes.copy_to_slice(&mut buffer[..count]);
        if !bytes.has_remaining() {
            self.current = None;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn everything_arrives_in_order() {
        let (sender, mut reader) = channel();
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let wanted: Vec<u8> = (0..3 * CAPACITY).map(|at| (at / 7) as u8).collect();
        runtime().block_on(async {
            for chunk in wanted.chunks(300_001) {
                assert!(sender.send(Bytes::copy_from_slice(chunk)).await);
            }
            assert!(sender.send(Bytes::from(vec![7; 2 * CAPACITY])).await);
            sender.finish();
        });
        let all = thread.join().unwrap();
        assert!(all[..wanted.len()] == wanted && all.len() == wanted.len() + 2 * CAPACITY);
    }

    #[test]
    fn a_dropped_sender_is_an_error() {
        let (sender, mut reader) = channel();
        runtime().block_on(async {
            assert!(sender.send(Bytes::from_static(b"half")).await);
        });
        drop(sender);
        let mut all = Vec::new();
        let error = reader.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(all, b"half");
    }

    #[test]
    fn a_slow_reader_holds_the_sender_back_and_a_dropped_one_frees_it() {
        let (sender, reader) = channel();
        runtime().block_on(async {
            assert!(sender.send(Bytes::from(vec![0; CAPACITY])).await);
            let full = sender.send(Bytes::from_static(b"x"));
            tokio::time::timeout(Duration::from_millis(20), full)
                .await
                .expect_err("there is no room");
            let waiting = sender.send(Bytes::from_static(b"x"));
            let (sent, ()) = tokio::join!(waiting, async { drop(reader) });
            assert!(!sent);
        });
    }
}
