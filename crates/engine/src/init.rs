//! One init as the engine sees it: a pidfd and a control socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use shedbox_linux::errno::Errno;
use shedbox_linux::pidfd;
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::control::{Attach, DieReason, InitEvent, InitStatus, Reply, Request};
use shedbox_spec::exec::ExecResult;
use shedbox_spec::landlock::LandlockInForce;

use crate::cgroup::Lease;
use crate::error::{Doing, EngineError, Result};

/// Setting up a rootfs takes a millisecond; a host in trouble gets this long.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// An init that has not ended its processes by then is killed, and the kernel ends them.
const DIE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the kernel may take to end a pid namespace.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(10);
/// For questions that init answers from memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The init of one generation.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) generation: u64,
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) warnings: Vec<String>,
    /// It shares the network namespace of its predecessor.
    pub(crate) joined: bool,
    /// The cgroup that it and its commands are in.
    pub(crate) cgroup: Option<Lease>,
    /// Its commands are stopped where they are.
    paused: AtomicBool,
    /// The Landlock domain that it and its commands are in.
    pub(crate) landlock: LandlockInForce,
    /// The watcher's name for this init.
    pub(crate) token: u64,
    /// Whoever holds it reads what init says. The watcher reads events; before an operation converses, it takes the
    /// socket away from the watcher (`Watcher::forget`).
    control: Mutex<SeqPacket>,
}

/// What arrives on a control socket.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Message {
    Event(InitEvent),
    Reply(Reply),
}

/// How starting the main process went.
pub(crate) enum MainStart {
    Started,
    /// It could not be started, or has ended already.
    Over(ExecResult),
}

impl Init {
    /// Waits until a new init has set its rootfs up.
    pub(crate) fn await_ready(
        sandbox: &str,
        generation: u64,
        token: u64,
        (pid, pidfd): (i32, OwnedFd),
        control: SeqPacket,
    ) -> Result<Self> {
        let mut init = Self {
            generation,
            pid,
            pidfd,
            warnings: Vec::new(),
            joined: false,
            cgroup: None,
            paused: AtomicBool::new(false),
            landlock: LandlockInForce::default(),
            token,
            control: Mutex::new(control),
        };
        let outcome = match init.receive(Instant::now() + READY_TIMEOUT) {
            Ok(Some(Message::Event(InitEvent::Ready { warnings, landlock }))) => {
                init.warnings = warnings;
                init.landlock = landlock;
                return Ok(init);
            }
            Ok(Some(Message::Event(InitEvent::Failed(failure)))) => EngineError::Generation {
                sandbox: sandbox.to_owned(),
                failure,
            },
            Ok(Some(_)) => protocol("said something else than that it is ready"),
            Ok(None) => protocol("ended while it set its file system up"),
            Err(error) => error,
        };
        init.destroy();
        Err(outcome)
    }

    /// An init that another daemon started, with a connection to its sandbox socket in place of a control socket.
    pub(crate) fn adopt(
        generation: u64,
        token: u64,
        (pid, pidfd): (i32, OwnedFd),
        connection: SeqPacket,
    ) -> Self {
        Self {
            generation,
            pid,
            pidfd,
            warnings: Vec::new(),
            joined: false,
            cgroup: None,
            paused: AtomicBool::new(false),
            landlock: LandlockInForce::default(),
            token,
            control: Mutex::new(connection),
        }
    }

    /// From now on init accepts connections. It does not answer; connections wait in the socket's queue until then.
    pub(crate) fn activate(&self) -> Result<()> {
        self.send(&Request::Activate)
    }

    /// Starts the main process without a client attached to it.
    pub(crate) fn start_main(&self) -> Result<MainStart> {
        self.send(&Request::StartMain(Attach {
            detach: true,
            ..Attach::default()
        }))?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            match self.receive(deadline)? {
                Some(Message::Reply(Reply::Started { .. })) => return Ok(MainStart::Started),
                Some(
                    Message::Reply(Reply::Exited(result))
                    | Message::Event(InitEvent::MainExited { result }),
                ) => return Ok(MainStart::Over(result)),
                Some(Message::Reply(Reply::Failed(error))) => return Err(error.into()),
                Some(_) => {}
                None => return Err(protocol("ended while it started the main process")),
            }
        }
    }

    /// Asks the main process to end and waits until the generation is over. Returns how the main process ended, when
    /// init says so. The watcher must not listen to this init.
    pub(crate) fn stop(&self, signal: i32, timeout: Duration) -> Result<Option<ExecResult>> {
        let request = Request::Stop {
            signal,
            timeout_ms: timeout.as_millis() as u64,
        };
        self.finish(&request, timeout + ANSWER_TIMEOUT)
    }

    /// Ends every process of the generation. When this returns, none is left but perhaps init itself, which is on its
    /// way out. The watcher must not listen to this init.
    pub(crate) fn die(&self, reason: DieReason) -> Result<Option<ExecResult>> {
        self.finish(&Request::Die { reason }, DIE_TIMEOUT)
    }

    fn finish(&self, request: &Request, patience: Duration) -> Result<Option<ExecResult>> {
        let mut result = None;
        let mut done = false;
        if self.send(request).is_ok() {
            let deadline = Instant::now() + patience;
            loop {
                match self.receive(deadline) {
                    Ok(Some(Message::Event(InitEvent::MainExited { result: end }))) => {
                        result = Some(end);
                    }
                    Ok(Some(Message::Reply(Reply::Done))) => {
                        done = true;
                        break;
                    }
                    Ok(Some(Message::Reply(Reply::Failed(error)))) => {
                        tracing::warn!(
                            pid = self.pid,
                            error = error.message,
                            "init refuses to end its generation"
                        );
                        break;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(
                            pid = self.pid,
                            error = shedbox_spec::error::chain(&error),
                            "ending a generation by force"
                        );
                        break;
                    }
                }
            }
        }
        if !done {
            self.destroy_and_wait()?;
        }
        Ok(result)
    }

    /// Sends SIGKILL: the kernel ends all processes of its pid namespace.
    pub(crate) fn destroy(&self) {
        if let Err(error) = pidfd::kill(self.pidfd.as_fd()) {
            tracing::warn!(
                pid = self.pid,
                error = error.to_string(),
                "cannot kill an init"
            );
        }
    }

    /// The same, and waits until all of them are gone.
    pub(crate) fn destroy_and_wait(&self) -> Result<()> {
        self.destroy();
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        if pidfd::wait(self.pidfd.as_fd(), Some(KERNEL_TIMEOUT))
            .doing(|| "wait for an init".to_owned())?
        {
            Ok(())
        } else {
            Err(protocol("does not end although it was killed"))
        }
    }

    /// Whether its commands are stopped where they are.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    /// Waits so long for its end; whether it has come.
    pub(crate) fn ends_within(&self, patience: Duration) -> bool {
        pidfd::wait(self.pidfd.as_fd(), Some(patience)).unwrap_or(true)
    }

    /// For the watcher: the next message without waiting; `None` when there is none now, `Err` when the other end has
    /// gone or an operation is reading.
    pub(crate) fn poll_message(&self) -> Result<Option<Message>, Silent> {
        let Ok(control) = self.control.try_lock() else {
            return Err(Silent::Busy);
        };
        match control.try_recv() {
            Ok(Some(frame)) => match serde_json::from_slice(&frame.bytes) {
                Ok(message) => Ok(Some(message)),
                Err(error) => {
                    tracing::warn!(
                        pid = self.pid,
                        error = error.to_string(),
                        "an init speaks another language"
                    );
                    Err(Silent::Gone)
                }
            },
            Err(error) if error.errno == Errno::EAGAIN => Ok(None),
            Ok(None) | Err(_) => Err(Silent::Gone),
        }
    }

    /// For the watcher's set.
    pub(crate) fn with_control<T>(&self, action: impl FnOnce(&SeqPacket) -> T) -> T {
        action(&self.control.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, request: &Request) -> Result<()> {
        let text = encode(request)?;
        self.with_control(|control| control.send(&text, &[]))
            .doing(|| "talk to init".to_owned())
    }

    fn receive(&self, deadline: Instant) -> Result<Option<Message>> {
        self.with_control(|control| receive(control, deadline))
    }
}

/// Why the watcher gets no message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Silent {
    Busy,
    Gone,
}

/// Asks init on a connection of its own, as any client does.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Reply> {
    let connection = SeqPacket::connect(socket).doing(|| "reach init".to_owned())?;
    ask_on(&connection, request).map(|(reply, _)| reply)
}

/// The same on a connection that is there already. Gives the descriptor that came with the answer.
pub(crate) fn ask_on(
    connection: &SeqPacket,
    request: &Request,
) -> Result<(Reply, Option<OwnedFd>)> {
    send_on(connection, request, &[])?;
    answer_on(connection)
}

/// Sends a request with descriptors.
pub(crate) fn send_on(
    connection: &SeqPacket,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    connection
        .send(&encode(request)?, fds)
        .doing(|| "talk to init".to_owned())
}

/// The answer to it, which is due now.
pub(crate) fn answer_on(connection: &SeqPacket) -> Result<(Reply, Option<OwnedFd>)> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let Some(mut frame) = receive_frame(connection, deadline)? else {
        return Err(protocol("went away instead of answering"));
    };
    match serde_json::from_slice(&frame.bytes).map_err(|error| protocol_json(&error))? {
        Reply::Failed(error) => Err(error.into()),
        reply => Ok((reply, frame.fds.pop())),
    }
}

/// What the init behind a connection is.
pub(crate) fn status(connection: &SeqPacket) -> Result<InitStatus> {
    match ask_on(connection, &Request::Status)?.0 {
        Reply::Status(status) => Ok(status),
        _ => Err(protocol("does not say what it is")),
    }
}

fn encode(request: &Request) -> Result<Vec<u8>> {
    serde_json::to_vec(request).map_err(|error| protocol_json(&error))
}

fn receive(control: &SeqPacket, deadline: Instant) -> Result<Option<Message>> {
    match receive_frame(control, deadline)? {
        Some(frame) => serde_json::from_slice(&frame.bytes)
            .map(Some)
            .map_err(|error| protocol_json(&error)),
        None => Ok(None),
    }
}

fn receive_frame(
    control: &SeqPacket,
    deadline: Instant,
) -> Result<Option<shedbox_linux::seqpacket::Frame>> {
    let left = deadline.saturating_duration_since(Instant::now());
    if !pidfd::readable(control, Some(left)).doing(|| "wait for init".to_owned())? {
        return Err(protocol("does not answer"));
    }
    match control.recv() {
        // A peer that was killed with unread data in its queue.
        Err(error) if error.errno == Errno::ECONNRESET => Ok(None),
        other => other.doing(|| "hear init".to_owned()),
    }
}

fn protocol(complaint: &str) -> EngineError {
    EngineError::Protocol {
        party: "init".to_owned(),
        complaint: complaint.to_owned(),
    }
}

fn protocol_json(error: &serde_json::Error) -> EngineError {
    protocol(&format!("speaks another language: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_replies_are_told_apart() {
        let event = serde_json::to_string(&InitEvent::Ready {
            warnings: vec!["w".into()],
            landlock: LandlockInForce::default(),
        })
        .unwrap();
        assert!(matches!(
            serde_json::from_str(&event).unwrap(),
            Message::Event(InitEvent::Ready { .. })
        ));
        let reply = serde_json::to_string(&Reply::Done).unwrap();
        assert!(matches!(
            serde_json::from_str(&reply).unwrap(),
            Message::Reply(Reply::Done)
        ));
        let reply = serde_json::to_string(&Reply::Started { pid: 2 }).unwrap();
        assert!(matches!(
            serde_json::from_str(&reply).unwrap(),
            Message::Reply(Reply::Started { pid: 2 })
        ));
    }
}
