//! A TCP listener that can be closed at any moment, also while a task waits at it.

use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// Wait before the next attempt when there are no descriptors or no memory for a connection: it stays in the backlog.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listener that is closed by [`Acceptor::close`], and not by the end of a task at some later time.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: Mutex<Option<TcpListener>>,
}

impl Acceptor {
    /// Makes one.
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self {
            listener: Mutex::new(Some(listener)),
        }
    }

    /// Closes the listener: when this returns, the port is free. Who waits for connections is not woken.
    pub(crate) fn close(&self) {
        self.listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// The next connection; `None` once it has been closed.
    pub(crate) async fn next(&self) -> Option<TcpStream> {
        loop {
            let accepted = poll_fn(|context| {
                let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
                match listener.as_ref() {
                    None => Poll::Ready(None),
                    Some(listener) => listener.poll_accept(context).map(Some),
                }
            })
            .await?;
            match accepted {
                Ok((stream, _)) => return Some(stream),
                Err(error) if is_exhausted(&error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(EXHAUSTED).await;
                }
                // The connection has failed before it was taken: accept(2).
                Err(error) => tracing::debug!(%error, "a connection ended before it was accepted"),
            }
            tokio::task::coop::consume_budget().await;
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    use shedbox_linux::errno::Errno;
    error.raw_os_error().is_some_and(|code| {
        matches!(
            Errno::from_raw(code),
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM
        )
    })
}
