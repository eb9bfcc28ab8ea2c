//! Snapshots, and what starts from them.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Incoming;
use shedbox_engine::Engine;
use shedbox_spec::Result;
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::api::snapshot::{ForkRequest, SnapshotCreate, SnapshotInfo};

use super::{call, call_now, read_json};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::server::Caller;

/// A copy takes as long as there is to copy, and a stop as long as it is given.
pub(super) async fn create(engine: &Arc<Engine>, name: String, body: Incoming) -> Answer {
    let taken: Result<SnapshotInfo> = async {
        let request: SnapshotCreate = read_json(body).await?;
        call(engine, move |engine| engine.snapshot(&name, &request)).await
    }
    .await;
    match taken {
        Ok(info) => answer::json(StatusCode::CREATED, &info),
        Err(error) => answer::failure(&error),
    }
}

pub(super) fn restore(engine: &Arc<Engine>, name: &str, query: &Query) -> Answer {
    match query.require("tag") {
        Ok(tag) => answer::ok(call_now(engine, |engine| engine.restore(name, tag))),
        Err(error) => answer::failure(&error),
    }
}

pub(super) async fn fork(
    engine: &Arc<Engine>,
    caller: Caller,
    name: String,
    body: Incoming,
) -> Answer {
    let made: Result<Vec<SandboxInfo>> = async {
        let request: ForkRequest = read_json(body).await?;
        call(engine, move |engine| {
            engine.fork(&name, &request, caller.pid)
        })
        .await
    }
    .await;
    match made {
        Ok(infos) => answer::json(StatusCode::CREATED, &infos),
        Err(error) => answer::failure(&error),
    }
}
