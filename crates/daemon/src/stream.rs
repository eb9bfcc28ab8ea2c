//! Bodies that flow: between hyper, which is asynchronous, and code that blocks.
//!
//! Channels are bounded, so a slow reader slows the writer down and memory stays constant.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use serde::Serialize;
use tokio::sync::mpsc;

/// Chunks on their way at once.
const DEPTH: usize = 8;
/// Bytes gathered before a chunk is sent.
const CHUNK: usize = 256 << 10;

/// An answer's body that is fed through a channel. An error ends the connection, so that the client does not take what
/// it has for the whole.
#[derive(Debug)]
pub(crate) struct ChannelBody(mpsc::Receiver<io::Result<Bytes>>);

/// The other end of it.
#[derive(Debug, Clone)]
pub(crate) struct Feed(mpsc::Sender<io::Result<Bytes>>);

/// A body and what feeds it.
pub(crate) fn channel() -> (Feed, ChannelBody) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (Feed(sender), ChannelBody(receiver))
}

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|next| next.map(|chunk| chunk.map(Frame::data)))
    }
}

impl Feed {
    /// Sends a chunk; waits while the client is slow. False when it has gone. Blocks: not for the runtime's threads.
    pub(crate) fn send(&self, chunk: impl Into<Bytes>) -> bool {
        self.0.blocking_send(Ok(chunk.into())).is_ok()
    }

    /// The same where nothing may block.
    pub(crate) async fn pass(&self, chunk: impl Into<Bytes>) -> bool {
        self.0.send(Ok(chunk.into())).await.is_ok()
    }

    /// Ends the body in the middle.
    pub(crate) fn fail(&self, error: io::Error) {
        // A client that has gone needs no end.
        let _ = self.0.blocking_send(Err(error));
    }

    /// Sends a value as a line and waits for room.
    pub(crate) async fn line(&self, value: &impl Serialize) {
        if let Some(text) = line(value) {
            let _ = self.0.send(Ok(text)).await; // a client that has gone reads no lines
        }
    }

    /// Whether the client has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the client has gone.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

fn line(value: &impl Serialize) -> Option<Bytes> {
    let mut text = serde_json::to_vec(value).ok()?;
    text.push(b'\n');
    Some(text.into())
}

/// Writes chunks into a body, for code that wants a [`Write`].
#[derive(Debug)]
pub(crate) struct FeedWriter {
    feed: Feed,
    buffer: Vec<u8>,
}

impl FeedWriter {
    pub(crate) fn new(feed: Feed) -> Self {
        Self {
            feed,
            buffer: Vec::with_capacity(CHUNK),
        }
    }
}

impl Write for FeedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        if chunk.is_empty() || self.feed.send(chunk) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}

/// A body that code which blocks writes: an archive. `what` names it for the log, where an error goes that the client, in the
/// middle of the body, cannot be told.
pub(crate) fn written<W>(what: &'static str, write: W) -> ChannelBody
where
    W: FnOnce(&mut FeedWriter) -> shedbox_spec::Result<()> + Send + 'static,
{
    let (feed, body) = channel();
    tokio::task::spawn_blocking(move || {
        let mut writer = FeedWriter::new(feed.clone());
        let outcome = write(&mut writer).and_then(|()| {
            writer
                .flush()
                .map_err(|error| shedbox_spec::Error::internal(error.to_string()))
        });
        if let Err(error) = outcome
            && !feed.is_closed()
        {
            tracing::error!(
                hint = error.hint.as_deref(),
                "cannot send {what}: {}",
                error.message
            );
            feed.fail(io::Error::other(error.message));
        }
    });
    body
}

/// The body of a request. What nobody has read when it is dropped is read then: a client that sends first and listens
/// then would lose the answer with its connection.
#[derive(Debug)]
pub(crate) struct Arriving(Option<Incoming>);

impl Arriving {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        // Outside of a runtime nobody waits for an answer any more.
        if let (Some(mut body), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        }
    }
}

/// Reads the body of a request, for code that wants a [`Read`].
#[derive(Debug)]
pub(crate) struct BodyReader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl BodyReader {
    /// Reads `body` on the runtime; the reader itself blocks.
    pub(crate) fn new(
        mut body: impl Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(DEPTH);
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let chunk = match frame {
                    Ok(frame) => frame.into_data().ok().map(Ok),
                    Err(error) => Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))),
                };
                // A reader that has gone does not want the rest; it is taken all the same, so that a client that sends
                // first and listens then hears why.
                if let Some(chunk) = chunk {
                    let failed = chunk.is_err();
                    let _ = sender.send(chunk).await;
                    if failed {
                        return;
                    }
                }
            }
        });
        Self {
            chunks,
            current: Bytes::new(),
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_arrives_in_order_and_a_gone_reader_stops_the_writer() {
        let (feed, mut body) = channel();
        let writer = std::thread::spawn(move || {
            let mut writer = FeedWriter::new(feed);
            for number in 0..100_000u32 {
                writer.write_all(&number.to_le_bytes())?;
            }
            writer.flush()
        });
        let mut all = Vec::new();
        while let Some(chunk) = body.0.blocking_recv() {
            all.extend_from_slice(&chunk.unwrap());
        }
        writer.join().unwrap().unwrap();
        assert_eq!(all.len(), 400_000);
        assert_eq!(all[399_996..], 99_999u32.to_le_bytes());

        let (feed, body) = channel();
        drop(body);
        let mut writer = FeedWriter::new(feed);
        writer.write_all(b"x").unwrap();
        assert_eq!(
            writer.flush().unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
