//! HTTP/1.1 on a unix socket: one request, one answer, kept-alive connections. Blocking, no runtime.
//!
//! The peer is our own daemon; what it sends is bounded and checked all the same. Source: RFC 9112.

mod body;
mod target;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use shedbox_linux::pidfd;
use shedbox_spec::Kind;

pub use body::Body;
pub use target::Target;

use crate::{Error, Result};

/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 64 << 10;
/// Most header fields of an answer.
const FIELDS_MAX: usize = 64;
/// Longest body that is held in memory: error texts and listings.
const MEMORY_MAX: u64 = 256 << 20;

/// How the body of a request is sent.
pub enum Payload<'a> {
    /// None.
    Empty,
    /// A JSON value, whole.
    Json(Vec<u8>),
    /// A stream of unknown length, chunked.
    Stream(&'a mut dyn Read),
}

/// A connection with what has been read ahead of it.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    /// Bytes that were read and not consumed.
    ahead: Vec<u8>,
}

/// Opens new connections.
type Dial = Box<dyn Fn() -> Result<UnixStream> + Send + Sync>;

/// Connections to one daemon: at most one waits for the next request.
pub(crate) struct Pool {
    dial: Dial,
    idle: Mutex<Option<Connection>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Status and header fields that matter, then the body.
struct Head {
    status: u16,
    length: body::Length,
    keep_alive: bool,
}

impl Pool {
    pub(crate) fn new(dial: impl Fn() -> Result<UnixStream> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            dial: Box::new(dial),
            idle: Mutex::new(None),
        })
    }

    /// An idle connection that is still open, or a new one. The flag tells which.
    fn connection(&self) -> Result<(Connection, bool)> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(connection) = idle
            // Nothing may be readable between two answers: it would be the end of the connection.
            && !pidfd::readable(&connection.stream, Some(std::time::Duration::ZERO)).unwrap_or(true)
        {
            return Ok((connection, true));
        }
        Ok((
            Connection {
                stream: (self.dial)()?,
                ahead: Vec::new(),
            },
            false,
        ))
    }

    fn give_back(&self, connection: Connection) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    /// Sends a request and reads the head of the answer; a status of 400 and above is an error.
    pub(crate) fn send(
        self: &Arc<Self>,
        method: &str,
        target: &Target,
        mut payload: Payload<'_>,
    ) -> Result<Body> {
        let mut repeated = false;
        loop {
            let (mut connection, reused) = self.connection()?;
            match exchange(&mut connection, method, target, &mut payload) {
                Ok(head) => {
                    let body =
                        Body::new(Arc::clone(self), connection, head.length, head.keep_alive);
                    return if head.status < 400 {
                        Ok(body)
                    } else {
                        Err(refusal(head.status, body))
                    };
                }
                // The daemon closed a connection it had kept: it has not seen this request.
                Err(Failure::Closed)
                    if reused && !matches!(payload, Payload::Stream(_)) && method == "GET" => {}
                // It died under a question, which changes nothing: its successor is asked, once.
                Err(Failure::Closed)
                    if !repeated && !matches!(payload, Payload::Stream(_)) && method == "GET" =>
                {
                    repeated = true;
                }
                Err(Failure::Closed) => {
                    return Err(Error::from(
                        shedbox_spec::Error::new(
                            Kind::Unavailable,
                            "the daemon closed the connection",
                        )
                        .with_hint("it may have been stopped; try again"),
                    ));
                }
                Err(Failure::Other(error)) => return Err(error),
            }
        }
    }

    /// A request whose answer is one JSON value.
    pub(crate) fn json<T: DeserializeOwned>(
        self: &Arc<Self>,
        method: &str,
        target: &Target,
        payload: Payload<'_>,
    ) -> Result<T> {
        let bytes = self.send(method, target, payload)?.into_bytes(MEMORY_MAX)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::protocol("the daemon", error.to_string()))
    }

    /// A request whose answer is empty.
    pub(crate) fn done(
        self: &Arc<Self>,
        method: &str,
        target: &Target,
        payload: Payload<'_>,
    ) -> Result<()> {
        self.send(method, target, payload)?
            .into_bytes(MEMORY_MAX)
            .map(drop)
    }
}

enum Failure {
    /// The connection ended before the first byte of an answer.
    Closed,
    Other(Error),
}

fn exchange(
    connection: &mut Connection,
    method: &str,
    target: &Target,
    payload: &mut Payload<'_>,
) -> Result<Head, Failure> {
    use std::fmt::Write as _;
    let mut head = String::with_capacity(256);
    // Writing to a String does not fail.
    let _ = write!(
        head,
        "{method} {target} HTTP/1.1\r\nhost: shedbox\r\n{}",
        target.fields()
    );
    let sent = match payload {
        Payload::Empty => {
            if method != "GET" {
                head.push_str("content-length: 0\r\n");
            }
            head.push_str("\r\n");
            connection.stream.write_all(head.as_bytes())
        }
        Payload::Json(bytes) => {
            let _ = write!(
                head,
                "content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                bytes.len()
            );
            let mut whole = head.into_bytes();
            whole.extend_from_slice(bytes);
            connection.stream.write_all(&whole)
        }
        Payload::Stream(reader) => {
            head.push_str("content-type: application/x-tar\r\ntransfer-encoding: chunked\r\n\r\n");
            match connection.stream.write_all(head.as_bytes()) {
                Ok(()) => send_chunks(&mut connection.stream, *reader)?,
                Err(error) => Err(error),
            }
        }
    };
    if let Err(error) = sent {
        // A daemon that refuses early answers and closes: its answer says more than our EPIPE.
        if error.kind() != std::io::ErrorKind::BrokenPipe
            && error.kind() != std::io::ErrorKind::ConnectionReset
        {
            return Err(Failure::Other(Error::io("write to the daemon")(error)));
        }
    }
    read_head(connection, method)
}

/// Sends what the reader has as chunks. The outer error is the reader's, the inner one the connection's.
fn send_chunks(
    stream: &mut UnixStream,
    reader: &mut dyn Read,
) -> Result<std::io::Result<()>, Failure> {
    /// Bytes reserved in front of a chunk for its length in hex and CRLF.
    const SIZE: usize = 10;
    let mut buffer = vec![0; SIZE + (256 << 10) + 2];
    loop {
        let end = buffer.len() - 2;
        let count = match reader.read(&mut buffer[SIZE..end]) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                // The daemon must not take what was sent so far for the whole.
                let _ = stream.shutdown(Shutdown::Both);
                return Err(Failure::Other(Error::io("read what is to be sent")(error)));
            }
        };
        if count == 0 {
            return Ok(stream.write_all(b"0\r\n\r\n"));
        }
        let size = format!("{count:08x}\r\n");
        buffer[..SIZE].copy_from_slice(size.as_bytes());
        buffer[SIZE + count..SIZE + count + 2].copy_from_slice(b"\r\n");
        if let Err(error) = stream.write_all(&buffer[..SIZE + count + 2]) {
            return Ok(Err(error));
        }
    }
}

fn read_head(connection: &mut Connection, method: &str) -> Result<Head, Failure> {
    loop {
        if !connection.ahead.is_empty()
            && let Some((head, used)) =
                parse_head(&connection.ahead, method).map_err(Failure::Other)?
        {
            connection.ahead.drain(..used);
            if (100..200).contains(&head.status) {
                continue;
            }
            return Ok(head);
        }
        if connection.ahead.len() > HEAD_MAX {
            return Err(Failure::Other(Error::protocol(
                "the daemon",
                "the head of the answer is too long",
            )));
        }
        let mut chunk = [0; 8 << 10];
        match connection.stream.read(&mut chunk) {
            Ok(0) if connection.ahead.is_empty() => return Err(Failure::Closed),
            Ok(0) => {
                return Err(Failure::Other(Error::protocol(
                    "the daemon",
                    "the answer ends in its head",
                )));
            }
            Ok(count) => connection.ahead.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionReset
                    && connection.ahead.is_empty() =>
            {
                return Err(Failure::Closed);
            }
            Err(error) => return Err(Failure::Other(Error::io("read from the daemon")(error))),
        }
    }
}

/// Parses the head of an answer; `None` when it is not complete. The number is its length.
fn parse_head(bytes: &[u8], method: &str) -> Result<Option<(Head, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let bad = |what: &str| Error::protocol("the daemon", what);
    let used = match answer
        .parse(bytes)
        .map_err(|error| bad(&error.to_string()))?
    {
        httparse::Status::Complete(used) => used,
        httparse::Status::Partial => return Ok(None),
    };
    let status = answer.code.ok_or_else(|| bad("no status"))?;
    let mut keep_alive = answer.version == Some(1);
    let mut length = None;
    let mut chunked = false;
    for field in answer.headers.iter() {
        let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            length = Some(
                value
                    .parse()
                    .map_err(|_| bad("unreadable content-length"))?,
            );
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(bad("unknown transfer-encoding"));
            }
            chunked = true;
        } else if field.name.eq_ignore_ascii_case("connection")
            && value.eq_ignore_ascii_case("close")
        {
            keep_alive = false;
        }
    }
    let length = if method == "HEAD" || status == 204 || status == 304 || status < 200 {
        body::Length::Known(0)
    } else if chunked {
        body::Length::Chunked
    } else if let Some(length) = length {
        body::Length::Known(length)
    } else {
        keep_alive = false;
        body::Length::UntilClose
    };
    Ok(Some((
        Head {
            status,
            length,
            keep_alive,
        },
        used,
    )))
}

/// The error of an answer that refuses.
fn refusal(status: u16, body: Body) -> Error {
    let bytes = match body.into_bytes(1 << 20) {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    if let Ok(error) = serde_json::from_slice::<shedbox_spec::Error>(&bytes) {
        return Error::Refused(error);
    }
    // The Docker API's form.
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(&bytes)
        && let Some(message) = fields.get("message").and_then(serde_json::Value::as_str)
    {
        let kind = match status {
            400 => Kind::Invalid,
            403 => Kind::Denied,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            501 => Kind::Unsupported,
            503 => Kind::Unavailable,
            _ => Kind::Internal,
        };
        return Error::Refused(shedbox_spec::Error::new(kind, message));
    }
    let text = String::from_utf8_lossy(&bytes);
    Error::protocol("the daemon", format!("status {status}: {}", text.trim()))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
