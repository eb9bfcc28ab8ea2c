//! Sessions.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Incoming;
use shedbox_engine::Engine;
use shedbox_spec::session::{SessionCreate, SessionInfo, SessionResult, SessionRun};
use shedbox_spec::{Error, Result};
use tokio::sync::oneshot;

use super::{call, call_now, read_json};
use crate::answer::{self, Answer};

pub(super) async fn create(engine: &Arc<Engine>, name: String, body: Incoming) -> Answer {
    match create_one(engine, name, body).await {
        Ok(info) => answer::json(StatusCode::CREATED, &info),
        Err(error) => answer::failure(&error),
    }
}

async fn create_one(engine: &Arc<Engine>, name: String, body: Incoming) -> Result<SessionInfo> {
    let wanted: SessionCreate = read_json(body).await?;
    call(engine, move |engine| engine.session_create(&name, &wanted)).await
}

pub(super) async fn run(engine: &Arc<Engine>, name: &str, session: &str, body: Incoming) -> Answer {
    answer::ok(run_one(engine, name, session, body).await)
}

/// Waits without a thread: the session calls back. Its command goes on when the client has left meanwhile.
async fn run_one(
    engine: &Arc<Engine>,
    name: &str,
    session: &str,
    body: Incoming,
) -> Result<SessionResult> {
    let run: SessionRun = read_json(body).await?;
    let (sender, receiver) = oneshot::channel();
    let answer = Box::new(move |result| drop(sender.send(result)));
    call_now(engine, |engine| {
        engine.session_run(name, session, run, answer)
    })?;
    receiver
        .await
        .unwrap_or_else(|_| Err(Error::internal("the thread of a session has ended")))
}
