//! Commands in running containers.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::{Value, json};
use shedbox_docker::exec::{self as words, ExecCreate, ExecStart, Known};
use shedbox_docker::{body, error};
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::control::{FollowUp, Reply, Request};
use shedbox_spec::exec::{End as Ending, ExecRequest, NotStarted, TtySize};
use shedbox_spec::{Error, Result, detach_keys};

use super::ends::{Control, End};
use super::pump::{self, AtEndOfInput, Outcome, Streams};
use super::{Asked, Docker, attach, lifecycle, lock};
use crate::answer::{self, Answer};
use crate::hijack::Gate;
use crate::query::Query;

/// How long a command that has ended can be asked about.
const REMEMBERED: Duration = Duration::from_mins(5);
/// Above this number, those that have ended are looked through.
const SWEEP_AT: usize = 256;

/// All commands that are known.
#[derive(Debug, Default)]
pub(super) struct Execs(Mutex<HashMap<String, Arc<Exec>>>);

#[derive(Debug)]
struct Exec {
    id: String,
    container: String,
    body: ExecCreate,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    pid: i32,
    exit_code: Option<u8>,
    ended: Option<Instant>,
    control: Option<Arc<Control>>,
}

impl Execs {
    fn add(&self, exec: Exec) {
        let mut all = lock(&self.0);
        if all.len() >= SWEEP_AT {
            all.retain(|_, exec| {
                lock(&exec.state)
                    .ended
                    .is_none_or(|ended| ended.elapsed() < REMEMBERED)
            });
        }
        all.insert(exec.id.clone(), Arc::new(exec));
    }

    fn get(&self, id: &str) -> Result<Arc<Exec>> {
        lock(&self.0)
            .get(id)
            .cloned()
            .ok_or_else(|| error::no_exec(id))
    }

    /// Ids of the commands that run in a container; null for none, as Docker has it.
    pub(super) fn of(&self, container: &str) -> Value {
        let ids: Vec<String> = lock(&self.0)
            .values()
            .filter(|exec| exec.container == container)
            .filter(|exec| {
                let state = lock(&exec.state);
                state.started && state.exit_code.is_none()
            })
            .map(|exec| exec.id.clone())
            .collect();
        if ids.is_empty() {
            Value::Null
        } else {
            json!(ids)
        }
    }

    /// Forgets those of a container that has gone.
    pub(super) fn forget(&self, container: &str) {
        lock(&self.0).retain(|_, exec| exec.container != container);
    }
}

impl Exec {
    fn end(&self, docker: &Docker, info: &SandboxInfo, code: u8) {
        {
            let mut state = lock(&self.state);
            state.exit_code = Some(code);
            state.ended = Some(Instant::now());
            state.control = None;
        }
        let code = code.to_string();
        docker.events.container(
            info,
            "exec_die",
            &[("execID", self.id.as_str()), ("exitCode", &code)],
        );
    }
}

pub(super) async fn create(docker: &Arc<Docker>, name: &str, asked: Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    lifecycle::must_run(&info)?;
    let bytes = asked.json().await?;
    let body: ExecCreate = body::read(&bytes)?;
    let argv = body.argv()?.join(" ");
    if !body.detach_keys.is_empty() && detach_keys::parse(&body.detach_keys).is_err() {
        let keys = &body.detach_keys;
        return Err(Error::invalid(format!(
            "Invalid escape keys ({keys}) provided"
        )));
    }
    let id = super::random_hex()?;
    docker
        .events
        .container(&info, &format!("exec_create: {argv}"), &[("execID", &id)]);
    docker.execs.add(Exec {
        id: id.clone(),
        container: info.id.to_string(),
        body,
        state: Mutex::default(),
    });
    Ok(answer::json(StatusCode::CREATED, &json!({"Id": id})))
}

pub(super) fn inspect(docker: &Arc<Docker>, id: &str) -> Result<Answer> {
    let exec = docker.execs.get(id)?;
    let state = lock(&exec.state);
    let known = Known {
        id: &exec.id,
        container: &exec.container,
        body: &exec.body,
        pid: state.pid,
        running: state.started && state.exit_code.is_none(),
        exit_code: state.exit_code,
    };
    Ok(answer::json(StatusCode::OK, &words::inspect(&known)))
}

pub(super) fn resize(docker: &Arc<Docker>, id: &str, query: &Query) -> Result<Answer> {
    let exec = docker.execs.get(id)?;
    let size = attach::size(query)?;
    let control = lock(&exec.state).control.clone();
    match control {
        Some(control) => control.follow_up(&FollowUp::Resize(size)),
        None => return Err(Error::conflict(format!("exec {id} is not running"))),
    }
    Ok(answer::bare(StatusCode::OK))
}

pub(super) async fn start(docker: &Arc<Docker>, id: &str, asked: Asked) -> Result<Answer> {
    let exec = docker.execs.get(id)?;
    let info = docker.find(&exec.container)?;
    lifecycle::must_run(&info)?;
    let Asked {
        version,
        headers,
        body,
        slot,
        ..
    } = asked;
    let start: ExecStart = body::read(&super::collect(body).await?)?;
    if std::mem::replace(&mut lock(&exec.state).started, true) {
        return Err(Error::conflict(format!(
            "exec {id} has already been started"
        )));
    }
    let size = words::console_size(&start.console_size)
        .or_else(|| words::console_size(&exec.body.console_size));
    let begun = begin(&exec, &info, !start.detach, size).await;
    let argv = exec.body.argv()?.join(" ");
    docker
        .events
        .container(&info, &format!("exec_start: {argv}"), &[("execID", id)]);
    let begun = match begun {
        Ok(begun) => begun,
        Err(error) => {
            exec.end(docker, &info, 126);
            return Err(error);
        }
    };
    let docker = Arc::clone(docker);
    if start.detach {
        if let Begun::Running(control, _) = begun {
            tokio::spawn(async move {
                let code = wait(&control).await;
                exec.end(&docker, &info, code);
            });
            return Ok(answer::bare(StatusCode::OK));
        }
        let Begun::Refused(code, text) = begun else {
            return Ok(answer::bare(StatusCode::OK));
        };
        exec.end(&docker, &info, code);
        return Err(Error::invalid(text));
    }
    let content_type = attach::content_type(version, exec.body.tty);
    let framed = !exec.body.tty;
    Ok(
        slot.take_over(&headers, content_type, move |mut taken| async move {
            match begun {
                Begun::Running(control, streams) => {
                    let end = |outcome: &Outcome| match outcome {
                        Outcome::Ended(result) => exec.end(&docker, &info, result.end.status()),
                        Outcome::Lost => exec.end(&docker, &info, 137),
                        Outcome::Detached => {}
                    };
                    if let Outcome::Detached = pump::run(taken, streams, &control, end).await {
                        let code = wait(&control).await;
                        exec.end(&docker, &info, code);
                    }
                }
                Begun::Refused(code, text) => {
                    exec.end(&docker, &info, code);
                    let line = format!("{text}\r\n");
                    let mut bytes = Vec::new();
                    if framed {
                        bytes.extend_from_slice(&shedbox_docker::frame::header(1, line.len()));
                    }
                    bytes.extend_from_slice(line.as_bytes());
                    if let Some(gate) = Gate::of(&taken) {
                        gate.pass().await;
                    }
                    // A client that has gone reads no reasons.
                    let wire = &mut taken.wire;
                    let _ = tokio::io::AsyncWriteExt::write_all(wire, &bytes).await;
                    let _ = tokio::io::AsyncWriteExt::shutdown(wire).await;
                }
            }
        }),
    )
}

enum Begun {
    Running(Arc<Control>, Streams),
    /// It could not be started: status and reason.
    Refused(u8, String),
}

/// Starts the command; returns when it runs.
async fn begin(
    exec: &Exec,
    info: &SandboxInfo,
    attached: bool,
    size: Option<TtySize>,
) -> Result<Begun> {
    let request = exec.body.request(attached, size)?;
    let program = exec.body.argv()?.remove(0);
    let mut streams = Streams {
        stdin: None,
        outputs: Vec::new(),
        framed: !exec.body.tty,
        detach_keys: (exec.body.tty && attached).then(|| {
            detach_keys::parse(&exec.body.detach_keys)
                .ok()
                .filter(|keys| !keys.is_empty())
                .or_else(|| detach_keys::parse(detach_keys::DEFAULT).ok())
                .unwrap_or_default()
        }),
        kill_on_disconnect: exec.body.kill_on_disconnect,
        at_end_of_input: AtEndOfInput::CloseInput,
    };
    let mut fds: Vec<OwnedFd> = Vec::new();
    if request.stdin == shedbox_spec::exec::StdinMode::Pipe {
        let (ours, theirs) = End::to_sandbox()?;
        streams.stdin = Some(Arc::new(ours));
        fds.push(theirs);
    }
    for (number, wanted) in [(1, request.stdout), (2, request.stderr)] {
        if wanted {
            let (ours, theirs) = End::from_sandbox()?;
            streams.outputs.push((number, Arc::new(ours)));
            fds.push(theirs);
        }
    }
    let control = Arc::new(Control::ask(
        Path::new(&info.socket),
        &Request::Exec(request),
        &fds,
    )?);
    drop(fds);
    match control.reply().await? {
        (Reply::Started { pid }, master) => {
            if let Some(master) = master {
                let terminal = Arc::new(End::new(master)?);
                if attached && exec.body.attach_stdin {
                    streams.stdin = Some(Arc::clone(&terminal));
                }
                streams.outputs.push((1, terminal));
            }
            let mut state = lock(&exec.state);
            state.pid = pid;
            state.control = Some(Arc::clone(&control));
            Ok(Begun::Running(control, streams))
        }
        (Reply::Exited(result), _) => match result.end {
            Ending::NotStarted(why) => {
                Ok(Begun::Refused(why.code, words::not_started(&why, &program)))
            }
            end => Ok(Begun::Refused(end.status(), String::new())),
        },
        (Reply::Failed(error), _) => Ok(Begun::Refused(
            126,
            words::not_started(&NotStarted::refused(error.message), &program),
        )),
        _ => Err(Error::internal("the sandbox answers something else")),
    }
}

async fn wait(control: &Control) -> u8 {
    loop {
        match control.reply().await {
            Ok((Reply::Exited(result), _)) => return result.end.status(),
            Ok((Reply::Failed(_), _)) | Err(_) => return 137,
            Ok(_) => {}
        }
    }
}

/// Runs a command to its end and gives its exit status and the beginning of what it wrote; for health checks.
pub(super) async fn run(
    socket: &Path,
    mut request: ExecRequest,
    timeout: Duration,
    most: usize,
) -> Result<(u8, Vec<u8>)> {
    request.stdout = true;
    request.stderr = true;
    request.timeout_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let (out, their_out) = End::from_sandbox()?;
    let (err, their_err) = End::from_sandbox()?;
    let control = Control::ask(socket, &Request::Exec(request), &[their_out, their_err])?;
    let mut written = Vec::new();
    let (mut first, mut second) = (vec![0; 4096], vec![0; 4096]);
    let (mut out, mut err) = (Some(out), Some(err));
    let code = loop {
        tokio::select! {
            read = read_of(out.as_ref(), &mut first) => match read {
                0 => out = None,
                count => keep(&mut written, &first[..count], most),
            },
            read = read_of(err.as_ref(), &mut second) => match read {
                0 => err = None,
                count => keep(&mut written, &second[..count], most),
            },
            reply = control.reply() => match reply? {
                (Reply::Exited(result), _) => break result.end.status(),
                (Reply::Failed(error), _) => return Err(error),
                _ => {}
            },
        }
    };
    for end in [out, err].into_iter().flatten() {
        while let Some(count @ 1..) = end.read_now(&mut first) {
            keep(&mut written, &first[..count], most);
        }
    }
    Ok((code, written))
}

async fn read_of(end: Option<&End>, buffer: &mut [u8]) -> usize {
    match end {
        Some(end) => end.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

fn keep(written: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(written.len());
    written.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
