//! Connections: who may, how many requests are under way, when it is time to leave.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use shedbox_engine::Engine;
use shedbox_linux::process;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::answer::Body;
use crate::docker::{self, Docker};
use crate::hijack::{self, Slot, Wire};
use crate::listener::Listener;
use crate::native;

/// How long requests that are under way may take when the daemon leaves. Those that wait for something that may never
/// happen (the end of a sandbox, the next line of a log) are cut off.
const LEAVE: Duration = Duration::from_secs(2);
/// How often it is looked whether the daemon is still needed, at most.
const LOOK: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Debug)]
struct Traffic {
    /// Requests and connections under way.
    requests: AtomicUsize,
    connections: AtomicUsize,
    started: Instant,
    /// Milliseconds from `started` to the end of the last request.
    last: AtomicUsize,
    /// Somebody has spoken to the Docker API who could not start a daemon: it stays until it is told to leave.
    stay: AtomicBool,
}

/// Who is asking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Pid in this daemon's pid namespace.
    pub(crate) pid: Option<i32>,
}

/// Serves until a signal comes or nothing has needed the daemon for `idle_exit`.
pub(crate) async fn serve(engine: Arc<Engine>, listener: Listener, idle_exit: Duration) {
    let docker = Docker::new(Arc::clone(&engine));
    let traffic = Arc::new(Traffic {
        requests: AtomicUsize::new(0),
        connections: AtomicUsize::new(0),
        started: Instant::now(),
        last: AtomicUsize::new(0),
        stay: AtomicBool::new(false),
    });
    let (leave, leaving) = watch::channel(false);
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate()), on(SignalKind::interrupt()));
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, _)) => welcome(stream, &docker, &traffic, leaving.clone()),
                Err(error) => refused(&error).await,
            },
            accepted = accept_by_tcp(listener.tcp.as_ref()) => match accepted {
                Ok(stream) => serve_one(Box::new(stream), Caller { pid: None }, &docker, &traffic, leaving.clone()),
                Err(error) => refused(&error).await,
            },
            () = received(&mut terminate) => break tracing::info!("told to leave by SIGTERM"),
            () = received(&mut interrupt) => break tracing::info!("told to leave by SIGINT"),
            () = no_longer_needed(&engine, &traffic, idle_exit) => break tracing::info!("idle"),
        }
    }
    // No new client finds us from here on; those that are connected already are served.
    if let Some(path) = &listener.own
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!(%error, "the socket's file was gone already");
    }
    // Asked of the kernel itself: the runtime learns of a connection a moment after it is there.
    if let Ok(socket) = listener.socket.into_std() {
        while let Ok((stream, _)) = socket.accept() {
            match stream
                .set_nonblocking(true)
                .and_then(|()| UnixStream::from_std(stream))
            {
                Ok(stream) => welcome(stream, &docker, &traffic, leaving.clone()),
                Err(error) => tracing::warn!(%error, "lost a connection"),
            }
        }
    }
    drop(listener.tcp);
    // Nobody listens when there are no connections, which is fine.
    let _ = leave.send(true);
    let deadline = Instant::now() + LEAVE;
    while traffic.connections.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// EMFILE and the like: it passes when something is closed, so do not spin meanwhile.
async fn refused(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn accept_by_tcp(listener: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match listener {
        Some(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
        None => std::future::pending().await,
    }
}

fn on(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!(%error, "cannot listen to a signal"))
        .ok()
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn no_longer_needed(engine: &Engine, traffic: &Traffic, idle_exit: Duration) {
    loop {
        tokio::time::sleep(LOOK.min(idle_exit.max(Duration::from_millis(50)))).await;
        let quiet = traffic
            .started
            .elapsed()
            .saturating_sub(Duration::from_millis(
                traffic.last.load(Ordering::Acquire) as u64
            ));
        if !traffic.stay.load(Ordering::Acquire)
            && traffic.requests.load(Ordering::Acquire) == 0
            && quiet >= idle_exit
            && engine.is_idle()
        {
            return;
        }
    }
}

fn welcome(
    stream: UnixStream,
    docker: &Arc<Docker>,
    traffic: &Arc<Traffic>,
    leaving: watch::Receiver<bool>,
) {
    let caller = match stream.peer_cred() {
        Ok(peer) if peer.uid() == process::own_uid() => Caller { pid: peer.pid() },
        Ok(peer) => {
            return tracing::warn!(uid = peer.uid(), "refused a connection of another user");
        }
        Err(error) => return tracing::warn!(%error, "refused a connection of unknown origin"),
    };
    serve_one(Box::new(stream), caller, docker, traffic, leaving);
}

/// Serves one connection.
fn serve_one(
    stream: Box<dyn Wire>,
    caller: Caller,
    docker: &Arc<Docker>,
    traffic: &Arc<Traffic>,
    mut leaving: watch::Receiver<bool>,
) {
    let (docker, traffic) = (Arc::clone(docker), Arc::clone(traffic));
    traffic.connections.fetch_add(1, Ordering::AcqRel);
    tokio::spawn(async move {
        let slot = Slot::default();
        let service = service_fn(|request: Request<Incoming>| {
            let (docker, traffic) = (Arc::clone(&docker), Arc::clone(&traffic));
            let slot = slot.clone();
            Box::pin(async move {
                let under_way = UnderWay::new(&traffic);
                let answer = if native::is_ours(request.uri().path()) {
                    native::answer(&docker.engine, caller, request).await
                } else {
                    if !docker::is_from_us(&request) {
                        traffic.stay.store(true, Ordering::Release);
                    }
                    docker::answer(&docker, request, slot).await
                };
                // A pull, a log that is followed: it lasts as long as its answer.
                Ok::<_, Infallible>(answer.map(|body| Counted {
                    body,
                    _under_way: under_way,
                }))
            })
        });
        let told = async { drop(leaving.wait_for(|leaving| *leaving).await) };
        if let Err(error) = hijack::serve(stream, slot.clone(), service, told).await {
            // Clients that leave in the middle are nothing unusual.
            tracing::debug!(
                error = shedbox_spec::error::chain(&error),
                "a connection ended early"
            );
        }
        traffic.connections.fetch_sub(1, Ordering::AcqRel);
    });
}

/// Counts a request.
struct UnderWay(Arc<Traffic>);

impl UnderWay {
    fn new(traffic: &Arc<Traffic>) -> Self {
        traffic.requests.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(traffic))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.last.store(
            self.0.started.elapsed().as_millis() as usize,
            Ordering::Release,
        );
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer; its request is under way until the last of it has gone.
struct Counted {
    body: Body,
    _under_way: UnderWay,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
