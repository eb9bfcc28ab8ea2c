//! Images.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use shedbox_engine::Engine;
use shedbox_image::{Events, Format};
use shedbox_spec::api::{PullEvent, PullRequest};
use shedbox_spec::{Error, Result};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::{call, read_json};
use crate::answer::{self, Answer, LINES};
use crate::query::Query;
use crate::stream::{self, BodyReader};

/// Lines of events; the last one is `done` or `failed`. A client that leaves ends the pull.
pub(super) async fn pull(engine: &Arc<Engine>, body: Incoming) -> Answer {
    let request: PullRequest = match read_json(body).await {
        Ok(request) => request,
        Err(error) => return answer::failure(&error),
    };
    let engine = Arc::clone(engine);
    lines(move |events| {
        tokio::spawn(async move {
            let outcome = engine
                .images()
                .pull(request, move |event| drop(events.send(event)))
                .await;
            outcome.map(drop).map_err(Error::from)
        })
    })
}

/// The same for an archive: the request's body, or a file or directory of the host.
pub(super) fn load(engine: &Arc<Engine>, query: &Query, body: Incoming) -> Answer {
    let path = query.get("path").map(PathBuf::from);
    if let Some(path) = path.as_ref().filter(|path| !path.is_absolute()) {
        return answer::failure(&Error::invalid(format!(
            "`{}` is not an absolute path",
            path.display()
        )));
    }
    let engine = Arc::clone(engine);
    let reader = BodyReader::new(body);
    lines(move |events| {
        tokio::task::spawn_blocking(move || {
            let events: Events = Arc::new(move |event| drop(events.send(event)));
            let outcome = match path {
                Some(path) => engine.images().load_path(&path, events),
                None => engine.images().load(reader, events),
            };
            outcome.map(drop).map_err(Error::from)
        })
    })
}

/// Starts work that tells events, and answers with them as lines. Events wait in memory for a slow client, because
/// other pulls may depend on this one: there are a few a second.
fn lines(start: impl FnOnce(UnboundedSender<PullEvent>) -> JoinHandle<Result<()>>) -> Answer {
    let (feed, body) = stream::channel();
    let (queue, mut events) = unbounded_channel();
    let work = start(queue);
    tokio::spawn(async move {
        let told = async {
            while let Some(event) = events.recv().await {
                feed.line(&event).await;
            }
        };
        tokio::select! {
            () = told => {}
            () = feed.closed() => {
                tracing::info!("a client has left a pull or load");
                return work.abort();
            }
        }
        let error = match work.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) => Error::internal(format!("a pull or load has failed: {error}")),
        };
        feed.line(&PullEvent::Failed { error }).await;
    });
    answer::stream(LINES, body)
}

/// A tar stream. What is wrong with the request is said before it begins; a failure later ends the connection.
pub(super) async fn save(engine: &Arc<Engine>, query: &Query) -> Answer {
    let names = query.all("ref");
    let format = match query.get("format") {
        None | Some("" | "docker") => Format::Docker,
        Some("oci") => Format::Oci,
        Some(other) => {
            let error =
                Error::invalid(format!("unknown format `{other}`")).with_hint("use docker or oci");
            return answer::failure(&error);
        }
    };
    if names.is_empty() {
        return answer::failure(&Error::invalid("no image was named"));
    }
    let wanted = names.clone();
    let known = call(engine, move |engine| {
        wanted
            .iter()
            .try_for_each(|name| engine.inspect_image(name).map(drop))
    });
    if let Err(error) = known.await {
        return answer::failure(&error);
    }
    let engine = Arc::clone(engine);
    let body = stream::written("an archive of images", move |writer| {
        let images = engine.images();
        images.save(&names, format, writer).map_err(Error::from)
    });
    answer::stream("application/x-tar", body)
}

pub(super) async fn inspect(engine: &Arc<Engine>, query: &Query) -> Answer {
    let name = match query.require("ref") {
        Ok(name) => name.to_owned(),
        Err(error) => return answer::failure(&error),
    };
    answer::ok(call(engine, move |engine| engine.inspect_image(&name)).await)
}

pub(super) async fn remove(engine: &Arc<Engine>, query: &Query) -> Answer {
    let (name, force) = match query
        .require("ref")
        .and_then(|name| Ok((name.to_owned(), query.flag("force")?)))
    {
        Ok(both) => both,
        Err(error) => return answer::failure(&error),
    };
    answer::ok(call(engine, move |engine| engine.remove_image(&name, force)).await)
}

pub(super) async fn prune(engine: &Arc<Engine>, query: &Query) -> Answer {
    match query.flag("all") {
        Ok(all) => answer::ok(
            call(engine, move |engine| {
                engine.prune_images(all, &HashSet::new())
            })
            .await,
        ),
        Err(error) => answer::failure(&error),
    }
}
