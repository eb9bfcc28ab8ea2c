//! Limits of sandboxes that exist.

use std::sync::Arc;

use hyper::body::Incoming;
use shedbox_engine::Engine;
use shedbox_spec::Error;
use shedbox_spec::limits::Limits;

use super::{call, read_json};
use crate::answer::{self, Answer};
use crate::query::Query;

pub(super) async fn update(engine: &Arc<Engine>, name: String, body: Incoming) -> Answer {
    match read_json::<Limits>(body).await {
        Ok(change) => answer::ok(call(engine, move |engine| engine.update(&name, &change)).await),
        Err(error) => answer::failure(&error),
    }
}

pub(super) async fn reclaim(engine: &Arc<Engine>, name: String, query: &Query) -> Answer {
    match query.number("bytes") {
        Ok(Some(bytes)) => {
            answer::ok(call(engine, move |engine| engine.reclaim(&name, bytes)).await)
        }
        Ok(None) => answer::failure(&Error::invalid("how many bytes are to be given back?")),
        Err(error) => answer::failure(&error),
    }
}
