//! A WebSocket in front of a stream of bytes: what hijacked connections do, for clients that can only do this.
//!
//! The bytes go through a pair of sockets, on whose inner end the pump works as on any connection. Messages are their
//! payloads, wherever they begin and end. Sources: RFC 6455; moby, `wsContainersAttach`, and golang.org/x/net/websocket.
//!
//! - A client that closes its own direction has no more input and is still told the output. RFC 6455 has no word for that.
//! - A Close message is the end of both: it is answered at once, and what comes of the process then is thrown away.
//! - The end of the output is a Close message with 1000.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use shedbox_spec::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as Failure};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use crate::hijack::{Taken, Wire};

/// Largest message of a client, in bytes: each is held as a whole.
const MESSAGE_MAX: usize = 16 << 20;
/// Bytes of output in one message, at most.
const CHUNK: usize = 32 << 10;
/// How long a client may take to answer the end.
const LINGER: Duration = Duration::from_secs(1);

/// What the messages of output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes.
    Binary,
    /// What they were before API 1.28, whatever is in them.
    Text,
}

/// The answer to a client's key, when a request is the beginning of a WebSocket.
///
/// Pages that a browser has loaded from elsewhere may open WebSockets to a loopback address, as no rule of the browser's
/// keeps them from it. They say where they come from, and have to come from here.
pub(super) fn accept(headers: &HeaderMap) -> Result<HeaderValue> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let has = |name: HeaderName, word: &str| {
        text(name).is_some_and(|list| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(word))
        })
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(Error::invalid("not websocket protocol"));
    }
    if text(SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Error::invalid("missing or bad WebSocket Version"));
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let from = origin.split_once("://").map(|(_, authority)| authority);
        if from.is_none() || from != text(HOST) {
            return Err(Error::new(
                shedbox_spec::Kind::Denied,
                format!("a WebSocket for a page of `{origin}` is refused"),
            ));
        }
    }
    let challenge = || Error::invalid("mismatch challenge/response");
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(challenge)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| challenge())
}

/// The inner end, to be worked on as a connection of its own, and the outer one for [`carry`].
pub(super) fn inside() -> io::Result<(Taken, UnixStream)> {
    let (inner, outer) = UnixStream::pair()?;
    let taken = Taken {
        wire: Box::new(inner),
        early: Bytes::new(),
    };
    Ok((taken, outer))
}

/// A client's connection whose end is told once and is none for who reads: the other direction goes on.
struct HalfOpen {
    wire: Box<dyn Wire>,
    ended: Arc<Notify>,
}

impl AsyncRead for HalfOpen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.wire).poll_read(context, buffer);
        match outcome {
            Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                self.ended.notify_one();
                // Nobody will wake the reader; who waits for `ended` drops it.
                Poll::Pending
            }
            other => other,
        }
    }
}

impl AsyncWrite for HalfOpen {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

/// How the client's direction ended.
enum Ended {
    /// Its connection is closed in this direction.
    Half,
    /// It has said so, or it has gone.
    Closed,
    /// It breaks the rules; what it is told.
    Wrong(CloseFrame),
}

/// Carries bytes between a client and `inner` until one of them has had enough.
pub(super) async fn carry(taken: Taken, inner: UnixStream, kind: Kind) {
    let ended = Arc::new(Notify::new());
    let wire = HalfOpen {
        wire: taken.wire,
        ended: Arc::clone(&ended),
    };
    let rules = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let socket =
        WebSocketStream::from_partially_read(wire, taken.early.to_vec(), Role::Server, Some(rules))
            .await;
    let (mut messages, mut incoming) = socket.split();
    // The process has no client any more when this is over; the farewell may take its time.
    let (farewell, half) = exchange(&mut messages, &mut incoming, &ended, inner, kind).await;
    let (Some(frame), Ok(mut socket)) = (farewell, incoming.reunite(messages)) else {
        return;
    };
    if socket.close(Some(frame)).await.is_err() || half {
        return;
    }
    // A connection that is closed with something unread in it takes back what was sent.
    let rest = async {
        let mut sink = [0; 4096];
        let wire = &mut socket.get_mut().wire;
        drop(wire.shutdown().await);
        while let Ok(1..) = wire.read(&mut sink).await {}
    };
    drop(tokio::time::timeout(LINGER, rest).await);
}

type Socket = WebSocketStream<HalfOpen>;

/// Moves bytes in both directions; gives what the client is to be told at the end, and whether its direction is closed.
async fn exchange(
    messages: &mut SplitSink<Socket, Message>,
    incoming: &mut SplitStream<Socket>,
    ended: &Notify,
    inner: UnixStream,
    kind: Kind,
) -> (Option<CloseFrame>, bool) {
    let (mut output, mut input) = inner.into_split();
    let arriving = async {
        loop {
            let message = tokio::select! {
                biased;
                message = incoming.next() => message,
                () = ended.notified() => break Ended::Half,
            };
            let bytes = match message {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => Bytes::from(text),
                // Pings are answered by the next look at the socket; a Close likewise, and an error follows it.
                Some(Ok(_)) => continue,
                Some(Err(failure)) => break verdict(&failure),
                None => break Ended::Closed,
            };
            // A process that has no input, or has closed it: the rest is thrown away.
            let _ = input.write_all(&bytes).await;
        }
    };
    let leaving = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            match output.read_buf(&mut buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break true,
            }
            let bytes = buffer.split().freeze();
            let message = match kind {
                Kind::Binary => Message::Binary(bytes),
                Kind::Text => Message::Frame(Frame::message(bytes, OpCode::Data(Data::Text), true)),
            };
            if messages.send(message).await.is_err() {
                break false;
            }
        }
    };
    let mut leaving = std::pin::pin!(leaving);
    let (farewell, half) = tokio::select! {
        told = leaving.as_mut() => (told.then(|| close(CloseCode::Normal, "")), false),
        ended = arriving => match ended {
            Ended::Half => {
                drop(input.shutdown().await);
                (leaving.await.then(|| close(CloseCode::Normal, "")), true)
            }
            Ended::Closed => (None, false),
            Ended::Wrong(frame) => (Some(frame), false),
        },
    };
    (farewell, half)
}

fn close(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code,
        reason: reason.into(),
    }
}

fn verdict(failure: &Failure) -> Ended {
    match failure {
        Failure::Capacity(CapacityError::MessageTooLong { .. }) => {
            Ended::Wrong(close(CloseCode::Size, "the message is too long"))
        }
        Failure::Protocol(_) => Ended::Wrong(close(CloseCode::Protocol, "")),
        Failure::Utf8(_) => Ended::Wrong(close(CloseCode::Invalid, "a text is not UTF-8")),
        _ => Ended::Closed,
    }
}
