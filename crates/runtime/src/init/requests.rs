//! What clients ask of init.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use shedbox_linux::seqpacket::Frame;
use shedbox_linux::{fd, pty};
use shedbox_spec::Error;
use shedbox_spec::control::DieReason;
use shedbox_spec::control::{FollowUp, InitStatus, PROTOCOL_VERSION, Reply, Request};
use shedbox_spec::exec::{DEFAULT_GRACE_MS, End, ExecRequest, Killer, StdinMode, TtySize};

use super::{AT_ONCE, Init, Role};
use crate::denials::Denials;
use crate::exec::{Around, Asked, Exec, result};
use crate::group::{Groups, Leaf};
use crate::launch::{Launch, Streams, launch, probe};
use crate::{files, stats};

impl Init {
    /// Reads what a connection has to say, all of it.
    pub(super) fn hear(&mut self, id: u32) {
        for _ in 0..AT_ONCE {
            let Some(connection) = self.connections.get(id) else {
                return;
            };
            match connection.socket.try_recv() {
                Ok(Some(frame)) => {
                    let role = connection.role;
                    self.take(id, role, frame);
                }
                Err(error) if error.errno == shedbox_linux::errno::Errno::EAGAIN => return,
                Ok(None) | Err(_) => return self.lost(id),
            }
            if self.over {
                return;
            }
        }
    }

    /// A connection has ended. What ran in its foreground ends with it.
    fn lost(&mut self, id: u32) {
        if let Some(exec) = self.execs.of_connection(id) {
            exec.kill(&self.around.proc);
            exec.connection = None;
            exec.master = None;
        }
        if let Some(main) = &mut self.main {
            main.forget(id);
        }
        if let Some(connection) = self.connections.get(id)
            && let Role::Files { pid } = connection.role
        {
            let _ = shedbox_linux::process::signal(pid, 9); // it has ended already otherwise
        }
        self.connections.close(id);
        // The daemon that asked for this spare has gone before it was needed.
        if id == 0 && !self.active {
            self.over = true;
        }
    }

    fn take(&mut self, id: u32, role: Role, frame: Frame) {
        match role {
            Role::Asking => match serde_json::from_slice(&frame.bytes) {
                Ok(request) => self.request(id, request, frame.fds),
                Err(error) => {
                    self.refuse(id, Error::invalid(format!("unreadable request: {error}")));
                }
            },
            Role::Exec | Role::Follower => match serde_json::from_slice(&frame.bytes) {
                Ok(follow_up) => self.follow_up(id, role, &follow_up),
                Err(_) => self.lost(id), // a client that breaks the protocol is treated as gone
            },
            Role::Stopper | Role::Files { .. } => self.lost(id),
        }
    }

    pub(super) fn refuse(&mut self, id: u32, error: Error) {
        self.connections.reply(id, &Reply::Failed(error), &[]);
    }

    fn request(&mut self, id: u32, request: Request, fds: Vec<OwnedFd>) {
        if self.stopping.is_some() && !matches!(request, Request::Die { .. } | Request::Status) {
            return self.refuse(id, Error::conflict("the sandbox is stopping"));
        }
        if self.paused
            && matches!(
                request,
                Request::Exec(_) | Request::StartMain(_) | Request::Features
            )
        {
            let error =
                Error::conflict("the sandbox is paused, unpause it before running a command")
                    .with_hint("`shedbox unpause` and the name of the sandbox");
            return self.refuse(id, error);
        }
        match request {
            Request::Pause { paused } => {
                let reply = if self.groups.is_some() {
                    self.paused = paused;
                    Reply::Done
                } else {
                    Reply::Failed(Error::conflict("the sandbox has no cgroup to freeze"))
                };
                self.connections.reply(id, &reply, &[]);
            }
            Request::Activate => {
                let ready = fd::set_nonblocking(&self.listener);
                self.active = ready.is_ok();
            }
            Request::Exec(request) => self.exec(id, &request, fds),
            Request::StartMain(attach) => self.start_main(id, attach, fds),
            Request::Attach(attach) => self.attach(id, attach, fds),
            Request::Files(request) => {
                match files::start(&request, fds, self.connections.get(id)) {
                    Ok(pid) => self.set_role(id, Role::Files { pid }),
                    Err(error) => self.refuse(id, error),
                }
            }
            Request::Features => self.features(id),
            Request::Stats => {
                let stats = stats::read(&self.around.proc);
                self.connections.reply(id, &Reply::Stats(stats), &[]);
            }
            Request::Denials => {
                let seen = self.denials.as_ref().map(Denials::list);
                self.connections.reply(id, &Reply::Denials { seen }, &[]);
            }
            Request::Status => {
                let status = self.status();
                self.connections.reply(id, &Reply::Status(status), &[]);
            }
            Request::Kill { signal } => {
                let main = self.main.as_mut().filter(|main| main.result.is_none());
                let pid = main.map(|main| {
                    main.asked = Some(by_client(signal));
                    main.pid
                });
                let reply = match pid.map(|pid| shedbox_linux::process::signal(pid, signal)) {
                    None => Reply::Failed(Error::conflict("there is no main process that runs")),
                    Some(Err(errno)) => {
                        Reply::Failed(Error::invalid(format!("signal {signal}: {}", errno.desc())))
                    }
                    Some(Ok(())) => Reply::Done,
                };
                self.connections.reply(id, &reply, &[]);
            }
            Request::Stop { signal, timeout_ms } => {
                self.set_role(id, Role::Stopper);
                self.stop(signal, Duration::from_millis(timeout_ms));
            }
            Request::Die { reason } => {
                self.set_role(id, Role::Stopper);
                self.die(reason);
            }
        }
    }

    pub(super) fn set_role(&mut self, id: u32, role: Role) {
        if let Some(connection) = self.connections.get(id) {
            connection.role = role;
        }
    }

    fn status(&self) -> InitStatus {
        InitStatus {
            version: PROTOCOL_VERSION,
            sandbox: self.around.spec.sandbox.clone(),
            generation: self.around.spec.generation,
            main_pid: self.main.as_ref().map(|main| main.pid),
            main_result: self.main.as_ref().and_then(|main| main.result.clone()),
            execs: self.execs.count() as u32,
            landlock: self.around.landlock.clone(),
            clients: self.connections.list.len().saturating_sub(1) as u32,
            paused: self.paused,
        }
    }

    fn exec(&mut self, id: u32, request: &ExecRequest, fds: Vec<OwnedFd>) {
        let flags = [
            request.stdin == StdinMode::Pipe,
            request.stdout,
            request.stderr,
            request.report,
        ];
        let given = match streams(flags, request.tty.is_some(), fds) {
            Ok(given) => given,
            Err(error) => return self.refuse(id, error),
        };
        let terminal = match open_terminal(request.tty, &self.around.pts) {
            Ok(terminal) => terminal,
            Err(error) => return self.refuse(id, error),
        };
        let (number, tag) = self.execs.next_tag();
        let streams = match &terminal {
            Some((_, slave)) => Streams::Terminal(slave.as_fd()),
            None => Streams::Separate(
                [0, 1, 2].map(|index: usize| given[index].as_ref().map(AsFd::as_fd)),
            ),
        };
        let leaf = match self.groups.as_mut().map(Groups::take).transpose() {
            Ok(leaf) => leaf,
            Err(error) => return self.refuse(id, no_leaf(&error)),
        };
        let what = Launch {
            argv: &request.argv,
            env: &request.env,
            cwd: request.cwd.as_deref(),
            user: request.user.as_deref(),
            streams,
            further: given[3].as_ref().map(AsFd::as_fd),
            tag,
            cgroup: leaf.as_ref().map(Leaf::dir),
        };
        let started = Instant::now();
        match launch(&what, &self.around, &mut self.stack) {
            Err(end) => {
                self.connections
                    .reply(id, &Reply::Exited(result(end, started, None)), &[]);
                self.discard(leaf);
            }
            Ok(child) => {
                let master = terminal.map(|(master, _)| master);
                if request.report_start || request.detach || master.is_some() {
                    let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
                    self.connections
                        .reply(id, &Reply::Started { pid: child.pid }, &fds);
                }
                if !request.detach {
                    self.set_role(id, Role::Exec);
                }
                self.execs.add(Exec {
                    number,
                    tag,
                    leaf,
                    pid: child.pid,
                    connection: (!request.detach).then_some(id),
                    started,
                    deadline: request
                        .timeout_ms
                        .map(|timeout| started + Duration::from_millis(timeout)),
                    grace: Duration::from_millis(request.grace_ms.unwrap_or(DEFAULT_GRACE_MS)),
                    timed_out: false,
                    asked: None,
                    noted: Vec::new(),
                    whole: request.report,
                    master,
                });
            }
        }
    }

    /// A process is started as a command is, and looks at itself instead of executing a program. It is reaped as an
    /// orphan is: nobody waits for it.
    fn features(&mut self, id: u32) {
        let (_, tag) = self.execs.next_tag();
        let what = Launch {
            argv: &[b"features".to_vec()],
            env: &[],
            cwd: None,
            user: None,
            streams: Streams::Separate([None, None, None]),
            further: None,
            tag,
            cgroup: None,
        };
        let reply = match probe(&what, &self.around, &mut self.stack) {
            Ok(probe) => Reply::Features(Box::new(probe)),
            Err(End::NotStarted(why)) => Reply::Failed(Error::internal(why.message)),
            Err(_) => Reply::Failed(Error::internal("the process that looks has not started")),
        };
        self.connections.reply(id, &reply, &[]);
    }

    fn follow_up(&mut self, id: u32, role: Role, follow_up: &FollowUp) {
        let main = self
            .main
            .as_mut()
            .filter(|main| role == Role::Follower && main.result.is_none());
        match follow_up {
            FollowUp::Signal { signal } => {
                let asked = Some(by_client(*signal));
                let pid = if let Some(exec) = self.execs.of_connection(id) {
                    exec.asked = asked;
                    Some(exec.pid)
                } else {
                    main.map(|main| {
                        main.asked = asked;
                        main.pid
                    })
                };
                if let Some(pid) = pid {
                    let _ = shedbox_linux::process::signal(pid, *signal); // it may have just ended
                }
            }
            FollowUp::NoteOffspring => {
                if let Some(exec) = self.execs.of_connection(id) {
                    exec.note_offspring(&self.around.proc);
                    self.connections.reply(id, &Reply::Done, &[]);
                }
            }
            FollowUp::SignalOffspring { signal } => {
                if let Some(exec) = self.execs.of_connection(id) {
                    exec.signal_offspring(&self.around.proc, *signal);
                }
            }
            FollowUp::Settle => {
                if self.execs.of_connection(id).is_some() {
                    self.connections.reply(id, &Reply::Done, &[]);
                }
            }
            FollowUp::Resize(size) => {
                let master = main.and_then(|main| main.master.as_ref());
                let exec = self
                    .execs
                    .of_connection(id)
                    .and_then(|exec| exec.master.as_ref());
                if let Some(master) = exec.or(master) {
                    let _ = pty::set_size(master, size.rows, size.cols); // the terminal may have just gone
                }
            }
            FollowUp::Detach => {
                if let Some(exec) = self.execs.of_connection(id) {
                    exec.connection = None;
                }
                if let Some(main) = &mut self.main {
                    main.take_rest(id);
                    main.forget(id);
                }
                self.connections.close(id);
            }
        }
    }

    /// SIGTERM, SIGKILL and the end of the time to live.
    pub(super) fn keep_deadlines(&mut self, now: Instant) {
        self.execs.keep_deadlines(now, &self.around.proc);
        if self.accepts_again.is_some_and(|at| at <= now) {
            self.accepts_again = None;
        }
        if self
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.deadline.is_some_and(|at| at <= now))
        {
            self.stop_now();
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            self.expires = None;
            self.die(DieReason::Lifetime);
        }
    }

    /// A child has been reaped: a command, the main process, a file operation, or an orphan.
    pub(super) fn child_ended(&mut self, ended: &shedbox_linux::process::Ended) {
        if let Some(exec) = self.execs.take_ended(ended.pid) {
            if exec.timed_out || exec.whole {
                // Whatever a command that timed out left of its tree had its SIGTERM together with it.
                exec.kill(&self.around.proc);
            }
            if let Some(connection) = exec.connection {
                let result = exec.result(ended, &self.around());
                self.set_role(connection, Role::Asking);
                self.connections
                    .reply(connection, &Reply::Exited(result), &[]);
            }
            return self.discard(exec.leaf);
        }
        if self
            .main
            .as_ref()
            .is_some_and(|main| main.pid == ended.pid && main.result.is_none())
        {
            return self.main_ended(ended);
        }
        if let Some(groups) = &mut self.groups {
            groups.orphan_ended();
        }
        let files = self
            .connections
            .list
            .iter()
            .find(|connection| connection.role == Role::Files { pid: ended.pid });
        if let Some(id) = files.map(|connection| connection.id) {
            self.set_role(id, Role::Asking);
            if ended.code() != Some(0) {
                self.refuse(
                    id,
                    Error::internal("the process that serves files has died"),
                );
            }
        }
    }

    /// The cgroup of a command that has ended.
    fn discard(&mut self, leaf: Option<Leaf>) {
        if let (Some(groups), Some(leaf)) = (&mut self.groups, leaf) {
            groups.discard(leaf);
        }
    }

    /// What the causes of ends are looked for in.
    pub(super) fn around(&self) -> Around<'_> {
        let kept = self.around.spec.disk.filter(|room| room.by_file_system);
        Around {
            groups: self.groups.as_ref(),
            room: kept.map(|room| (&self.around.root, room)),
        }
    }

    /// What a command whose sandbox goes away is told.
    pub(super) fn cut_short(&mut self, end: &End) {
        for exec in self.execs.take_all() {
            if let Some(connection) = exec.connection {
                self.connections.reply(
                    connection,
                    &Reply::Exited(exec.cut_short(end.clone())),
                    &[],
                );
            }
        }
    }
}

pub(super) fn no_leaf(error: &shedbox_linux::Error) -> Error {
    Error::new(
        shedbox_spec::Kind::Exhausted,
        format!("cannot make a cgroup for the command: {error}"),
    )
    .with_hint("raise cgroup.max.descendants above the sandboxes, or end background processes")
}

fn by_client(signal: i32) -> Asked {
    Asked {
        signal,
        by: Killer::Client,
    }
}

/// Sorts descriptors to streams by the flags of a request. Only pipes and sockets are taken: anything else could be
/// opened anew from inside through /proc/self/fd, with other rights than it was given with.
pub(super) fn streams<const COUNT: usize>(
    flags: [bool; COUNT],
    terminal: bool,
    fds: Vec<OwnedFd>,
) -> Result<[Option<OwnedFd>; COUNT], Error> {
    let expected = flags.iter().filter(|flag| **flag).count();
    if fds.len() != expected {
        return Err(Error::invalid(format!(
            "{} descriptors instead of {expected}",
            fds.len()
        )));
    }
    if terminal && expected > 0 {
        return Err(Error::invalid(
            "a command with a terminal takes no descriptors",
        ));
    }
    if !fds
        .iter()
        .all(|descriptor| fd::is_stream(descriptor).unwrap_or(false))
    {
        return Err(Error::new(
            shedbox_spec::Kind::Denied,
            "standard streams must be pipes or sockets",
        ));
    }
    let mut fds = fds.into_iter();
    Ok(flags.map(|flag| if flag { fds.next() } else { None }))
}

pub(super) fn open_terminal(
    size: Option<TtySize>,
    pts: &OwnedFd,
) -> Result<Option<(OwnedFd, OwnedFd)>, Error> {
    let Some(size) = size else { return Ok(None) };
    let (master, slave) = pty::open(pts).map_err(|error| Error::internal(error.to_string()))?;
    pty::set_size(&master, size.rows, size.cols)
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(Some((master, slave)))
}
