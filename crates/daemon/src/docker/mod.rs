//! The Docker Engine API, in front of the same engine.
//!
//! What a message means is `shedbox_docker`'s business; here are routes, streams and what only a daemon can know:
//! commands in containers, volumes, events, restarts and health.

mod archive;
mod attach;
mod build;
mod containers;
mod copy_up;
mod ends;
mod events;
mod exec;
mod health;
mod images;
mod lifecycle;
mod logs;
mod make;
mod networks;
mod pump;
mod restart;
mod routes;
mod scratch;
mod stats;
mod system;
mod volumes;
mod websocket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use shedbox_docker::status::Extra;
use shedbox_docker::stored::Stored;
use shedbox_docker::version::{self, Version};
use shedbox_docker::{error, image};
use shedbox_engine::Engine;
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::{Digest, Error, Kind, Result};

use crate::answer::{self, Answer};
use crate::hijack::Slot;
use crate::query::{Query, decode};
use crate::stream::Arriving;

/// Largest JSON body of a request, in bytes.
const BODY_MAX: usize = 16 << 20;

/// What the API knows beside the engine.
pub(crate) struct Docker {
    pub(crate) engine: Arc<Engine>,
    execs: exec::Execs,
    waiting: attach::Waiting,
    events: events::Bus,
    volumes: volumes::Volumes,
    extras: Mutex<HashMap<String, Extra>>,
    /// Held by who writes what is kept of one, so that the last change is the last written.
    writing: Mutex<()>,
    restarts: restart::Restarts,
    health: health::Checks,
    /// The `config` of images that were asked about, by id: it says what is in it, so it never changes.
    configs: Mutex<HashMap<Digest, Arc<Value>>>,
}

/// Most of these that are held.
const CONFIGS_MAX: usize = 512;

impl Docker {
    /// Begins to listen to the engine. Called inside the runtime.
    pub(crate) fn new(engine: Arc<Engine>) -> Arc<Self> {
        let volumes = volumes::Volumes::new(engine.paths().root.join("volumes"));
        build::sweep(&engine.paths().root);
        let (bus, happenings) = events::Bus::new(&engine);
        let docker = Arc::new(Self {
            engine,
            execs: exec::Execs::default(),
            waiting: attach::Waiting::default(),
            events: bus,
            volumes,
            extras: Mutex::default(),
            writing: Mutex::default(),
            restarts: restart::Restarts::default(),
            health: health::Checks::default(),
            configs: Mutex::default(),
        });
        events::follow(&docker, happenings);
        scratch::sweep(&docker);
        docker.resume();
        docker
    }

    /// A container by name, id or the beginning of its id.
    fn find(&self, name: &str) -> Result<SandboxInfo> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        now(|| self.engine.inspect(bare)).map_err(|error| match error.kind {
            Kind::NotFound => error::no_container(bare),
            Kind::Invalid => {
                Error::invalid(format!("multiple IDs found with provided prefix: {bare}"))
            }
            _ => error,
        })
    }

    fn extra(&self, info: &SandboxInfo) -> Extra {
        self.extras()
            .get(info.id.as_str())
            .cloned()
            .unwrap_or_default()
    }

    /// Changes what is known of a container, and keeps what of it is to outlast this daemon.
    fn change(&self, id: &str, act: impl FnOnce(&mut Extra)) {
        let _writing = lock(&self.writing);
        let kept = {
            let mut extras = self.extras();
            let extra = extras.entry(id.to_owned()).or_default();
            let before = extra.kept.clone();
            act(extra);
            (extra.kept != before).then(|| extra.kept.clone())
        };
        let Some(kept) = kept else { return };
        // Plain data.
        let text = serde_json::to_string(&kept).unwrap_or_default();
        if let Err(error) = now(|| self.engine.set_note(id, &text)) {
            tracing::warn!(
                container = id,
                "what is known of it is not kept: {}",
                error.message
            );
        }
    }

    /// Takes up what was kept.
    fn remember(&self, id: &str) {
        match self.engine.note(id) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let kept = serde_json::from_str(&text).unwrap_or_default();
                self.extras().entry(id.to_owned()).or_default().kept = kept;
            }
            Err(error) => tracing::warn!(container = id, %error, "what was known of it is lost"),
        }
    }

    fn extras(&self) -> MutexGuard<'_, HashMap<String, Extra>> {
        lock(&self.extras)
    }

    /// The `config` of a container's image; empty when the image has gone.
    fn image_config(&self, info: &SandboxInfo) -> Arc<Value> {
        let none = || Arc::new(serde_json::json!({}));
        let Some(id) = &info.image else {
            return none();
        };
        if let Some(known) = lock(&self.configs).get(id) {
            return Arc::clone(known);
        }
        let Ok(detail) = self.engine.inspect_image(&id.to_string()) else {
            return none();
        };
        let config = Arc::new(image::config_of(&detail));
        let mut configs = lock(&self.configs);
        if configs.len() >= CONFIGS_MAX {
            configs.clear();
        }
        configs.insert(id.clone(), Arc::clone(&config));
        config
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request, taken apart.
struct Asked {
    version: Version,
    method: Method,
    query: Query,
    headers: HeaderMap,
    body: Arriving,
    slot: Slot,
}

impl Asked {
    /// The JSON body.
    async fn json(self) -> Result<Bytes> {
        collect(self.body).await
    }
}

async fn collect(body: Arriving) -> Result<Bytes> {
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::invalid(format!(
            "the body of the request is larger than {BODY_MAX} bytes"
        ))),
        Err(error) => Err(Error::invalid(format!(
            "the body of the request did not arrive: {error}"
        ))),
    }
}

/// Whether a request comes from a client of ours, which starts a daemon when there is none. One that prepares for others
/// says so.
pub(crate) fn is_from_us(request: &hyper::Request<Incoming>) -> bool {
    let ours = request
        .headers()
        .get(hyper::header::HOST)
        .is_some_and(|host| host == "shedbox");
    ours && request.uri().query() != Some("stay=1")
}

/// Answers one request.
pub(crate) async fn answer(
    docker: &Arc<Docker>,
    request: hyper::Request<Incoming>,
    slot: Slot,
) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let outcome = async {
        let (version, rest) = version::split(&path)?;
        let segments = rest
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect::<Result<Vec<_>>>()?;
        let asked = Asked {
            version,
            query: Query::parse(head.uri.query())?,
            method: head.method,
            headers: head.headers,
            body: Arriving::new(body),
            slot,
        };
        routes::dispatch(docker, asked, &segments).await
    };
    let mut answer = match outcome.await {
        Ok(answer) => answer,
        Err(error) => failure(&error),
    };
    let headers = answer.headers_mut();
    for (name, value) in system::HEADERS {
        headers.insert(*name, hyper::header::HeaderValue::from_static(value));
    }
    answer
}

/// An error in Docker's form.
fn failure(error: &Error) -> Answer {
    let status =
        StatusCode::from_u16(error::status(error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        tracing::warn!(
            hint = error.hint.as_deref(),
            "Docker API: {}",
            error.message
        );
    }
    answer::json(status, &error::body(error))
}

/// Runs engine work that takes a few milliseconds on this thread, see [`crate::native`].
fn now<T>(work: impl FnOnce() -> shedbox_engine::Result<T>) -> Result<T> {
    tokio::task::block_in_place(work).map_err(Error::from)
}

/// Runs engine work that may take long.
async fn later<T, F>(docker: &Arc<Docker>, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Engine) -> shedbox_engine::Result<T> + Send + 'static,
{
    let engine = Arc::clone(&docker.engine);
    match tokio::task::spawn_blocking(move || work(&engine)).await {
        Ok(outcome) => outcome.map_err(Error::from),
        Err(error) => Err(Error::internal(format!("a request has failed: {error}"))),
    }
}

/// A number that nobody else has, in 64 digits.
fn random_hex() -> Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|error| Error::internal(format!("cannot read /dev/urandom: {error}")))?;
    Ok(shedbox_spec::SandboxId::from_bytes(&bytes).to_string())
}

/// A list as Go encodes it: one that nothing was put into is null.
fn or_null<T: serde::Serialize>(list: &[T]) -> Value {
    if list.is_empty() {
        Value::Null
    } else {
        serde_json::json!(list)
    }
}

/// What was kept with a container.
fn stored(info: &SandboxInfo) -> Stored {
    Stored::of(&info.spec)
}
