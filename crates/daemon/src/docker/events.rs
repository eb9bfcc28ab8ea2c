//! What happens, as a stream and for those who hang on it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use shedbox_docker::filters::{self, Filters};
use shedbox_docker::time;
use shedbox_engine::Engine;
use shedbox_engine::events::{Event, Happening, Listener};
use shedbox_spec::Result;
use shedbox_spec::api::{SandboxInfo, WaitResult};
use tokio::sync::{broadcast, mpsc};

use super::{Docker, lock, stored};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::stream;

/// Events that a client who asks for the past can have, and that a slow one may be behind.
const KEPT: usize = 1024;

/// Where events go.
pub(super) struct Bus {
    messages: broadcast::Sender<Arc<Value>>,
    past: Mutex<VecDeque<Arc<Value>>>,
    ends: broadcast::Sender<(String, WaitResult)>,
    /// What containers that run are on: one that removes itself cannot be asked when it has ended.
    connected: Mutex<HashMap<String, Connected>>,
    /// Into the same queue as the engine's own, so that the order is that of what happened.
    queue: mpsc::UnboundedSender<Queued>,
    /// The engine has only a weak reference.
    _listener: Arc<Listener>,
}

/// What waits for being told.
pub(super) enum Queued {
    /// The engine's.
    Engine(Event),
    /// Of a container, and of the API's own making.
    Container {
        at: Timestamp,
        id: String,
        action: String,
        attributes: Map<String, Value>,
    },
}

/// Networks (id, name) and volumes (name, target) of a container.
#[derive(Debug, Default)]
struct Connected {
    networks: Vec<(String, String)>,
    volumes: Vec<(String, String)>,
}

impl Connected {
    fn of(docker: &Docker, id: &str) -> Option<Self> {
        let info = docker.engine.inspect(id).ok()?;
        Some(Self {
            networks: info
                .networks
                .iter()
                .map(|endpoint| (endpoint.network_id.clone(), endpoint.network.clone()))
                .collect(),
            volumes: stored(&info)
                .volumes
                .into_iter()
                .map(|(target, volume)| (volume.name, target))
                .collect(),
        })
    }
}

impl Bus {
    pub(super) fn new(engine: &Engine) -> (Self, mpsc::UnboundedReceiver<Queued>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        let sender = queue.clone();
        let listener: Arc<Listener> =
            Arc::new(move |event| drop(sender.send(Queued::Engine(event))));
        engine.listen(&listener);
        let bus = Self {
            messages: broadcast::channel(KEPT).0,
            past: Mutex::default(),
            ends: broadcast::channel(KEPT).0,
            connected: Mutex::default(),
            queue,
            _listener: listener,
        };
        (bus, receiver)
    }

    /// Ends of main processes from now on.
    pub(super) fn ends(&self) -> broadcast::Receiver<(String, WaitResult)> {
        self.ends.subscribe()
    }

    /// Tells of a container.
    pub(super) fn container(&self, info: &SandboxInfo, action: &str, more: &[(&str, &str)]) {
        let mut attributes: Map<String, Value> = info
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        attributes.insert("image".to_owned(), json!(info.spec.source.to_string()));
        attributes.insert("name".to_owned(), json!(info.name));
        for (key, value) in more {
            attributes.insert((*key).to_owned(), json!(value));
        }
        // The other end lives as long as the daemon.
        let _ = self.queue.send(Queued::Container {
            at: Timestamp::now(),
            id: info.id.to_string(),
            action: action.to_owned(),
            attributes,
        });
    }

    /// Tells of something else: an image, a network, a volume.
    pub(super) fn thing(&self, kind: &str, action: &str, id: &str, more: &[(&str, &str)]) {
        self.tell(Timestamp::now(), kind, action, id, Map::new(), more);
    }

    /// Before a container starts.
    fn connect(&self, container: &str, to: Connected) {
        for (name, target) in &to.volumes {
            let more = [
                ("container", container),
                ("destination", target),
                ("driver", "local"),
            ];
            self.thing("volume", "mount", name, &more);
        }
        for (id, name) in &to.networks {
            let more = [("container", container), ("name", name), ("type", "bridge")];
            self.thing("network", "connect", id, &more);
        }
        lock(&self.connected).insert(container.to_owned(), to);
    }

    /// After it has ended.
    fn disconnect(&self, container: &str) {
        let Some(from) = lock(&self.connected).remove(container) else {
            return;
        };
        for (id, name) in &from.networks {
            let more = [("container", container), ("name", name), ("type", "bridge")];
            self.thing("network", "disconnect", id, &more);
        }
        for (name, _) in &from.volumes {
            let more = [("container", container), ("driver", "local")];
            self.thing("volume", "unmount", name, &more);
        }
    }

    fn tell(
        &self,
        at: Timestamp,
        kind: &str,
        action: &str,
        id: &str,
        mut attributes: Map<String, Value>,
        more: &[(&str, &str)],
    ) {
        for (key, value) in more {
            attributes.insert((*key).to_owned(), json!(value));
        }
        let nanos = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
        let mut message = json!({
            "Type": kind,
            "Action": action,
            "Actor": {"ID": id, "Attributes": attributes},
            "scope": "local",
            "time": at.as_second(),
            "timeNano": nanos,
        });
        if kind == "container" {
            message["status"] = json!(action);
            message["id"] = json!(id);
            message["from"] = message["Actor"]["Attributes"]["image"].clone();
        }
        let message = Arc::new(message);
        let mut past = lock(&self.past);
        if past.len() >= KEPT {
            past.pop_front();
        }
        past.push_back(Arc::clone(&message));
        // Sent while the past is held: who subscribes under the same lock misses nothing and hears nothing twice.
        let _ = self.messages.send(message);
    }
}

/// Passes on what the engine tells, in order, for as long as it lives.
pub(super) fn follow(docker: &Arc<Docker>, mut happenings: mpsc::UnboundedReceiver<Queued>) {
    let docker = Arc::downgrade(docker);
    tokio::spawn(async move {
        while let Some(event) = happenings.recv().await {
            let Some(docker) = docker.upgrade() else {
                return;
            };
            match event {
                Queued::Engine(event) => pass_on(&docker, event),
                Queued::Container {
                    at,
                    id,
                    action,
                    attributes,
                } => docker
                    .events
                    .tell(at, "container", &action, &id, attributes, &[]),
            }
        }
    });
}

fn pass_on(docker: &Arc<Docker>, event: Event) {
    let id = event.id.as_str();
    let (action, more) = match &event.what {
        Happening::Created => ("create", vec![]),
        Happening::Started => ("start", vec![]),
        Happening::Ended { result, .. } => {
            ("die", vec![("exitCode", result.exit_code.to_string())])
        }
        Happening::Reset => ("reset", vec![]),
        Happening::Stopped => ("stop", vec![]),
        Happening::Paused => ("pause", vec![]),
        Happening::Unpaused => ("unpause", vec![]),
        Happening::Killed { signal } => ("kill", vec![("signal", signal.to_string())]),
        Happening::Renamed { before } => ("rename", vec![("oldName", format!("/{before}"))]),
        Happening::Updated => ("update", vec![]),
        Happening::Removed => ("destroy", vec![]),
    };
    let more: Vec<(&str, &str)> = more
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let mut attributes: Map<String, Value> = event
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    attributes.insert("image".to_owned(), json!(event.source));
    attributes.insert("name".to_owned(), json!(event.name));
    if matches!(event.what, Happening::Started)
        && let Some(connected) = Connected::of(docker, id)
    {
        docker.events.connect(id, connected);
    }
    docker
        .events
        .tell(event.at, "container", action, id, attributes, &more);
    if matches!(event.what, Happening::Ended { .. }) {
        docker.events.disconnect(id);
    }
    match event.what {
        Happening::Started | Happening::Reset => docker.watch_health(id),
        Happening::Ended { result, stopped } => {
            docker.health.end(id);
            // Nobody may be waiting.
            let _ = docker.events.ends.send((id.to_owned(), result.clone()));
            docker.after_end(id, &result, stopped);
        }
        Happening::Removed => docker.forget(id),
        _ => {}
    }
}

pub(super) fn stream(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::EVENTS)?;
    let now = Timestamp::now();
    let bound = |key: &str| time::nanoseconds(query.get(key).unwrap_or(""), now);
    let (since, until) = (bound("since")?, bound("until")?);
    let (feed, body) = stream::channel();
    let (past, mut coming) = {
        let past = lock(&docker.events.past);
        (past.clone(), docker.events.messages.subscribe())
    };
    let fits = move |message: &Value| {
        let at = message["timeNano"].as_u64().unwrap_or(0);
        until.is_none_or(|until| at <= until) && is_wanted(&filters, message)
    };
    tokio::spawn(async move {
        for message in past.iter().filter(|_| since.is_some()) {
            let at = message["timeNano"].as_u64().unwrap_or(0);
            if since.is_some_and(|since| at >= since) && fits(message) {
                feed.line(&**message).await;
            }
        }
        let left = until.map(|until| {
            let now = u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
            std::time::Duration::from_nanos(until.saturating_sub(now))
        });
        let over = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                message = coming.recv() => match message {
                    Ok(message) if fits(&message) => feed.line(&*message).await,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = feed.closed() => return,
                () = &mut over => return,
            }
        }
    });
    Ok(answer::stream("application/json", body))
}

fn is_wanted(filters: &Filters, message: &Value) -> bool {
    let text = |pointer: &str| {
        message
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let (kind, action, id) = (text("/Type"), text("/Action"), text("/Actor/ID"));
    let name = text("/Actor/Attributes/name");
    let attributes = &message["Actor"]["Attributes"];
    let about = |of: &'static str| {
        filters.any(of, |wanted| {
            kind == of
                && (id == wanted || name == wanted || (wanted.len() >= 4 && id.starts_with(wanted)))
        })
    };
    filters.any("type", |wanted| wanted == kind)
        && filters.any("event", |wanted| {
            wanted == action || action.starts_with(&format!("{wanted}:"))
        })
        && about("container")
        && about("network")
        && about("volume")
        && filters.any("image", |wanted| {
            let image = text("/Actor/Attributes/image");
            image == wanted || image.split(':').next() == Some(wanted) || id == wanted
        })
        && filters.labels(|key| attributes[key].as_str())
        && filters.any("scope", |wanted| wanted == "local")
}
