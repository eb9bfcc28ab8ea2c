//! Sessions: shells that this process keeps in sandboxes.
//!
//! A session is an exec of init's like any other; what is special is who holds its descriptors. That is a thread of this
//! process, so a session outlives the client that made it, and ends with the daemon: init sees its connection close and
//! ends all that came of the shell. Init could hold the descriptors as well, and then would have to read and keep output
//! for somebody who may never come; it is process 1 of every sandbox, and the less it does the better.

mod output;
mod shell;
mod worker;

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use shedbox_linux::epoll::Wakeup;
use shedbox_linux::fd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::control::{Reply, Request};
use shedbox_spec::exec::{End, ExecRequest, StdinMode};
use shedbox_spec::session::{SessionCreate, SessionInfo, SessionResult, SessionRun, SessionStatus};
use shedbox_spec::{Error, Kind};

use crate::Engine;
use crate::error::{Doing, Result};
use crate::init;
use crate::sandbox::Sandbox;
use worker::{Ends, Task, Worker};

/// Sessions of one sandbox that live at once.
const IN_A_SANDBOX: usize = 64;
/// Sessions that have ended and are remembered, of all sandboxes.
const REMEMBERED: usize = 256;
/// How long a shell may take to say that it is there.
const READY: Duration = Duration::from_secs(10);
/// Stack of a session's thread.
const STACK: usize = 256 << 10;

/// Gets what came of a command.
pub type Answer = Box<dyn FnOnce(Result<SessionResult, Error>) + Send>;

/// All sessions, oldest first.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Vec<Arc<Session>>>);

/// One session.
pub(crate) struct Session {
    id: String,
    name: Option<String>,
    /// Id of its sandbox.
    sandbox_id: String,
    /// What the sandbox was called.
    sandbox: String,
    shell: String,
    created_at: Timestamp,
    wakeup: Wakeup,
    state: Mutex<State>,
}

struct State {
    status: SessionStatus,
    commands: u64,
    cwd: String,
    ended: Option<End>,
    task: Option<Task>,
    /// Somebody wants its end.
    to_end: bool,
}

impl Sessions {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What people call it.
    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    fn answers_to(&self, sandbox: &Sandbox, name: &str) -> bool {
        self.sandbox_id == sandbox.record.id.as_str()
            && (self.id == name || self.name.as_deref() == Some(name))
    }

    fn take_task(&self) -> Option<Task> {
        self.state().task.take()
    }

    fn is_to_end(&self) -> bool {
        self.state().to_end
    }

    fn cwd(&self) -> String {
        self.state().cwd.clone()
    }

    fn info(&self) -> SessionInfo {
        let state = self.state();
        SessionInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            shell: self.shell.clone(),
            created_at: self.created_at.to_string(),
            status: state.status,
            commands: state.commands,
            cwd: state.cwd.clone(),
            ended: state.ended.clone(),
        }
    }

    /// Gives it a command.
    fn give(&self, task: Task) -> Result<(), Error> {
        {
            let mut state = self.state();
            match state.status {
                SessionStatus::Idle => {}
                SessionStatus::Ended => {
                    drop(state);
                    return Err(self.gone());
                }
                SessionStatus::Running => {
                    return Err(Error::conflict(format!(
                        "session `{}` is running a command",
                        self.label()
                    ))
                    .with_hint("wait for its end, or make another session"));
                }
            }
            state.status = SessionStatus::Running;
            state.commands += 1;
            state.task = Some(task);
        }
        self.wakeup.wake();
        Ok(())
    }
}

impl Engine {
    /// Starts a shell in a sandbox that runs.
    pub fn session_create(&self, name: &str, wanted: &SessionCreate) -> Result<SessionInfo> {
        let _activity = self.background.activity();
        wanted.validate()?;
        let sandbox = self.find(name)?;
        sandbox.state().life.must_run(&sandbox.name())?;
        self.may_make_one(&sandbox, wanted)?;
        let (shell, ends) = match &wanted.shell {
            Some(shell) => (shell.clone(), start(&sandbox, wanted, shell)?),
            None => match start(&sandbox, wanted, "bash") {
                Err(error) if error.kind == Kind::NotFound => {
                    ("sh".to_owned(), start(&sandbox, wanted, "sh")?)
                }
                other => ("bash".to_owned(), other?),
            },
        };
        let session = Arc::new(Session {
            id: self.random_word()?,
            name: wanted.name.clone(),
            sandbox_id: sandbox.record.id.to_string(),
            sandbox: sandbox.name().to_string(),
            shell,
            created_at: Timestamp::now(),
            wakeup: Wakeup::new().doing(|| "make a session".to_owned())?,
            state: Mutex::new(State {
                status: SessionStatus::Idle,
                commands: 0,
                cwd: String::new(),
                ended: None,
                task: None,
                to_end: false,
            }),
        });
        let worker =
            Worker::new(Arc::clone(&session), ends).doing(|| "make a session".to_owned())?;
        let served = Arc::clone(&session);
        std::thread::Builder::new()
            .name("session".to_owned())
            .stack_size(STACK)
            .spawn(move || worker.serve(&served.wakeup))
            .doing(|| "start the thread of a session".to_owned())?;
        self.await_shell(&session)?;
        let mut list = self.sessions.list();
        if let Some(name) = &session.name
            && list.iter().any(|other| {
                other.answers_to(&sandbox, name) && other.state().status != SessionStatus::Ended
            })
        {
            drop(list);
            session.end();
            return Err(name_taken(name).into());
        }
        list.push(Arc::clone(&session));
        drop(list);
        Ok(session.info())
    }

    /// An empty command: its answer says that the shell is there, and takes what it has to say at its start.
    fn await_shell(&self, session: &Session) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        let task = Task {
            run: SessionRun {
                timeout_ms: Some(READY.as_millis() as u64),
                ..SessionRun::default()
            },
            token: self.random_word()?,
            answer: Box::new(move |answer| drop(sender.send(answer))),
        };
        session.give(task)?;
        let shell = &session.shell;
        let complaint = match receiver.recv() {
            Ok(Ok(result)) if result.ended.is_none() && !result.timed_out => {
                session.state().commands = 0;
                return Ok(());
            }
            Ok(Ok(result)) => {
                session.end();
                let said = result.stderr.trim().to_owned();
                let said = if said.is_empty() {
                    "nothing".to_owned()
                } else {
                    said
                };
                format!("`{shell}` does not work as the shell of a session; it said: {said}")
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(Error::internal("the thread of a session has ended").into()),
        };
        Err(Error::invalid(complaint)
            .with_hint("use bash, dash, busybox ash, or a shell like them: `--shell sh`")
            .into())
    }

    fn may_make_one(&self, sandbox: &Sandbox, wanted: &SessionCreate) -> Result<()> {
        let known: Vec<String> = self
            .registry()
            .all()
            .iter()
            .map(|one| one.record.id.to_string())
            .collect();
        let mut list = self.sessions.list();
        list.retain(|session| known.contains(&session.sandbox_id));
        let has_ended = |session: &Arc<Session>| session.state().status == SessionStatus::Ended;
        let mut surplus = list
            .iter()
            .filter(|one| has_ended(one))
            .count()
            .saturating_sub(REMEMBERED);
        list.retain(|session| {
            let goes = surplus > 0 && has_ended(session);
            surplus -= usize::from(goes);
            !goes
        });
        let own = |session: &&Arc<Session>| session.sandbox_id == sandbox.record.id.as_str();
        let living: Vec<_> = list
            .iter()
            .filter(own)
            .filter(|one| !has_ended(one))
            .collect();
        if living.len() >= IN_A_SANDBOX {
            return Err(Error::new(
                Kind::Exhausted,
                format!(
                    "sandbox `{}` has {IN_A_SANDBOX} sessions already",
                    sandbox.name()
                ),
            )
            .with_hint("end one: `shedbox session rm`")
            .into());
        }
        if let Some(name) = &wanted.name {
            if living
                .iter()
                .any(|session| session.answers_to(sandbox, name))
            {
                return Err(name_taken(name).into());
            }
            // One that has ended leaves its name to the next.
            list.retain(|session| !session.answers_to(sandbox, name));
        }
        Ok(())
    }

    /// Sessions of a sandbox, also those that have ended.
    pub fn session_list(&self, name: &str) -> Result<Vec<SessionInfo>> {
        let sandbox = self.find(name)?;
        let list = self.sessions.list();
        Ok(list
            .iter()
            .filter(|session| session.sandbox_id == sandbox.record.id.as_str())
            .map(|session| session.info())
            .collect())
    }

    /// Runs a command in a session; `answer` is called once, from another thread. A client that has gone does not end it.
    pub fn session_run(
        &self,
        name: &str,
        session: &str,
        run: SessionRun,
        answer: Answer,
    ) -> Result<()> {
        run.validate()?;
        let sandbox = self.find(name)?;
        let session = self.session(&sandbox, session)?;
        let paused = {
            let state = sandbox.state();
            state.live.as_ref().is_some_and(|live| live.is_paused())
        };
        if paused {
            return Err(
                Error::conflict(format!("sandbox `{}` is paused", sandbox.name()))
                    .with_hint(format!("`shedbox unpause {}` first", sandbox.name()))
                    .into(),
            );
        }
        let token = self.random_word()?;
        Ok(session.give(Task { run, token, answer })?)
    }

    /// Ends a session, and what came of its shell.
    pub fn session_remove(&self, name: &str, session: &str) -> Result<()> {
        let sandbox = self.find(name)?;
        let session = self.session(&sandbox, session)?;
        self.sessions
            .list()
            .retain(|other| !Arc::ptr_eq(other, &session));
        session.end();
        Ok(())
    }

    fn session(&self, sandbox: &Sandbox, name: &str) -> Result<Arc<Session>> {
        let list = self.sessions.list();
        // A name may have been that of another one, which has ended.
        let found = list.iter().rev().find(|one| one.answers_to(sandbox, name));
        found.cloned().ok_or_else(|| {
            Error::not_found(format!(
                "sandbox `{}` has no session `{}`",
                sandbox.name(),
                name.escape_debug()
            ))
            .with_hint(format!(
                "sessions end with the daemon; `shedbox session create {}` makes one",
                sandbox.name()
            ))
            .into()
        })
    }

    fn random_word(&self) -> Result<String> {
        let mut bytes = [0; 8];
        self.fill_random(&mut bytes)?;
        Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
    }
}

impl Session {
    /// Has its thread leave: init then ends what came of the shell.
    fn end(&self) {
        self.state().to_end = true;
        self.wakeup.wake();
    }
}

fn name_taken(name: &str) -> Error {
    Error::conflict(format!("the name `{name}` is taken by another session"))
        .with_hint("choose another one, or `shedbox session rm` that one first")
}

/// Starts the shell. The error's kind is `NotFound` when there is no such program.
fn start(sandbox: &Sandbox, wanted: &SessionCreate, shell: &str) -> Result<Ends, Error> {
    let pipe = || fd::pipe().doing(|| "make a pipe".to_owned());
    let (stdin, (out, err), report) = (pipe()?, (pipe()?, pipe()?), pipe()?);
    let mut env: Vec<Vec<u8>> = shell::ENV.map(|text| text.as_bytes().to_vec()).to_vec();
    env.extend(
        wanted
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}").into_bytes()),
    );
    let request = Request::Exec(ExecRequest {
        argv: shell::argv(shell),
        env,
        cwd: wanted.workdir.clone(),
        user: wanted.user.clone(),
        stdin: StdinMode::Pipe,
        stdout: true,
        stderr: true,
        report: true,
        report_start: true,
        ..ExecRequest::default()
    });
    let control = SeqPacket::connect(&sandbox.socket).doing(|| "reach init".to_owned())?;
    let theirs = [&stdin.0, &out.1, &err.1, &report.1];
    init::send_on(&control, &request, &theirs.map(AsFd::as_fd))?;
    match init::answer_on(&control)?.0 {
        Reply::Started { .. } => Ok(Ends {
            stdin: stdin.1,
            outputs: [out.0, err.0],
            report: report.0,
            control,
        }),
        Reply::Exited(result) => Err(match result.end {
            End::NotStarted(why) if why.code == 127 => Error::not_found(why.message)
                .with_hint("a session needs a shell in the image: bash, dash or busybox ash"),
            End::NotStarted(why) => Error::invalid(why.message),
            other => Error::conflict(format!(
                "the shell ended with status {} at its start",
                other.status()
            )),
        }),
        _ => Err(Error::internal(
            "init answers the start of a shell with something else",
        )),
    }
}
