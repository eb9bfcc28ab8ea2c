//! A published UDP port: for each client a socket of its own towards the sandbox, so that answers find their way back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use shedbox_linux::udp::{self, Local, Received};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::TargetAddresses;

/// Most clients of one port; the one that has been silent for the longest makes room.
const CLIENTS_MAX: usize = 1024;
/// A client that was not answered is forgotten after so long. Source: nf_conntrack_udp_timeout, which has 30 s.
const UNANSWERED: Duration = Duration::from_mins(1);
/// And one that was. Source: nf_conntrack_udp_timeout_stream had 180 s.
const ANSWERED: Duration = Duration::from_mins(3);
/// Longest datagram.
const DATAGRAM_MAX: usize = 65_535;

thread_local! {
    /// Each thread handles one datagram at a time and never waits in between.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_MAX]);
}

/// A socket whose datagrams are carried to the sandbox.
#[derive(Debug)]
pub(super) struct Forward {
    port: Arc<Port>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Port {
    /// `None` once it has been closed.
    socket: Mutex<Option<UdpSocket>>,
    targets: Vec<SocketAddr>,
    /// Which of the targets: another one when this one refused.
    target: AtomicUsize,
    clients: Mutex<HashMap<Client, Arc<Flow>>>,
}

/// Who sent, and to which address of the host.
type Client = (SocketAddr, Option<Local>);

#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    answered: AtomicBool,
    /// Last datagram of either side.
    used: Mutex<Instant>,
    task: Mutex<Option<AbortHandle>>,
}

impl Forward {
    /// Begins to receive. In the context of a runtime.
    pub(super) fn start(
        socket: std::net::UdpSocket,
        target: TargetAddresses,
        port: u16,
    ) -> io::Result<Self> {
        let port = Arc::new(Port {
            socket: Mutex::new(Some(UdpSocket::from_std(socket)?)),
            targets: target
                .in_order()
                .map(|address| SocketAddr::new(address, port))
                .collect(),
            target: AtomicUsize::new(0),
            clients: Mutex::default(),
        });
        let task = tokio::spawn(receive(Arc::clone(&port))).abort_handle();
        Ok(Self { port, task })
    }

    /// Frees the port and forgets its clients.
    pub(super) fn close(&self) {
        lock(&self.port.socket).take();
        self.task.abort();
        for (_, flow) in lock(&self.port.clients).drain() {
            flow.end();
        }
    }
}

/// From clients to the sandbox.
async fn receive(port: Arc<Port>) {
    while poll_fn(|context| port.poll_receive(context))
        .await
        .is_some()
    {
        tokio::task::coop::consume_budget().await;
    }
}

impl Port {
    /// Receives one datagram and sends it on; `None` once the port has been closed.
    fn poll_receive(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        BUFFER.with_borrow_mut(|buffer| {
            let received = loop {
                let socket = lock(&self.socket);
                let Some(socket) = socket.as_ref() else {
                    return Poll::Ready(None);
                };
                match socket.poll_recv_ready(context) {
                    Poll::Pending => return Poll::Pending,
                    // The runtime ends.
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Ready(Ok(())) => {}
                }
                match socket.try_io(Interest::READABLE, || udp::receive(socket, buffer)) {
                    Ok(received) => break received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        tracing::debug!(%error, "cannot receive a datagram");
                        return Poll::Ready(Some(()));
                    }
                }
            };
            let Received { length, from, to } = received;
            if let Err(error) = self.deliver((from, to), &buffer[..length]) {
                tracing::debug!(%error, client = %from, "a datagram did not reach the sandbox");
            }
            Poll::Ready(Some(()))
        })
    }

    fn deliver(self: &Arc<Self>, client: Client, datagram: &[u8]) -> io::Result<()> {
        let flow = self.flow(client)?;
        flow.touch();
        // Not by way of the runtime, which holds a new socket for not writable until it has heard of it.
        match udp::send_on(&flow.socket, datagram) {
            // The refusal of an earlier datagram; this one has not been sent yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                udp::send_on(&flow.socket, datagram)
            }
            other => other,
        }
        .map(|_| ())
    }

    fn flow(self: &Arc<Self>, client: Client) -> io::Result<Arc<Flow>> {
        let mut clients = lock(&self.clients);
        if let Some(flow) = clients.get(&client) {
            return Ok(Arc::clone(flow));
        }
        if clients.len() >= CLIENTS_MAX {
            let oldest = clients
                .iter()
                .min_by_key(|(_, flow)| *lock(&flow.used))
                .map(|(client, _)| *client);
            if let Some(flow) = oldest.and_then(|oldest| clients.remove(&oldest)) {
                flow.end();
            }
        }
        let target = self.targets[self.target.load(Ordering::Relaxed) % self.targets.len()];
        let flow = Arc::new(Flow {
            socket: connect(target)?,
            answered: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
            task: Mutex::new(None),
        });
        clients.insert(client, Arc::clone(&flow));
        let task = tokio::spawn(answer(Arc::downgrade(self), Arc::clone(&flow), client));
        *lock(&flow.task) = Some(task.abort_handle());
        Ok(flow)
    }

    /// Takes one datagram of the sandbox to the client. False: the flow is over.
    fn give_back(&self, flow: &Flow, client: Client) -> bool {
        BUFFER.with_borrow_mut(|buffer| match flow.socket.try_recv(buffer) {
            Ok(length) => {
                flow.answered.store(true, Ordering::Relaxed);
                flow.touch();
                let socket = lock(&self.socket);
                let Some(socket) = socket.as_ref() else {
                    return false;
                };
                let (to, from) = client;
                if let Err(error) = udp::send(socket, &buffer[..length], to, from) {
                    tracing::debug!(%error, client = %to, "an answer did not reach its client");
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && !flow.answered.load(Ordering::Relaxed)
                {
                    self.target.fetch_add(1, Ordering::Relaxed);
                }
                false
            }
        })
    }

    fn forget(&self, flow: &Arc<Flow>, client: Client) {
        let mut clients = lock(&self.clients);
        if clients
            .get(&client)
            .is_some_and(|known| Arc::ptr_eq(known, flow))
        {
            clients.remove(&client);
        }
    }
}

/// From the sandbox to one client, until both have been silent for long enough.
async fn answer(port: Weak<Port>, flow: Arc<Flow>, client: Client) {
    loop {
        let waited = tokio::time::timeout_at(flow.deadline(), flow.socket.readable()).await;
        let Some(port) = port.upgrade() else {
            return;
        };
        let goes_on = match waited {
            Ok(Ok(())) => port.give_back(&flow, client),
            Ok(Err(_)) => false,
            // The client may have sent something meanwhile.
            Err(_) => Instant::now() < flow.deadline(),
        };
        if !goes_on {
            port.forget(&flow, client);
            return;
        }
        drop(port);
        tokio::task::coop::consume_budget().await;
    }
}

impl Flow {
    fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    fn deadline(&self) -> Instant {
        let idle = if self.answered.load(Ordering::Relaxed) {
            ANSWERED
        } else {
            UNANSWERED
        };
        *lock(&self.used) + idle
    }

    fn end(&self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// A socket of this thread's namespace that speaks with nobody else.
fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if target.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(target)?;
    UdpSocket::from_std(socket)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
