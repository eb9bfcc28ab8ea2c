//! The thread of a session: it holds the shell's descriptors, gives it one command after the other, and reads what comes.
//!
//! Output is read also while no command runs, so that what was left in the background is never held up; it comes with
//! the next answer. An answer is due when the report has arrived, whoever still holds the pipes: what is in them at that
//! moment was written before.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shedbox_linux::epoll::Wakeup;
use shedbox_linux::fd;
use shedbox_linux::poll::{Interest, poll};
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_spec::control::{FollowUp, Reply};
use shedbox_spec::exec::{End, Killer};
use shedbox_spec::session::{
    DEFAULT_GRACE_MS, DEFAULT_OUTPUT_LIMIT, SessionResult, SessionRun, SessionStatus,
};
use shedbox_spec::{Error, signal};

use super::output::Output;
use super::shell;
use super::{Answer, Session};

/// SIGINT.
const INTERRUPT: i32 = 2;
/// How often a shell that does not come back after its command was killed is interrupted again.
const AGAIN: Duration = Duration::from_millis(250);
/// So often; then it is ended.
const ATTEMPTS: u32 = 20;
/// Most of one stream that is read at once: no pipe of an ordinary user holds more.
const AT_ONCE: usize = 1 << 20;
/// A report is a path and a few words.
const REPORT_MAX: usize = 64 << 10;
/// The exit status of a command that ran out of time: timeout(1)'s.
const TIMED_OUT: u8 = 124;

/// The daemon's ends.
pub(super) struct Ends {
    pub(super) stdin: OwnedFd,
    pub(super) outputs: [OwnedFd; 2],
    pub(super) report: OwnedFd,
    pub(super) control: SeqPacket,
}

/// A command for the worker.
pub(super) struct Task {
    pub(super) run: SessionRun,
    pub(super) token: String,
    pub(super) answer: Answer,
}

/// A command under way.
struct Current {
    task: Task,
    /// For the shell, once init has done what it was told: noted what runs already, or sent an interrupt.
    line: Option<String>,
    /// What init has been told and has not done.
    awaited: u32,
    /// When something is to be done about it.
    deadline: Option<Instant>,
    /// Interrupts so far; with the first one, its time was over.
    attempts: u32,
}

pub(super) struct Worker {
    session: Arc<Session>,
    ends: Ends,
    /// For the shell, not written yet.
    pending: Vec<u8>,
    outputs: [Option<Output>; 2],
    open: [bool; 2],
    reported: Vec<u8>,
    current: Option<Current>,
    last_status: u8,
}

impl Worker {
    pub(super) fn new(session: Arc<Session>, ends: Ends) -> shedbox_linux::Result<Self> {
        for end in [
            &ends.stdin,
            &ends.outputs[0],
            &ends.outputs[1],
            &ends.report,
        ] {
            fd::set_nonblocking(end)?;
        }
        Ok(Self {
            session,
            ends,
            pending: Vec::new(),
            outputs: [None, None],
            open: [true, true],
            reported: Vec::new(),
            current: None,
            last_status: 0,
        })
    }

    /// Serves until the shell has ended.
    pub(super) fn serve(mut self, wakeup: &Wakeup) {
        let end = loop {
            if let Some(end) = self.round(wakeup) {
                break end;
            }
        };
        self.drain();
        let ended_by_itself = !matches!(end, End::Reset | End::Stopped | End::Removed { .. });
        let current = self.current.take();
        self.session.has_ended(&end);
        // One that was given and not begun.
        if let Some(task) = self.session.take_task() {
            (task.answer)(Err(self.session.gone()));
        }
        if let Some(current) = current {
            let answer = if ended_by_itself {
                let timed_out = current.attempts > 0;
                let code = if timed_out { TIMED_OUT } else { end.status() };
                Ok(self.result(timed_out, code, Some(end)))
            } else {
                Err(self.session.gone())
            };
            (current.task.answer)(answer);
        }
    }

    /// Waits for something and does it; how the shell ended, when it has.
    fn round(&mut self, wakeup: &Wakeup) -> Option<End> {
        let interest = |fd, read, write| Interest { fd, read, write };
        let timeout = self
            .current
            .as_ref()
            .and_then(|current| current.deadline)
            .map(|at| at.saturating_duration_since(Instant::now()));
        let mut interests = vec![
            interest(self.ends.control.as_fd(), true, false),
            interest(wakeup.as_fd(), true, false),
            interest(self.ends.report.as_fd(), true, false),
        ];
        // One that has hung up would be ready for ever.
        for (output, open) in self.ends.outputs.iter().zip(self.open) {
            if open {
                interests.push(interest(output.as_fd(), true, false));
            }
        }
        if !self.pending.is_empty() {
            interests.push(interest(self.ends.stdin.as_fd(), false, true));
        }
        let seen = match poll(&interests, timeout) {
            Ok(seen) => seen,
            Err(error) => return Some(lost(&error.to_string())),
        };
        drop(interests);
        if seen[1].any() {
            wakeup.clear();
            if self.session.is_to_end() {
                return Some(End::Signaled {
                    signal: signal::KILL,
                    by: Killer::Client,
                });
            }
            self.begin();
        }
        self.write();
        self.drain();
        if seen[2].any() {
            self.hear_reports();
        }
        if seen[0].any()
            && let Some(end) = self.hear_init()
        {
            return Some(end);
        }
        self.keep_deadline(Instant::now())
    }

    fn begin(&mut self) {
        let Some(task) = self.session.take_task() else {
            return;
        };
        let run = &task.run;
        let line = shell::line(
            &run.command,
            run.stdin.as_deref(),
            self.last_status,
            &task.token,
        );
        let limit = run.output_limit.unwrap_or(DEFAULT_OUTPUT_LIMIT) as usize;
        for output in &mut self.outputs {
            *output = Some(match output.take() {
                Some(before) => before.limited_to(limit),
                None => Output::new(limit),
            });
        }
        let began = Instant::now();
        // So that what runs already can be told from what comes of the command.
        self.tell_init(&FollowUp::NoteOffspring);
        self.current = Some(Current {
            line: Some(line),
            awaited: 1,
            deadline: run
                .timeout_ms
                .and_then(|ms| began.checked_add(Duration::from_millis(ms))),
            task,
            attempts: 0,
        });
    }

    fn write(&mut self) {
        while !self.pending.is_empty() {
            match fd::write(&self.ends.stdin, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                // Full, or the shell has gone: then init says so.
                Err(_) => return,
            }
        }
    }

    /// Takes what is in the pipes.
    fn drain(&mut self) {
        for index in 0..2 {
            let mut chunk = [0; 16 << 10];
            let mut taken = 0;
            while self.open[index] && taken < AT_ONCE {
                match fd::read(&self.ends.outputs[index], &mut chunk) {
                    Ok(0) => self.open[index] = false,
                    Ok(count) => {
                        taken += count;
                        if index == 1 && chunk[..count] == *shell::NO_END {
                            if self.current.is_none() {
                                self.pending.extend_from_slice(shell::NOTHING);
                            }
                            continue;
                        }
                        self.outputs[index]
                            .get_or_insert_with(|| Output::new(DEFAULT_OUTPUT_LIMIT as usize))
                            .push(&chunk[..count]);
                    }
                    Err(_) => break,
                }
            }
        }
    }

    fn hear_reports(&mut self) {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = fd::read(&self.ends.report, &mut chunk) {
            self.reported.extend_from_slice(&chunk[..count]);
            while let Some(end) = self.reported.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.reported.drain(..=end).collect();
                if let Some(report) = shell::parse(&frame[..end]) {
                    self.hear(report);
                }
            }
            if self.reported.len() > REPORT_MAX {
                self.reported.clear();
            }
        }
    }

    /// A report that nobody waits for is that of an interrupted command which ended by itself.
    fn hear(&mut self, report: shell::Report) {
        let fits = |current: &mut Current| current.expected() == report.token;
        let Some(current) = self.current.take_if(fits) else {
            return;
        };
        // What the command wrote was written before.
        self.drain();
        let timed_out = current.attempts > 0;
        let code = if timed_out { TIMED_OUT } else { report.status };
        if timed_out {
            // What the interrupt did not concern, because it is in the background.
            let signal = signal::KILL;
            self.tell_init(&FollowUp::SignalOffspring { signal });
        }
        self.last_status = code;
        self.session.is_idle(report.cwd);
        let result = self.result(timed_out, code, None);
        (current.task.answer)(Ok(result));
    }

    fn result(&mut self, timed_out: bool, exit_code: u8, ended: Option<End>) -> SessionResult {
        let [(stdout, stdout_cut), (stderr, stderr_cut)] = [0, 1].map(|index: usize| {
            self.outputs[index]
                .take()
                .map_or_else(Default::default, Output::take)
        });
        SessionResult {
            exit_code,
            stdout,
            stderr,
            truncated: stdout_cut + stderr_cut > 0,
            stdout_cut,
            stderr_cut,
            cwd: self.session.cwd(),
            timed_out,
            ended,
        }
    }

    fn hear_init(&mut self) -> Option<End> {
        match self.ends.control.try_recv() {
            Ok(Some(frame)) => match serde_json::from_slice(&frame.bytes) {
                Ok(Reply::Exited(result)) => Some(result.end),
                Ok(Reply::Done) => {
                    let line = self.current.as_mut().and_then(|current| {
                        current.awaited = current.awaited.saturating_sub(1);
                        current.line.take_if(|_| current.awaited == 0)
                    });
                    self.pending
                        .extend_from_slice(line.unwrap_or_default().as_bytes());
                    self.write();
                    None
                }
                _ => None,
            },
            Err(error) if error.errno == shedbox_linux::errno::Errno::EAGAIN => None,
            // The whole generation was killed.
            Ok(None) | Err(_) => Some(End::Stopped),
        }
    }

    /// Interrupts what has run out of time, kills what does not mind, and gives a shell up that does not come back.
    fn keep_deadline(&mut self, now: Instant) -> Option<End> {
        let current = self.current.as_mut()?;
        if current.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        if current.attempts > ATTEMPTS {
            return Some(End::Signaled {
                signal: signal::KILL,
                by: Killer::Client,
            });
        }
        let first = current.attempts == 0;
        current.attempts += 1;
        let grace = current.task.run.grace_ms.unwrap_or(DEFAULT_GRACE_MS);
        let patience = if first {
            Duration::from_millis(grace)
        } else {
            AGAIN
        };
        current.deadline = now.checked_add(patience);
        // Not before the signals are sent: a shell that is on its way back from the last one would answer at once, and the
        // next command would meet the interrupt.
        current.line = Some(shell::probe(&current.expected()));
        current.awaited += 1;
        let offspring = |signal| FollowUp::SignalOffspring { signal };
        // bash goes back to its next line when it has had the signal by the time its child ends by the same; a child that
        // ends otherwise has dealt with it, as bash sees it.
        let mut signals = vec![FollowUp::Signal { signal: INTERRUPT }, offspring(INTERRUPT)];
        if !first {
            signals.push(offspring(signal::KILL));
        }
        signals.push(FollowUp::Settle);
        for follow_up in signals {
            self.tell_init(&follow_up);
        }
        None
    }

    fn tell_init(&self, follow_up: &FollowUp) {
        if let Ok(text) = serde_json::to_vec(follow_up) {
            // An init that has gone is heard of next.
            let _ = self.ends.control.try_send(&text, &[]);
        }
    }
}

impl Current {
    /// The token of the report that ends it: after an interrupt, that of the last probe.
    fn expected(&self) -> String {
        match self.attempts {
            0 => self.task.token.clone(),
            attempt => format!("{}.{attempt}", self.task.token),
        }
    }
}

fn lost(why: &str) -> End {
    tracing::warn!(why, "a session is given up");
    End::Stopped
}

/// The answer when a session cannot be used any more.
pub(super) fn gone(session: &str, sandbox: &str, end: &End) -> Error {
    let why = match end {
        End::Exited { code } => format!("its shell exited with status {code}"),
        End::Reset => "the sandbox was reset".to_owned(),
        End::Stopped => "the sandbox does not run any more".to_owned(),
        End::Removed { .. } => "the sandbox was removed".to_owned(),
        End::Signaled { signal, .. } => format!("its shell was ended by signal {signal}"),
        other => format!("its shell ended with status {}", other.status()),
    };
    Error::conflict(format!("session `{session}` has ended: {why}")).with_hint(format!(
        "make another one: `shedbox session create {sandbox}`"
    ))
}

impl Session {
    /// The error for who comes too late.
    pub(super) fn gone(&self) -> Error {
        let end = self.state().ended.clone().unwrap_or(End::Stopped);
        gone(self.label(), &self.sandbox, &end)
    }

    fn has_ended(&self, end: &End) {
        let mut state = self.state();
        state.status = SessionStatus::Ended;
        state.ended = Some(end.clone());
    }

    fn is_idle(&self, cwd: String) {
        let mut state = self.state();
        state.status = SessionStatus::Idle;
        state.cwd = cwd;
    }
}
