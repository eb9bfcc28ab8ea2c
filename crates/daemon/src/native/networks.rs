//! Networks.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Incoming;
use shedbox_engine::Engine;
use shedbox_spec::Result;
use shedbox_spec::api::network::{
    EgressRequest, NetworkConnect, NetworkCreate, NetworkDisconnect, NetworkInfo,
};

use super::{call_now, read_json};
use crate::answer::{self, Answer};

pub(super) async fn create(engine: &Arc<Engine>, body: Incoming) -> Answer {
    let made: Result<NetworkInfo> = async {
        let request: NetworkCreate = read_json(body).await?;
        call_now(engine, |engine| engine.network_create(request))
    }
    .await;
    match made {
        Ok(info) => answer::json(StatusCode::CREATED, &info),
        Err(error) => answer::failure(&error),
    }
}

pub(super) async fn connect(engine: &Arc<Engine>, name: String, body: Incoming) -> Answer {
    let request: Result<NetworkConnect> = read_json(body).await;
    answer::empty(
        request
            .and_then(|request| call_now(engine, |engine| engine.network_connect(&name, request))),
    )
}

pub(super) async fn disconnect(engine: &Arc<Engine>, name: String, body: Incoming) -> Answer {
    let request: Result<NetworkDisconnect> = read_json(body).await;
    answer::empty(
        request.and_then(|request| {
            call_now(engine, |engine| engine.network_disconnect(&name, request))
        }),
    )
}

pub(super) async fn egress(engine: &Arc<Engine>, name: String, body: Incoming) -> Answer {
    let request: Result<EgressRequest> = read_json(body).await;
    answer::empty(
        request.and_then(|request| {
            call_now(engine, |engine| engine.set_egress(&name, request.egress))
        }),
    )
}
