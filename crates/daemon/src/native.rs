//! Our own API: three lines a handler. Decode, call the engine on a thread that may block, encode.

mod images;
mod limits;
mod networks;
mod sandboxes;
mod sessions;
mod snapshots;

use std::sync::Arc;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use shedbox_engine::Engine;
use shedbox_spec::api::Version;
use shedbox_spec::{Error, Result};

use crate::answer::{self, Answer};
use crate::query::Query;
use crate::router::{Route, route};
use crate::server::Caller;

/// Largest JSON body of a request, in bytes. Command lines end at 6 MiB.
const BODY_MAX: usize = 16 << 20;
/// Version of this API.
const API_VERSION: u32 = 1;

/// Whether a path is one of this API's.
pub(crate) fn is_ours(path: &str) -> bool {
    path.strip_prefix(shedbox_spec::api::PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers one request.
pub(crate) async fn answer(
    engine: &Arc<Engine>,
    caller: Caller,
    request: Request<Incoming>,
) -> Answer {
    let parsed = route(request.method(), request.uri().path())
        .and_then(|route| Ok((route, Query::parse(request.uri().query())?)));
    match parsed {
        Ok((route, query)) => dispatch(engine, caller, route, query, request.into_body()).await,
        Err(error) => answer::failure(&error),
    }
}

async fn dispatch(
    engine: &Arc<Engine>,
    caller: Caller,
    route: Route,
    query: Query,
    body: Incoming,
) -> Answer {
    match route {
        Route::Version => answer::ok(Ok(version(engine))),
        Route::ImagePull => images::pull(engine, body).await,
        Route::ImageList => answer::ok(call_now(engine, |engine| Ok(engine.list_images()))),
        Route::ImageInspect => images::inspect(engine, &query).await,
        Route::ImageRemove => images::remove(engine, &query).await,
        Route::ImageLoad => images::load(engine, &query, body),
        Route::ImageSave => images::save(engine, &query).await,
        Route::ImagePrune => images::prune(engine, &query).await,
        Route::Create => sandboxes::create(engine, caller, body).await,
        Route::List => sandboxes::list(engine, &query),
        Route::Prune => answer::ok(call(engine, Engine::prune).await),
        Route::Inspect(name) => answer::ok(call_now(engine, |engine| engine.inspect(&name))),
        Route::Features(name) => {
            answer::ok(call(engine, move |engine| engine.features(&name)).await)
        }
        Route::Remove(name) => sandboxes::remove(engine, name, &query),
        Route::Start(name) => sandboxes::start(engine, name, &query),
        Route::Stop(name) => sandboxes::stop(engine, name, &query).await,
        Route::Kill(name) => sandboxes::kill(engine, name, &query).await,
        Route::Reset(name) => answer::ok(call_now(engine, |engine| engine.reset(&name))),
        Route::SnapshotCreate(name) => snapshots::create(engine, name, body).await,
        Route::SnapshotList(name) => {
            answer::ok(call(engine, move |engine| engine.snapshots_of(&name)).await)
        }
        Route::SnapshotInspect(name, tag) => {
            answer::ok(call(engine, move |engine| engine.inspect_snapshot(&name, &tag)).await)
        }
        Route::SnapshotRemove(name, tag) => answer::empty(call_now(engine, |engine| {
            engine.remove_snapshot(&name, &tag)
        })),
        Route::Snapshots => answer::ok(call(engine, Engine::snapshots).await),
        Route::Restore(name) => snapshots::restore(engine, &name, &query),
        Route::Fork(name) => snapshots::fork(engine, caller, name, body).await,
        Route::Disown(name) => answer::empty(call_now(engine, |engine| engine.disown(&name))),
        Route::Wait(name) => sandboxes::wait(engine, &name, &query).await,
        Route::Logs(name) => sandboxes::logs(engine, name, &query).await,
        Route::Pause(name) => answer::empty(call(engine, move |engine| engine.pause(&name)).await),
        Route::Unpause(name) => {
            answer::empty(call(engine, move |engine| engine.unpause(&name)).await)
        }
        Route::Update(name) => limits::update(engine, name, body).await,
        Route::Reclaim(name) => limits::reclaim(engine, name, &query).await,
        Route::Stats(name) => answer::ok(call_now(engine, |engine| engine.stats(&name))),
        Route::Pressure(name) => answer::ok(call_now(engine, |engine| engine.pressure(&name))),
        Route::Egress(name) => networks::egress(engine, name, body).await,
        Route::NetworkCreate => networks::create(engine, body).await,
        Route::NetworkList => answer::ok(call_now(engine, |engine| Ok(engine.network_list()))),
        Route::NetworkPrune => answer::ok(call_now(engine, |engine| {
            let pruned = engine.network_prune(|_| true)?;
            Ok(pruned
                .into_iter()
                .map(|network| network.name)
                .collect::<Vec<_>>())
        })),
        Route::NetworkInspect(name) => {
            answer::ok(call_now(engine, |engine| engine.network_inspect(&name)))
        }
        Route::NetworkRemove(name) => {
            answer::empty(call_now(engine, |engine| engine.network_remove(&name)))
        }
        Route::NetworkConnect(name) => networks::connect(engine, name, body).await,
        Route::NetworkDisconnect(name) => networks::disconnect(engine, name, body).await,
        Route::HostPressure => answer::ok(call_now(engine, Engine::host_pressure)),
        Route::Diff(name) => answer::ok(call(engine, move |engine| engine.diff(&name)).await),
        Route::Files(name) => answer::ok(call_now(engine, |engine| engine.files(&name))),
        Route::SessionCreate(name) => sessions::create(engine, name, body).await,
        Route::SessionList(name) => {
            answer::ok(call_now(engine, |engine| engine.session_list(&name)))
        }
        Route::SessionRun(name, session) => sessions::run(engine, &name, &session, body).await,
        Route::SessionRemove(name, session) => answer::empty(call_now(engine, |engine| {
            engine.session_remove(&name, &session)
        })),
    }
}

fn version(engine: &Engine) -> Version {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: API_VERSION,
        pid: std::process::id() as i32,
        root: engine.paths().root.display().to_string(),
        kernel: kernel.trim().to_owned(),
        platform: format!("linux/{architecture}"),
        id_map: engine.id_map(),
    }
}

/// Runs `work`, which takes a few milliseconds at most, on this thread: the runtime moves its other tasks to another one
/// meanwhile, and the answer goes out without waking anybody.
fn call_now<T>(
    engine: &Engine,
    work: impl FnOnce(&Engine) -> shedbox_engine::Result<T>,
) -> Result<T> {
    tokio::task::block_in_place(|| work(engine)).map_err(Error::from)
}

/// Runs `work`, which may take long, on a thread for such things.
async fn call<T, F>(engine: &Arc<Engine>, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Engine) -> shedbox_engine::Result<T> + Send + 'static,
{
    let engine = Arc::clone(engine);
    match tokio::task::spawn_blocking(move || work(&engine)).await {
        Ok(outcome) => outcome.map_err(Error::from),
        Err(error) => Err(Error::internal(format!("a request has failed: {error}"))),
    }
}

/// The JSON body of a request.
async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T> {
    let bytes = match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Error::invalid(format!(
                "the body of the request is larger than {BODY_MAX} bytes"
            )));
        }
        Err(error) => {
            return Err(Error::invalid(format!(
                "the body of the request did not arrive: {error}"
            )));
        }
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::invalid(format!("the body of the request is not valid: {error}")))
}
