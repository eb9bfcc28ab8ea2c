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
use super::{Asked, Docker, lifecycle, lock, logs, stored};
use crate::answer::{self, Answer};
use crate::hijack::Gate;
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

pub(super) async fn attach(docker: &Arc<Docker>, name: &str, asked: &Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    let query = &asked.query;
    let stream = query.flag("stream")?;
    if info.status == Status::Paused {
        return Err(Error::conflict(format!(
            "container {} is paused, unpause the container before attach",
            info.id
        )));
    }
    let before = if query.flag("logs")? {
        logs::so_far(docker, &info, query.flag("stdout")?, query.flag("stderr")?).await?
    } else {
        Vec::new()
    };
    let (what, streams, fds) = wiring(&info, query)?;
    let content_type = content_type(asked.version, info.spec.tty);
    docker.events.container(&info, "attach", &[]);
    let (begun, begins) = oneshot::channel();
    if !stream {
        drop(begun);
    } else if info.status == Status::Running {
        let control = Control::ask(Path::new(&info.socket), &Request::Attach(what), &fds)?;
        let _ = begun.send(control); // the receiver is ours
    } else {
        docker
            .waiting
            .add(info.id.as_str(), Client { what, fds, begun });
    }
    Ok(asked
        .slot
        .take_over(&asked.headers, content_type, move |mut taken| async move {
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
        }))
}

/// Streams with two outputs have another name from API 1.42 on.
pub(super) fn content_type(version: Version, tty: bool) -> &'static str {
    if !tty && version >= Version(1, 42) {
        frame::MULTIPLEXED
    } else {
        frame::RAW
    }
}

fn wiring(info: &SandboxInfo, query: &Query) -> Result<(Attach, Streams, Vec<OwnedFd>)> {
    let tty = info.spec.tty;
    let kept = stored(info);
    let mut fds = Vec::new();
    let mut what = Attach::default();
    let mut streams = Streams {
        stdin: None,
        outputs: Vec::new(),
        framed: !tty,
        detach_keys: tty.then(|| detach_keys_of(query)).transpose()?,
        kill_on_disconnect: false,
        at_end_of_input: AtEndOfInput::Ignore,
    };
    if query.flag("stdin")? && kept.flag("/OpenStdin") {
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
    for (number, name) in [(1, "stdout"), (2, "stderr")] {
        if !query.flag(name)? || (tty && number == 2) {
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
