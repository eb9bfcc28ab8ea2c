//! How a generation ends: its main process ends, it is stopped, or it dies for a reset or removal.

use std::time::{Duration, Instant};

use shedbox_linux::process::{self, Ended};
use shedbox_spec::control::{DieReason, InitEvent, Reply};
use shedbox_spec::exec::{End, ExecResult, Killer};

use super::{Init, Role, report};
use crate::exec::{Asked, plain_end, result};

/// A stop in progress, or a main process whose last output is on its way.
pub(super) struct Stopping {
    /// When the main process gets SIGKILL.
    pub(super) deadline: Option<Instant>,
}

impl Init {
    /// Asks the main process to end. What does not handle the signal gets SIGKILL at once: nothing could come of the
    /// grace, and keep-alive processes (`sleep`, `tail -f /dev/null`) are most of what is ever stopped.
    pub(super) fn stop(&mut self, signal: i32, grace: Duration) {
        let running = self.main.as_mut().filter(|main| main.result.is_none());
        let Some(main) = running else {
            return self.end(&End::Stopped);
        };
        let pid = main.pid;
        main.asked = Some(Asked {
            signal,
            by: Killer::Stop,
        });
        let deadline = Instant::now().checked_add(grace);
        self.stopping = Some(Stopping { deadline });
        let sent = process::signal(pid, signal).is_ok();
        if !sent || !self.handles(pid, signal) {
            self.stop_now();
        }
    }

    /// True when `signal` ends the process or runs code of its own: it is neither ignored nor left without effect.
    fn handles(&self, pid: i32, signal: i32) -> bool {
        let status = shedbox_linux::inroot::read_small(
            &self.around.proc,
            &format!("{pid}/status"),
            64 << 10,
        );
        let Ok(Some(status)) = status else {
            return false;
        };
        signal_has_effect(&String::from_utf8_lossy(&status), signal)
    }

    /// SIGKILL for the main process; its end ends the generation.
    pub(super) fn stop_now(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.deadline = None;
        }
        if let Some(main) = self.main.as_mut().filter(|main| main.result.is_none()) {
            main.asked = Some(Asked {
                signal: 9,
                by: Killer::Stop,
            });
            let _ = process::signal(main.pid, 9); // it may have just ended
        }
    }

    /// Ends the generation now, without regard for output that nobody has read.
    pub(super) fn die(&mut self, reason: DieReason) {
        let end = match reason {
            DieReason::Reset => End::Reset,
            DieReason::Stop => End::Stopped,
            DieReason::Remove => End::Removed { by: Killer::Client },
            DieReason::Lifetime => End::Removed {
                by: Killer::Lifetime,
            },
            DieReason::Owner => End::Removed { by: Killer::Owner },
            DieReason::DiskLimit { unit, used, limit } => End::DiskLimit {
                status: 137,
                unit,
                used,
                limit,
            },
        };
        self.end(&end);
    }

    /// Something has happened to the memory of the generation. When it is a kill, everybody goes: the kernel's own way of
    /// doing so (`memory.oom.group`) would take init as well, and nobody would be told.
    pub(super) fn memory_changed(&mut self) {
        let Some(groups) = &self.groups else { return };
        let kills = groups.oom_kills();
        if kills > self.oom_kills {
            self.oom_kills = kills;
            let end = End::OutOfMemory {
                status: 137,
                limit: groups.memory_limit(),
            };
            let started = self.main.as_ref().map(|main| main.started);
            let result = result(end.clone(), started.unwrap_or_else(Instant::now), None);
            self.finish(result, &end);
        }
    }

    fn end(&mut self, end: &End) {
        // No connection is taken from here on: the next generation serves those that wait.
        self.active = false;
        self.turn_away(end);
        self.cut_short(end);
        end_everything();
        if let Some(main) = self.main.as_mut().filter(|main| main.result.is_none()) {
            let result = result(end.clone(), main.started, None);
            main.drain(&mut self.log);
            main.result = Some(result.clone());
            for connection in main.connections() {
                self.connections
                    .reply(connection, &Reply::Exited(result.clone()), &[]);
            }
        }
        self.answer_stoppers();
        self.over = true;
    }

    /// The main process has ended by itself or by a signal: so does the generation.
    pub(super) fn main_ended(&mut self, ended: &Ended) {
        let Some(main) = &self.main else { return };
        let end = plain_end(ended, main.asked);
        let result = self
            .around()
            .result(end, main.started, ended, main.leaf.as_ref());
        self.finish(result, &End::Stopped);
    }

    /// The main process could not be started: the generation has no purpose.
    pub(super) fn main_never_started(&mut self, result: ExecResult) {
        self.finish(result, &End::Stopped);
    }

    /// `told`: what commands in flight are told.
    fn finish(&mut self, result: ExecResult, told: &End) {
        self.active = false;
        self.stopping = Some(Stopping { deadline: None });
        self.turn_away(told);
        self.cut_short(told);
        end_everything();
        if let Some(main) = &mut self.main {
            main.drain(&mut self.log);
            main.result = Some(result.clone());
        }
        self.record(&result);
        if let Some(control) = self.connections.get(0) {
            report(&control.socket, &InitEvent::MainExited { result });
        }
        self.answer_stoppers();
        self.over = self.main.is_none();
        self.end_when_drained();
    }

    /// After the end of the main process: leave once every follower has its output.
    pub(super) fn end_when_drained(&mut self) {
        let Some(main) = self.main.as_ref().filter(|main| !main.is_draining()) else {
            return;
        };
        let Some(result) = main.result.clone() else {
            return;
        };
        for connection in main.connections() {
            self.connections
                .reply(connection, &Reply::Exited(result.clone()), &[]);
        }
        self.over = true;
    }

    /// Requests that have arrived but were not read are answered, so that no client takes the end for a crash.
    fn turn_away(&mut self, end: &End) {
        let asking: Vec<u32> = self
            .connections
            .list
            .iter()
            .filter(|connection| connection.id != 0 && connection.role == Role::Asking)
            .map(|connection| connection.id)
            .collect();
        for id in asking {
            let waiting = self
                .connections
                .get(id)
                .is_some_and(|client| matches!(client.socket.try_recv(), Ok(Some(_))));
            if waiting {
                let result = result(end.clone(), Instant::now(), None);
                self.connections.reply(id, &Reply::Exited(result), &[]);
            }
        }
    }

    fn answer_stoppers(&mut self) {
        let stoppers: Vec<u32> = self
            .connections
            .list
            .iter()
            .filter(|connection| connection.role == Role::Stopper)
            .map(|connection| connection.id)
            .collect();
        for id in stoppers {
            self.connections.reply(id, &Reply::Done, &[]);
        }
    }

    /// `exit.json` beside the log: a daemon that was away learns from it how the main process ended.
    fn record(&self, result: &ExecResult) {
        let Ok(text) = serde_json::to_vec(result) else {
            return;
        };
        // A full disk loses the record, not the sandbox: the daemon then knows only that it has ended.
        let _ = shedbox_linux::fd::replace_file(&self.log_dir, "exit.json", &text);
    }
}

/// Kills and reaps every process of this pid namespace but init.
fn end_everything() {
    // kill(-1) reaches all of them at once: a fork in progress sees the signal and fails. It goes through every process
    // of the host, so as many as have ended by then are reaped before the next one.
    while process::signal(-1, 9).is_ok() {
        if process::reap(true).is_err() {
            return; // ECHILD: nothing is left
        }
        while let Ok(Some(_)) = process::reap(false) {}
    }
    while process::reap(true).is_ok() {}
}

/// From `/proc/<pid>/status`: the signal is not ignored, and not blocked without a handler.
fn signal_has_effect(status: &str, signal: i32) -> bool {
    let mask = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| u64::from_str_radix(value.trim_start_matches(':').trim(), 16).ok())
            .unwrap_or(0)
    };
    let bit = 1u64 << (signal.clamp(1, 64) - 1);
    let caught = mask("SigCgt") & bit != 0;
    let ignored = mask("SigIgn") & bit != 0;
    let blocked = mask("SigBlk") & bit != 0;
    caught || !(ignored || blocked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effect_of_a_signal() {
        let status = "Name:\tx\nSigBlk:\t0000000000010000\nSigIgn:\t0000000000004000\nSigCgt:\t0000000000000002\n";
        assert!(signal_has_effect(status, 2), "caught");
        assert!(!signal_has_effect(status, 15), "ignored");
        assert!(!signal_has_effect(status, 17), "blocked");
        assert!(signal_has_effect(status, 1), "default");
    }
}
