//! Connections that stop to speak HTTP: after its head, an answer of the Docker API to `attach` and `exec start` is a
//! stream of bytes in both directions.
//!
//! Clients that ask for an upgrade get `101 UPGRADED`; the others get `200 OK` without length and chunks, which HTTP/1.0
//! has for an answer that ends with its connection. Bytes that came behind the request belong to the stream. Sources:
//! RFC 9110 section 7.8, Docker Engine API, "Hijacking".

use std::future::{Future, poll_fn};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::{HeaderMap, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest};

use crate::answer::{self, Answer};

/// A connection's bytes.
pub(crate) trait Wire: AsyncRead + AsyncWrite + AsFd + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + AsFd + Send + Unpin> Wire for T {}

/// The connection, and what the client has sent behind its request.
pub(crate) struct Taken {
    pub(crate) wire: Box<dyn Wire>,
    pub(crate) early: Bytes,
}

/// Longest wait for a client to read the head of an answer.
const HEAD_IS_READ: Duration = Duration::from_secs(1);
/// How often it is looked.
const LOOK: Duration = Duration::from_micros(50);

/// Waits until the client has read the head of the answer. Python's client reads it through a buffer and the stream behind
/// it from the socket itself: what came with the head would be lost. dockerd is never so fast.
#[derive(Debug)]
pub(crate) struct Gate(OwnedFd);

impl Gate {
    /// For a connection that was just taken over.
    pub(crate) fn of(taken: &Taken) -> Option<Self> {
        taken.wire.as_fd().try_clone_to_owned().ok().map(Self)
    }

    /// See the type.
    pub(crate) async fn pass(self) {
        let wait = move || {
            let began = Instant::now();
            while shedbox_linux::net::unsent(&self.0).is_ok_and(|bytes| bytes > 0)
                && began.elapsed() < HEAD_IS_READ
            {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the kernel tells nobody that the other side has read"
                )]
                std::thread::sleep(LOOK);
            }
        };
        // A wait that was cancelled with the runtime has nobody to be right for.
        let _ = tokio::task::spawn_blocking(wait).await;
    }
}

type Takeover = Box<dyn FnOnce(Taken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Where a handler leaves what is to become of its connection.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Takeover>>>);

impl Slot {
    /// Has `takeover` run with the connection when the answer, which this gives, has gone out.
    pub(crate) fn take_over<F, T>(
        &self,
        headers: &HeaderMap,
        content_type: &'static str,
        takeover: F,
    ) -> Answer
    where
        F: FnOnce(Taken) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let upgrade = headers
            .get(UPGRADE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Box::new(|taken| Box::pin(takeover(taken))));
        let mut answer: Answer = Response::new(answer::nothing());
        let fields = answer.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        match upgrade.map(|protocol| HeaderValue::from_str(&protocol)) {
            Some(Ok(protocol)) => {
                fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                fields.insert(UPGRADE, protocol);
                *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            _ => {
                // Of a length that nobody knows, so that none is sent.
                *answer.body_mut() = BodyExt::boxed(crate::stream::channel().1);
                *answer.version_mut() = Version::HTTP_10;
            }
        }
        answer
    }

    fn take(&self) -> Option<Takeover> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A request that takes so long may be one that its client gives up. Most are over before.
const PATIENCE: Duration = Duration::from_millis(50);

/// Resolves when the other side has closed the connection, not only its own direction. A TCP connection tells of the latter
/// alone until something is written to it.
#[expect(
    deprecated,
    reason = "its successor is unsafe; what that one asks for holds here: the descriptor is owned and stays the same one"
)]
///
/// `connection` is a descriptor of its own, because epoll takes each but once; without one, nothing is ever seen.
pub(crate) async fn hung_up(connection: Option<OwnedFd>) {
    let Some(connection) = connection else {
        return std::future::pending().await;
    };
    // Nothing that a stream has is asked for, so what wakes is what epoll tells unasked: EPOLLHUP. Source: epoll_ctl(2).
    let outcome = match AsyncFd::with_interest(connection, Interest::PRIORITY) {
        Ok(watched) => watched.ready(Interest::PRIORITY).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot watch a connection");
        std::future::pending::<()>().await;
    }
}

/// Serves a connection to its end, whoever speaks on it. `leaving` resolves when no further request is to be begun.
pub(crate) async fn serve<S, B>(
    wire: Box<dyn Wire>,
    slot: Slot,
    service: S,
    leaving: impl Future<Output = ()>,
) -> hyper::Result<()>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Half of a connection may be closed, see above, so hyper does not look whether all of it is.
    let twin = wire.as_fd().try_clone_to_owned().ok();
    let mut gone = Box::pin(async {
        tokio::time::sleep(PATIENCE).await;
        hung_up(twin).await;
    });
    let mut connection = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(wire), service);
    let mut leaving = std::pin::pin!(leaving);
    let mut told = false;
    loop {
        tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => {
                ended?;
                break;
            }
            // Whatever is under way for it is dropped with the connection.
            () = gone.as_mut() => return Ok(()),
            () = leaving.as_mut(), if !told => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    drop(gone);
    let parts = connection.into_parts();
    let mut wire = parts.io.into_inner();
    match slot.take() {
        Some(takeover) => {
            takeover(Taken {
                wire,
                early: parts.read_buf,
            })
            .await;
        }
        // A client that has gone already has nothing to be told.
        None => drop(tokio::io::AsyncWriteExt::shutdown(&mut wire).await),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn half_of_a_connection_is_no_end_of_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let twin = OwnedFd::from(ours.try_clone().unwrap());
        runtime.block_on(async move {
            let mut gone = std::pin::pin!(hung_up(Some(twin)));
            theirs.write_all(b"x").unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let early = tokio::time::timeout(Duration::from_millis(50), gone.as_mut()).await;
            assert!(early.is_err(), "the other half is open");
            ours.read_exact(&mut [0]).unwrap();
            drop(theirs);
            tokio::time::timeout(Duration::from_secs(10), gone)
                .await
                .unwrap();
        });
    }
}
