//! Start, stop, kill, wait.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use shedbox_docker::status::{self, FailedStart};
use shedbox_docker::{error, exec as words};
use shedbox_engine::Notify;
use shedbox_spec::api::{SandboxInfo, Status, WaitResult};
use shedbox_spec::error::Cause;
use shedbox_spec::exec::{End, Obstacle};
use shedbox_spec::{Error, Kind, Result, signal};
use tokio::sync::mpsc;

use super::{Docker, later, now};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::stream;

pub(super) async fn start(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let info = docker.find(name)?;
    match info.status {
        Status::Running => return Ok(answer::bare(StatusCode::NOT_MODIFIED)),
        Status::Paused => {
            return Err(Error::conflict(
                "cannot start a paused container, try unpause instead",
            ));
        }
        Status::Removing => {
            return Err(Error::conflict(
                "container is marked for removal and cannot be started",
            ));
        }
        Status::Created | Status::Exited => {}
    }
    docker.restarts.forget(info.id.as_str());
    let started = start_it(docker, &info).await;
    if started.is_err() && info.spec.auto_remove {
        // `run --rm` waits for the removal. It may be under way already, when it was the program that did not start.
        let gone = now(|| docker.engine.remove(info.id.as_str(), true));
        if gone.is_ok() {
            docker.forget(info.id.as_str());
        }
    }
    started?;
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

/// Starts a container that does not run, with the clients that wait for it.
pub(super) async fn start_it(docker: &Arc<Docker>, info: &SandboxInfo) -> Result<()> {
    let id = info.id.as_str();
    let waiting = docker.waiting.take(id);
    let outcome = if waiting.is_empty() {
        now(|| docker.engine.start(id, false)).map(drop)
    } else {
        match now(|| docker.engine.start(id, true)) {
            Ok(info) => super::attach::begin(docker, &info, waiting).await,
            Err(error) => Err(error),
        }
    };
    if outcome.is_ok() {
        // Now, not when the event has come: who looks next sees `starting`.
        docker.watch_health(id);
    }
    let outcome = outcome.map_err(|error| refused(info, error));
    docker.change(id, |extra| {
        extra.restarting = false;
        extra.kept.failed_start = outcome.as_ref().err().map(|error| FailedStart {
            error: error.message.clone(),
            started_before: info.started_at.clone(),
        });
    });
    outcome
}

/// In the words that the command takes its exit status from.
fn refused(info: &SandboxInfo, mut error: Error) -> Error {
    match error.cause() {
        Some(Cause::PortTaken(address)) => {
            // Words that clients look for before they try another port.
            error.message = format!(
                "Bind for {address} failed: port is already allocated: {}",
                error.message
            );
            error.kind = Kind::Internal;
            error
        }
        Some(Cause::NotStarted(why)) => {
            let program = info.argv.first().map_or("", String::as_str);
            let message = words::main_not_started(why, program);
            match why.obstacle {
                Obstacle::User => Error::internal(message),
                _ => Error::invalid(message),
            }
        }
        // The one whose network it was to have.
        Some(Cause::NoSandbox(name)) => error::no_container(name),
        Some(Cause::NeighbourStopped(id)) => error::neighbour_not_running(id),
        _ => error,
    }
}

/// The end of a main process that could not be started.
pub(super) fn main_refused(end: &End) -> Option<Error> {
    let End::NotStarted(why) = end else {
        return None;
    };
    Some(Error::invalid(why.message.clone()).with_cause(Cause::NotStarted((**why).clone())))
}

/// Seconds of grace; negative is for ever.
fn grace(query: &Query) -> Result<Option<Duration>> {
    let seconds: Option<i64> = query.number("t")?;
    Ok(seconds.map(|seconds| {
        u64::try_from(seconds).map_or(
            Duration::from_secs(u64::from(u32::MAX)),
            Duration::from_secs,
        )
    }))
}

fn signal_of(text: &str) -> Result<i32> {
    signal::parse(text).map_err(|_| Error::invalid(format!("Invalid signal: {text}")))
}

/// The container does not wait for its next start any more; true when it did.
fn end_of_waiting(docker: &Docker, info: &SandboxInfo) -> bool {
    docker
        .extras()
        .get_mut(info.id.as_str())
        .is_some_and(|extra| std::mem::take(&mut extra.restarting))
}

pub(super) async fn stop(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let grace = grace(query)?;
    let signal = match query.get("signal").filter(|signal| !signal.is_empty()) {
        None => None,
        Some(text) => Some(signal_of(text)?),
    };
    docker.restarts.forget(info.id.as_str());
    if !matches!(info.status, Status::Running | Status::Paused) {
        let waited = end_of_waiting(docker, &info);
        return Ok(answer::bare(if waited {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::NOT_MODIFIED
        }));
    }
    let id = info.id.to_string();
    later(docker, move |engine| engine.stop_with(&id, signal, grace)).await?;
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) async fn restart(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let grace = grace(query)?;
    let id = info.id.to_string();
    docker.restarts.forget(&id);
    docker.restarts.hold(&id);
    let stopped = later(docker, move |engine| engine.stop(&id, grace)).await;
    docker.restarts.release(info.id.as_str());
    stopped?;
    start_it(docker, &docker.find(info.id.as_str())?).await?;
    docker.events.container(&info, "restart", &[]);
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) async fn kill(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let signal = match query.get("signal").filter(|signal| !signal.is_empty()) {
        None => signal::KILL,
        Some(text) => signal_of(text)?,
    };
    if !matches!(info.status, Status::Running | Status::Paused) {
        return Err(Error::conflict(format!(
            "cannot kill container: {name}: container {} is not running",
            info.id
        )));
    }
    if signal == signal::KILL {
        docker.restarts.forget(info.id.as_str());
    }
    let id = info.id.to_string();
    if signal == signal::KILL {
        // As docker's: when the answer comes, it does not run any more.
        later(docker, move |engine| {
            engine.kill(&id, signal)?;
            engine.finish_kill(&id)
        })
        .await?;
    } else {
        later(docker, move |engine| engine.kill(&id, signal)).await?;
    }
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) async fn pause(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let info = docker.find(name)?;
    match info.status {
        Status::Running => {}
        Status::Paused => {
            return Err(Error::conflict(format!(
                "Container {} is already paused",
                info.id
            )));
        }
        _ => {
            return Err(Error::conflict(format!(
                "Container {} is not running",
                info.id
            )));
        }
    }
    let id = info.id.to_string();
    later(docker, move |engine| engine.pause(&id)).await?;
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) async fn unpause(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let info = docker.find(name)?;
    if info.status != Status::Paused {
        return Err(Error::conflict(format!(
            "Container {} is not paused",
            info.id
        )));
    }
    let id = info.id.to_string();
    later(docker, move |engine| engine.unpause(&id)).await?;
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

/// The head of the answer goes out at once: a client attaches, waits, and only then starts.
pub(super) fn wait(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let (feed, body) = stream::channel();
    let (sender, mut receiver) = mpsc::unbounded_channel::<WaitResult>();
    let notify: Arc<Notify> = Arc::new(move |result| drop(sender.send(result)));
    let id = info.id.to_string();
    let mut ends = docker.events.ends();
    // One that does not run is told as it is: a start may have failed since its last end.
    let runs = matches!(info.status, Status::Running | Status::Paused);
    let mut of_result = None;
    let next_exit = match query.get("condition").unwrap_or("") {
        "" | "not-running" => {
            let extra = docker.extra(&info);
            if extra.restarting {
                true
            } else {
                of_result = (!runs).then(|| status::exit_code(&info, &extra));
                docker
                    .engine
                    .when_ended(&id, false, &notify)
                    .map_err(Error::from)?;
                false
            }
        }
        "removed" => {
            docker
                .engine
                .when_ended(&id, true, &notify)
                .map_err(Error::from)?;
            false
        }
        "next-exit" => true,
        other => return Err(Error::invalid(format!("invalid condition: \"{other}\""))),
    };
    tokio::spawn(async move {
        let result = if next_exit {
            loop {
                match ends.recv().await {
                    Ok((of, result)) if of == id => break Some(result),
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => break None,
                }
            }
        } else {
            tokio::select! {
                result = receiver.recv() => result,
                () = feed.closed() => None,
            }
        };
        drop(notify);
        if let Some(result) = result {
            let code = of_result.unwrap_or(result.exit_code);
            feed.line(&json!({"StatusCode": code})).await;
        }
    });
    Ok(answer::stream("application/json", body))
}

/// The container has to run for what comes.
pub(super) fn must_run(info: &SandboxInfo) -> Result<()> {
    match info.status {
        Status::Running => Ok(()),
        Status::Paused => Err(error::paused(info.id.as_str())),
        _ => Err(error::not_running(info.id.as_str())),
    }
}
