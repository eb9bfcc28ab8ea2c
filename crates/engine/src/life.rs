//! Where a sandbox is in its life, as a value: transitions are plain functions without effects.
//!
//! ```text
//! Created ──begin──▶ Running ──end──▶ Exited ──begin──▶ Running …
//!    └───────────────────┴──── remove ───┴──▶ Removing
//! ```

use jiff::Timestamp;
use shedbox_spec::api::{Status, WaitResult};
use shedbox_spec::exec::{End, ExecResult};
use shedbox_spec::{Error, Result};

use crate::record::{RECORD_VERSION, SavedState};

/// The changing part of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    /// Never `Paused`: that is what its init knows, and what listings add.
    pub(crate) status: Status,
    pub(crate) generation: u64,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) result: Option<ExecResult>,
    /// When the generation before this one began and ended.
    before: (Option<Timestamp>, Option<Timestamp>),
}

/// Exit status of a sandbox whose main process left no record: what SIGKILL gives.
const KILLED: u8 = 137;

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            status: Status::Created,
            generation: 0,
            started_at: None,
            finished_at: None,
            result: None,
            before: (None, None),
        }
    }

    pub(crate) fn from_saved(saved: SavedState) -> Self {
        Self {
            status: saved.status,
            generation: saved.generation,
            started_at: saved.started_at,
            finished_at: saved.finished_at,
            result: saved.result,
            before: (None, None),
        }
    }

    pub(crate) fn to_saved(&self) -> SavedState {
        SavedState {
            version: RECORD_VERSION,
            status: self.status,
            generation: self.generation,
            started_at: self.started_at,
            finished_at: self.finished_at,
            result: self.result.clone(),
        }
    }

    /// A generation lives from now on.
    pub(crate) fn begin(&mut self, generation: u64, now: Timestamp) {
        self.before = (self.started_at, self.finished_at);
        self.status = Status::Running;
        self.generation = generation;
        self.started_at = Some(now);
        self.finished_at = None;
        self.result = None;
    }

    /// The generation has ended. A result that is known already stays. One whose main process could not be started
    /// leaves nothing but that result: the sandbox is as it was before.
    pub(crate) fn end(&mut self, result: Option<ExecResult>, now: Timestamp) {
        if self.result.is_none() {
            self.result = result;
        }
        let never_started =
            matches!(&self.result, Some(result) if matches!(result.end, End::NotStarted(_)));
        if never_started && self.status == Status::Running {
            (self.started_at, self.finished_at) = self.before;
            self.status = match self.started_at {
                None => Status::Created,
                Some(_) => Status::Exited,
            };
            return;
        }
        if self.status == Status::Running {
            self.status = Status::Exited;
        }
        self.finished_at = Some(now);
    }

    /// Exit status as `wait` and listings tell it: 0 while there is none, 137 when init went without one although a
    /// main process was to be there.
    pub(crate) fn exit_code(&self, has_main: bool) -> u8 {
        match (&self.result, self.status) {
            (Some(result), _) => result.end.status(),
            (None, Status::Exited) if has_main => KILLED,
            (None, _) => 0,
        }
    }

    pub(crate) fn wait_result(&self, has_main: bool) -> WaitResult {
        WaitResult {
            exit_code: self.exit_code(has_main),
            result: self.result.clone(),
        }
    }

    /// `start` makes sense now. `Ok(false)`: it is running already, which is no error.
    pub(crate) fn may_start(&self, name: &str) -> Result<bool> {
        match self.status {
            Status::Created | Status::Exited => Ok(true),
            Status::Running | Status::Paused => Ok(false),
            Status::Removing => Err(removing(name)),
        }
    }

    /// `reset` makes sense now.
    pub(crate) fn may_reset(&self, name: &str) -> Result<()> {
        if self.status == Status::Removing {
            Err(removing(name))
        } else {
            Ok(())
        }
    }

    /// `remove` makes sense now.
    pub(crate) fn may_remove(&self, name: &str, force: bool) -> Result<()> {
        match self.status {
            Status::Running if !force => {
                Err(Error::conflict(format!("sandbox `{name}` is running"))
                    .with_hint("stop it first, or remove it with force"))
            }
            Status::Removing => Err(removing(name)),
            _ => Ok(()),
        }
    }

    /// `kill` and the like make sense now.
    pub(crate) fn must_run(&self, name: &str) -> Result<()> {
        match self.status {
            Status::Running | Status::Paused => Ok(()),
            Status::Removing => Err(removing(name)),
            Status::Created | Status::Exited => {
                Err(Error::conflict(format!("sandbox `{name}` is not running"))
                    .with_hint(format!("start it: `shedbox start {name}`")))
            }
        }
    }
}

fn removing(name: &str) -> Error {
    Error::conflict(format!("sandbox `{name}` is being removed"))
}

/// A result for a sandbox that was ended from outside before its main process could say anything.
pub(crate) fn cut_short(end: End) -> ExecResult {
    ExecResult {
        end,
        wall_us: 0,
        user_us: 0,
        system_us: 0,
        max_rss: 0,
        used: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::Kind;
    use shedbox_spec::exec::NotStarted;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_life() {
        let mut life = Life::new();
        assert_eq!(life.may_start("a"), Ok(true));
        assert_eq!(life.must_run("a").unwrap_err().kind, Kind::Conflict);
        life.begin(1, at(1));
        assert_eq!(life.may_start("a"), Ok(false));
        assert_eq!(
            life.may_remove("a", false).unwrap_err().kind,
            Kind::Conflict
        );
        assert_eq!(life.may_remove("a", true), Ok(()));
        let result = cut_short(End::Exited { code: 3 });
        life.end(Some(result.clone()), at(2));
        assert_eq!((life.status, life.exit_code(true)), (Status::Exited, 3));
        // Init's own end comes after the main process's and does not change the result.
        life.end(None, at(3));
        assert_eq!(life.result, Some(result));
        life.begin(2, at(4));
        assert_eq!(
            (life.result.clone(), life.finished_at, life.generation),
            (None, None, 2)
        );
        assert_eq!(
            Life::from_saved(life.to_saved()).to_saved(),
            life.to_saved()
        );
    }

    #[test]
    fn what_could_not_be_started_is_as_it_was_but_for_the_result() {
        let refused = End::from(NotStarted::refused("x"));
        let mut life = Life::new();
        life.begin(1, at(1));
        life.end(Some(cut_short(refused.clone())), at(2));
        assert_eq!(
            (
                life.status,
                life.exit_code(true),
                life.started_at,
                life.finished_at
            ),
            (Status::Created, 126, None, None)
        );
        life.begin(2, at(3));
        life.end(Some(cut_short(End::Exited { code: 0 })), at(4));
        life.begin(3, at(5));
        life.end(Some(cut_short(refused)), at(6));
        assert_eq!(
            (
                life.status,
                life.exit_code(true),
                life.started_at,
                life.finished_at
            ),
            (Status::Exited, 126, Some(at(3)), Some(at(4)))
        );
    }

    #[test]
    fn exit_codes_without_a_result() {
        let mut life = Life::new();
        assert_eq!(life.exit_code(true), 0);
        life.begin(1, at(1));
        assert_eq!(life.exit_code(true), 0);
        life.end(None, at(2));
        assert_eq!(life.exit_code(true), 137);
        assert_eq!(life.exit_code(false), 0);
    }

    #[test]
    fn removing_forbids_everything() {
        let life = Life {
            status: Status::Removing,
            ..Life::new()
        };
        for error in [
            life.may_start("a").unwrap_err(),
            life.may_reset("a").unwrap_err(),
            life.may_remove("a", true).unwrap_err(),
            life.must_run("a").unwrap_err(),
        ] {
            assert_eq!(error.message, "sandbox `a` is being removed");
        }
    }
}
