//! A published TCP port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::TargetAddresses;
use crate::acceptor::Acceptor;
use crate::connections::{Connections, Entry};

/// How long a connection to a sandbox may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener whose connections are carried to the sandbox.
#[derive(Debug)]
pub(super) struct Forward {
    acceptor: Arc<Acceptor>,
    task: AbortHandle,
}

impl Forward {
    /// Begins to accept. In the context of a runtime.
    pub(super) fn start(
        listener: std::net::TcpListener,
        target: TargetAddresses,
        port: u16,
        connections: Arc<Connections>,
    ) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let acceptor = Arc::new(Acceptor::new(listener));
        let task = tokio::spawn({
            let acceptor = Arc::clone(&acceptor);
            async move {
                while let Some(client) = acceptor.next().await {
                    if let Some(entry) = connections.enter(client) {
                        tokio::spawn(carry(entry, target, port));
                    }
                }
            }
        })
        .abort_handle();
        Ok(Self { acceptor, task })
    }

    /// Frees the port.
    pub(super) fn close(&self) {
        self.acceptor.close();
        self.task.abort();
    }
}

async fn carry(entry: Entry, target: TargetAddresses, port: u16) {
    for address in target.in_order() {
        let address = SocketAddr::new(address, port);
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(server)) => return entry.carry(server).await,
            Ok(Err(error)) => tracing::debug!(%error, %address, "the sandbox does not answer"),
            Err(_) => tracing::debug!(%address, "the sandbox does not answer in time"),
        }
    }
    entry.refuse();
}
