//! Sandboxes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::body::Incoming;
use shedbox_engine::logs::{LogReader, Select};
use shedbox_engine::{Engine, Filter, Notify};
use shedbox_spec::api::{CreateRequest, SandboxInfo, WaitResult};
use shedbox_spec::{Error, Result, signal};
use tokio::sync::mpsc;

use super::{call, call_now, read_json};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::server::Caller;
use crate::stream::{self, Feed};

/// How long a reader that follows a log sleeps before it looks whether the sandbox still runs and the client is there.
const LOG_WAIT: Duration = Duration::from_millis(200);

pub(super) async fn create(engine: &Arc<Engine>, caller: Caller, body: Incoming) -> Answer {
    match create_one(engine, caller, body).await {
        Ok(info) => answer::json(StatusCode::CREATED, &info),
        Err(error) => answer::failure(&error),
    }
}

async fn create_one(engine: &Arc<Engine>, caller: Caller, body: Incoming) -> Result<SandboxInfo> {
    let request: CreateRequest = read_json(body).await?;
    if let Some(pull) = engine.needed_pull(&request) {
        engine.images().pull(pull, |_| {}).await?;
    }
    call_now(engine, |engine| engine.create(request, caller.pid))
}

pub(super) fn list(engine: &Arc<Engine>, query: &Query) -> Answer {
    let mut filter = Filter::default();
    let filled = query
        .pairs()
        .iter()
        .try_for_each(|(key, value)| filter.add(key, value));
    match filled {
        Ok(()) => answer::ok(call_now(engine, |engine| Ok(engine.list(&filter)))),
        Err(error) => answer::failure(&error),
    }
}

pub(super) fn remove(engine: &Arc<Engine>, name: String, query: &Query) -> Answer {
    match query.flag("force") {
        Ok(force) => answer::empty(call_now(engine, |engine| engine.remove(&name, force))),
        Err(error) => answer::failure(&error),
    }
}

pub(super) fn start(engine: &Arc<Engine>, name: String, query: &Query) -> Answer {
    match query.flag("hold_main") {
        Ok(hold_main) => answer::ok(call_now(engine, |engine| engine.start(&name, hold_main))),
        Err(error) => answer::failure(&error),
    }
}

pub(super) async fn stop(engine: &Arc<Engine>, name: String, query: &Query) -> Answer {
    match query.number("timeout_ms") {
        Ok(timeout) => {
            let timeout = timeout.map(Duration::from_millis);
            answer::empty(call(engine, move |engine| engine.stop(&name, timeout)).await)
        }
        Err(error) => answer::failure(&error),
    }
}

pub(super) async fn kill(engine: &Arc<Engine>, name: String, query: &Query) -> Answer {
    match query.get("signal").map_or(Ok(signal::KILL), signal::parse) {
        Ok(signal) => answer::empty(call(engine, move |engine| engine.kill(&name, signal)).await),
        Err(error) => answer::failure(&error),
    }
}

/// Waits without a thread: the engine calls back.
pub(super) async fn wait(engine: &Arc<Engine>, name: &str, query: &Query) -> Answer {
    let until_removed = match query.get("condition") {
        None | Some("" | "not-running") => false,
        Some("removed") => true,
        Some(other) => {
            let error = Error::invalid(format!("unknown condition `{other}`"))
                .with_hint("use not-running or removed");
            return answer::failure(&error);
        }
    };
    let (sender, mut receiver) = mpsc::unbounded_channel::<WaitResult>();
    // Kept until the answer, or until the client has left and this future is dropped.
    let notify: Arc<Notify> = Arc::new(move |result| drop(sender.send(result)));
    if let Err(error) = engine.when_ended(name, until_removed, &notify) {
        return answer::failure(&error.into());
    }
    match receiver.recv().await {
        Some(result) => answer::ok(Ok(result)),
        None => answer::failure(&Error::internal(
            "the daemon has forgotten a sandbox somebody waits for",
        )),
    }
}

/// Frames as they are on disk. A log that is followed ends when the sandbox does not run any more.
pub(super) async fn logs(engine: &Arc<Engine>, name: String, query: &Query) -> Answer {
    let (select, follow) = match log_query(query) {
        Ok(both) => both,
        Err(error) => return answer::failure(&error),
    };
    let directory = name.clone();
    let opened = call(engine, move |engine| {
        LogReader::open(&engine.log_directory(&directory)?, select)
    })
    .await;
    let reader = match opened {
        Ok(reader) => reader,
        Err(error) => return answer::failure(&error),
    };
    let (feed, body) = stream::channel();
    let engine = Arc::clone(engine);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = copy_log(&engine, &name, reader, follow, &feed) {
            tracing::error!(
                sandbox = name,
                error = shedbox_spec::error::chain(&error),
                "cannot read a log"
            );
            feed.fail(std::io::Error::other("the log cannot be read"));
        }
    });
    answer::stream("application/vnd.shedbox.log", body)
}

fn log_query(query: &Query) -> Result<(Select, bool)> {
    let select = Select {
        stdout: query.flag_or("stdout", true)?,
        stderr: query.flag_or("stderr", true)?,
        since_ns: query.number("since_ns")?,
        until_ns: query.number("until_ns")?,
        tail: query.number("tail")?,
    };
    Ok((select, query.flag("follow")?))
}

fn copy_log(
    engine: &Engine,
    name: &str,
    mut reader: LogReader,
    follow: bool,
    feed: &Feed,
) -> shedbox_engine::Result<()> {
    loop {
        // Asked first: what was written before the end is still read after it.
        let running = engine.is_running(name);
        while let Some(frame) = reader.next_frame()? {
            if !feed.send(frame.encode()) {
                return Ok(());
            }
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64;
        if !follow || !running || feed.is_closed() || reader.is_over(now) {
            return Ok(());
        }
        reader.wait(LOG_WAIT)?;
    }
}
