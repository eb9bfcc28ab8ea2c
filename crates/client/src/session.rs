//! Sessions: a shell that keeps its state from one command to the next. The daemon holds it, so any process can go on.

use shedbox_spec::session::{SessionCreate, SessionInfo, SessionResult, SessionRun};

use crate::client::json;
use crate::http::{Payload, Target};
use crate::{Result, Sandbox};

impl Sandbox {
    /// Starts a shell that stays.
    pub fn create_session(&self, wanted: &SessionCreate) -> Result<SessionInfo> {
        self.client()
            .pool
            .json("POST", &self.target("sessions"), json(wanted)?)
    }

    /// Its sessions, also those that have ended.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>> {
        self.client()
            .pool
            .json("GET", &self.target("sessions"), Payload::Empty)
    }

    /// Runs a command in a session, by id or name, and waits for its end.
    pub fn run_in_session(&self, session: &str, run: &SessionRun) -> Result<SessionResult> {
        self.client()
            .pool
            .json("POST", &self.session(session, &["run"]), json(run)?)
    }

    /// Ends a session, with all that it left in the background.
    pub fn remove_session(&self, session: &str) -> Result<()> {
        self.client()
            .pool
            .done("DELETE", &self.session(session, &[]), Payload::Empty)
    }

    fn session<'a>(&'a self, session: &'a str, rest: &[&'a str]) -> Target {
        let head = ["sandboxes", self.id().as_str(), "sessions", session];
        Target::new(head.into_iter().chain(rest.iter().copied()))
    }
}
