//! Taking part in the streams of a main process, before it is started or while it runs.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use shedbox_docker::frame;
use shedbox_docker::version::Version;
use shedbox_spec::api::{SandboxInfo, Status};
use shedbox_spec::control::{Attach, Reply, Request};
use shedbox_spec::exec::TtySize;
use shedbox_spec::{Error, Kind, Result, detach_keys};
use tokio::sync::oneshot;

use super::ends::{Control, End};
use super::pump::{self, AtEndOfInput, Streams};
use super::{Asked, Docker, lifecycle, lock, logs, stored, websocket};
use crate::answer::{self, Answer};
use crate::hijack::{Gate, Taken};
use crate::query::Query;

/// Clients that wait for the start of their container.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<String, Vec<Client>>>);

/// What a client brings: the sandbox's ends of its pipes, and where it hears that the process runs.
#[derive(Debug)]
pub(super) struct Client {
    what: Attach,
    fds: Vec<OwnedFd>,
    begun: oneshot::Sender<Control>,
}

impl Waiting {
    /// Clients of a container that starts now.
    pub(super) fn take(&self, id: &str) -> Vec<Client> {
        let mut waiting = lock(&self.0).remove(id).unwrap_or_default();
        // Who has gone meanwhile waits for nothing.
        waiting.retain(|client| !client.begun.is_closed());
        waiting
    }

    fn add(&self, id: &str, client: Client) {
        lock(&self.0).entry(id.to_owned()).or_default().push(client);
    }
}

/// Starts the main process that was held back, with the clients that waited for it.
pub(super) async fn begin(
    docker: &Arc<Docker>,
    info: &SandboxInfo,
    clients: Vec<Client>,
) -> Result<()> {
    let socket = Path::new(&info.socket);
    let mut started = false;
    for client in clients {
        let request = if started {
            Request::Attach(client.what)
        } else {
            Request::StartMain(client.what)
        };
        let control = Control::ask(socket, &request, &client.fds)?;
        drop(client.fds);
        if !started {
            match control.reply().await? {
                (Reply::Exited(result), _) => {
                    if let Some(error) = lifecycle::main_refused(&result.end) {
                        end(docker, info).await?;
                        return Err(error);
                    }
                }
                (Reply::Failed(error), _) => return Err(error),
                _ => {}
            }
            started = true;
        }
        // A client that has gone leaves the process alone.
        let _ = client.begun.send(control);
    }
    Ok(())
}

/// Ends a container whose main process could not be started. One that goes when it has ended may be on its way out by
/// itself, or gone.
async fn end(docker: &Arc<Docker>, info: &SandboxInfo) -> Result<()> {
    let id = info.id.to_string();
    let now = Some(std::time::Duration::ZERO);
    match super::later(docker, move |engine| engine.stop(&id, now)).await {
        Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => Ok(()),
        other => other,
    }
}

/// What a client wants of the streams.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    logs: bool,
    stream: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    /// Both outputs on one connection are told apart by headers.
    framed: bool,
}

/// A client that takes part, before its connection is there.
struct Part {
    /// Output of the past.
    before: Vec<u8>,
    streams: Streams,
    begins: oneshot::Receiver<Control>,
}

pub(super) async fn attach(docker: &Arc<Docker>, name: &str, asked: &Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    let query = &asked.query;
    let wanted = Wanted {
        logs: query.flag("logs")?,
        stream: query.flag("stream")?,
        stdin: query.flag("stdin")?,
        stdout: query.flag("stdout")?,
        stderr: query.flag("stderr")?,
        framed: !info.spec.tty,
    };
    let part = take_part(docker, &info, query, wanted).await?;
    let content_type = content_type(asked.version, info.spec.tty);
    Ok(asked
        .slot
        .take_over(&asked.headers, content_type, move |taken| part.run(taken)))
}

/// The same by a WebSocket, whose messages are the bytes as they are. Source: moby
/// `api/server/router/container/container_routes.go`, `wsContainersAttach`.
pub(super) async fn websocket(docker: &Arc<Docker>, name: &str, asked: &Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    let query = &asked.query;
    // Which streams could not be chosen before API 1.42.
    let all = asked.version < Version(1, 42);
    let wanted = Wanted {
        logs: query.flag("logs")?,
        stream: query.flag("stream")?,
        stdin: all || query.flag("stdin")?,
        stdout: all || query.flag("stdout")?,
        stderr: all || query.flag("stderr")?,
        framed: false,
    };
    let accepted = websocket::accept(&asked.headers)?;
    let kind = if asked.version < Version(1, 28) {
        websocket::Kind::Text
    } else {
        websocket::Kind::Binary
    };
    let part = take_part(docker, &info, query, wanted).await?;
    let mut answer = asked
        .slot
        .take_over(&asked.headers, frame::RAW, move |taken| async move {
            match websocket::inside() {
                Ok((inner, outer)) => {
                    tokio::join!(part.run(inner), websocket::carry(taken, outer, kind));
                }
                Err(error) => tracing::warn!(%error, "cannot make a pair of sockets"),
            }
        });
    let fields = answer.headers_mut();
    fields.remove(hyper::header::CONTENT_TYPE);
    fields.insert(hyper::header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(answer)
}

async fn take_part(
    docker: &Arc<Docker>,
    info: &SandboxInfo,
    query: &Query,
    wanted: Wanted,
) -> Result<Part> {
    if info.status == Status::Paused {
        return Err(Error::conflict(format!(
            "container {} is paused, unpause the container before attach",
            info.id
        )));
    }
    let before = if wanted.logs {
        logs::so_far(docker, info, wanted.stdout, wanted.stderr, wanted.framed).await?
    } else {
        Vec::new()
    };
    let (what, streams, fds) = wiring(info, query, wanted)?;
    docker.events.container(info, "attach", &[]);
    let (begun, begins) = oneshot::channel();
    if !wanted.stream {
        drop(begun);
    } else if info.status == Status::Running {
        let control = Control::ask(Path::new(&info.socket), &Request::Attach(what), &fds)?;
        let _ = begun.send(control); // the receiver is ours
    } else {
        docker
            .waiting
            .add(info.id.as_str(), Client { what, fds, begun });
    }
    Ok(Part {
        before,
        streams,
        begins,
    })
}

impl Part {
    async fn run(self, mut taken: Taken) {
        let Self {
            before,
            streams,
            begins,
        } = self;
        if let Some(gate) = Gate::of(&taken).filter(|_| !before.is_empty()) {
            gate.pass().await;
        }
        if !before.is_empty()
            && tokio::io::AsyncWriteExt::write_all(&mut taken.wire, &before)
                .await
                .is_err()
        {
            return;
        }
        // Dropped: the container was removed before it was started, or nothing but the log was wanted.
        let Ok(control) = begins.await else {
            drop(tokio::io::AsyncWriteExt::shutdown(&mut taken.wire).await);
            return;
        };
        pump::run(taken, streams, &control, |_| {}).await;
    }
}

/// Streams with two outputs have another name from API 1.42 on.
pub(super) fn content_type(version: Version, tty: bool) -> &'static str {
    if !tty && version >= Version(1, 42) {
        frame::MULTIPLEXED
    } else {
        frame::RAW
    }
}

fn wiring(
    info: &SandboxInfo,
    query: &Query,
    wanted: Wanted,
) -> Result<(Attach, Streams, Vec<OwnedFd>)> {
    let tty = info.spec.tty;
    let kept = stored(info);
    let mut fds = Vec::new();
    let mut what = Attach::default();
    let mut streams = Streams {
        stdin: None,
        outputs: Vec::new(),
        framed: wanted.framed,
        detach_keys: tty.then(|| detach_keys_of(query)).transpose()?,
        kill_on_disconnect: false,
        at_end_of_input: AtEndOfInput::Ignore,
    };
    if wanted.stdin && kept.flag("/OpenStdin") {
        let (ours, theirs) = End::to_sandbox()?;
        streams.stdin = Some(Arc::new(ours));
        fds.push(theirs);
        what.stdin = true;
        streams.at_end_of_input = if kept.flag("/StdinOnce") && !tty {
            AtEndOfInput::CloseInput
        } else {
            AtEndOfInput::Detach
        };
    }
    for (number, is_wanted) in [(1, wanted.stdout), (2, wanted.stderr)] {
        if !is_wanted || (tty && number == 2) {
            continue;
        }
        let (ours, theirs) = End::from_sandbox()?;
        streams.outputs.push((number, Arc::new(ours)));
        fds.push(theirs);
        if number == 1 {
            what.stdout = true;
        } else {
            what.stderr = true;
        }
    }
    Ok((what, streams, fds))
}

fn detach_keys_of(query: &Query) -> Result<Vec<u8>> {
    let keys = query
        .get("detachKeys")
        .filter(|keys| !keys.is_empty())
        .unwrap_or(detach_keys::DEFAULT);
    detach_keys::parse(keys)
}

pub(super) fn resize(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let size = size(query)?;
    lifecycle::must_run(&info)?;
    let what = Attach {
        tty: Some(size),
        detach: true,
        ..Attach::default()
    };
    Control::ask(Path::new(&info.socket), &Request::Attach(what), &[])?;
    Ok(answer::bare(hyper::StatusCode::OK))
}

/// `h` and `w` of a query.
pub(super) fn size(query: &Query) -> Result<TtySize> {
    match (query.number("h")?, query.number("w")?) {
        (Some(rows), Some(cols)) => Ok(TtySize { rows, cols }),
        _ => Err(Error::invalid("`h` and `w` must be numbers")),
    }
}
