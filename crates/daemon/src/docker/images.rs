//! Images.

use std::collections::HashSet;
use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::filters::{self, Filters};
use shedbox_docker::progress::{Progress, failed, pushed};
use shedbox_docker::{create, error, image, inspect as show, login};
use shedbox_engine::Filter;
use shedbox_image::{Events, Format};
use shedbox_spec::api::{
    AuthSources, ImageSummary, PullEvent, PullPolicy, PullRequest, PushRequest, Removed,
    SandboxInfo, Status,
};
use shedbox_spec::error::Cause;
use shedbox_spec::reference::Reference;
use shedbox_spec::{Digest, Error, Kind, Result};
use tokio::sync::mpsc::unbounded_channel;

use super::{Asked, Docker, later, now, or_null};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::stream::{self, BodyReader};

/// An image that is not here, in Docker's words: a name gets its tag.
pub(super) fn not_found(name: &str, error: Error) -> Error {
    if error.kind != Kind::NotFound {
        return error;
    }
    match Reference::parse(name) {
        Ok(reference) if !shedbox_spec::reference::is_full_id(name) => {
            error::no_image(&reference.familiar())
        }
        _ => error::no_image(name),
    }
}

pub(super) fn inspect(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let detail =
        now(|| docker.engine.inspect_image(name)).map_err(|error| not_found(name, error))?;
    Ok(answer::json(StatusCode::OK, &image::inspect(&detail)))
}

pub(super) fn history(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let entries =
        now(|| docker.engine.image_history(name)).map_err(|error| not_found(name, error))?;
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "Id": entry.id.as_ref().map_or_else(|| "<missing>".to_owned(), ToString::to_string),
                "Created": entry.created.as_deref().map_or(0, show::seconds),
                "CreatedBy": entry.created_by,
                "Tags": if entry.tags.is_empty() { Value::Null } else { json!(entry.tags) },
                "Size": entry.size,
                "Comment": entry.comment,
            })
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &list))
}

/// Listed images in Docker's form.
pub(super) fn summaries(images: &[ImageSummary]) -> Vec<Value> {
    images
        .iter()
        .map(|summary| image::summary(summary, -1))
        .collect()
}

pub(super) fn list(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::IMAGES)?;
    let dangling = filters.flag("dangling")?;
    let until = filters.until(Timestamp::now())?;
    let created = |name: &str| -> Result<i64> {
        let detail =
            now(|| docker.engine.inspect_image(name)).map_err(|error| not_found(name, error))?;
        Ok(detail.summary.created.as_deref().map_or(0, show::seconds))
    };
    let bound = |key: &str| {
        filters
            .get(key)
            .first()
            .map(|name| created(name))
            .transpose()
    };
    let (before, since) = (bound("before")?, bound("since")?);
    let known = now(|| Ok(docker.engine.list_images()))?;
    // Steps of builds: images without a name that others were made from.
    let parents: HashSet<String> = known
        .iter()
        .filter_map(|image| image.parent.as_ref().map(ToString::to_string))
        .collect();
    let all = query.flag("all")?;
    let images: Vec<ImageSummary> = known
        .into_iter()
        .filter(|image| {
            all || !image.references.is_empty() || !parents.contains(&image.id.to_string())
        })
        .filter(|image| {
            let at = image.created.as_deref().map_or(0, show::seconds);
            dangling.is_none_or(|dangling| dangling == image.references.is_empty())
                && before.is_none_or(|bound| at < bound)
                && since.is_none_or(|bound| at > bound)
                && until.is_none_or(|bound| at < bound)
        })
        .filter_map(|image| named_as_wanted(image, &filters))
        .collect();
    let list: Vec<Value> = summaries(&images)
        .into_iter()
        .filter(|value| filters.labels(|key| value["Labels"][key].as_str()))
        .collect();
    Ok(answer::json(StatusCode::OK, &list))
}

/// An image with the names that were asked for; `None` when it has none of them.
fn named_as_wanted(mut image: ImageSummary, filters: &Filters) -> Option<ImageSummary> {
    if filters.get("reference").is_empty() {
        return Some(image);
    }
    let wanted =
        |name: &String| filters.any("reference", |wanted| filters::reference(wanted, name));
    image.references.retain(wanted);
    image.repo_digests.retain(wanted);
    let is_wanted = !image.references.is_empty() || !image.repo_digests.is_empty();
    is_wanted.then_some(image)
}

pub(super) async fn remove(docker: &Arc<Docker>, name: String, query: &Query) -> Result<Answer> {
    let force = query.flag("force")?;
    let image = now(|| docker.engine.inspect_image(&name))
        .map_err(|error| not_found(&name, error))?
        .summary;
    // By one of its names, or by its id.
    let named = Reference::parse(&name)
        .is_ok_and(|reference| image.references.contains(&reference.familiar()));
    let asked = name.clone();
    let user = if force {
        running_user(docker, &image)
    } else {
        None // in the way whether it runs or not
    };
    let removed = match user {
        Some(user) => {
            // What runs keeps its image, if without a name.
            if !named {
                return Err(error::used_by_running(&image.id, &user.id));
            }
            later(docker, move |engine| engine.untag_image(&asked))
                .await
                .map(|_| Removed {
                    untagged: Reference::parse(&name)
                        .iter()
                        .map(Reference::familiar)
                        .collect(),
                    deleted: Vec::new(),
                })
        }
        None => later(docker, move |engine| engine.remove_image(&asked, force)).await,
    };
    let removed = removed.map_err(|error| match error.kind {
        Kind::NotFound => not_found(&name, error),
        _ => match error.cause() {
            Some(Cause::ImageInUse(user)) if named => error::image_in_use(&name, &image.id, user),
            Some(Cause::ImageInUse(user)) => {
                let runs = docker
                    .engine
                    .inspect(user.as_str())
                    .is_ok_and(|user| matches!(user.status, Status::Running | Status::Paused));
                if runs {
                    error::used_by_running(&image.id, user)
                } else {
                    error::used_by_stopped(&image.id, user)
                }
            }
            Some(Cause::ManyNames) => error::many_names(&image.id),
            _ => error,
        },
    })?;
    let id = image.id.to_string();
    for _ in &removed.untagged {
        docker.events.thing("image", "untag", &id, &[("name", &id)]);
    }
    for digest in &removed.deleted {
        let id = digest.to_string();
        docker
            .events
            .thing("image", "delete", &id, &[("name", &id)]);
    }
    Ok(answer::json(StatusCode::OK, &image::removed(&removed)))
}

/// A container that runs from an image.
fn running_user(docker: &Docker, image: &ImageSummary) -> Option<SandboxInfo> {
    docker
        .engine
        .list(&Filter::default())
        .into_iter()
        .find(|info| info.image.as_ref() == Some(&image.id))
}

pub(super) async fn prune(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::PRUNE)?;
    let all = filters.flag("dangling")? == Some(false);
    let until = filters.until(Timestamp::now())?;
    let spared = |image: &ImageSummary| {
        let at = image.created.as_deref().map_or(0, show::seconds);
        let fits = filters.labels(|key| image.labels.get(key).map(String::as_str));
        !fits || until.is_some_and(|until| at >= until)
    };
    let keep: HashSet<Digest> = docker
        .engine
        .list_images()
        .into_iter()
        .filter(spared)
        .map(|image| image.id)
        .collect();
    let pruned = later(docker, move |engine| engine.prune_images(all, &keep)).await?;
    let deleted: Vec<Value> = pruned
        .removed
        .iter()
        .map(|name| json!({"Deleted": name}))
        .collect();
    let answer = json!({"ImagesDeleted": or_null(&deleted), "SpaceReclaimed": pruned.bytes});
    Ok(answer::json(StatusCode::OK, &answer))
}

pub(super) fn search() -> Result<Answer> {
    Err(Error::new(
        Kind::Unsupported,
        "search is not supported: it is a service of one registry, and shedbox talks to any",
    ))
}

/// A pull. What fails before the first event is an error with its own status: clients that do not read the stream would
/// take it for done.
pub(super) async fn create(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let query = &asked.query;
    if query
        .get("fromSrc")
        .is_some_and(|source| !source.is_empty())
    {
        return super::make::import(docker, asked);
    }
    let name = query.get("fromImage").unwrap_or("");
    if name.is_empty() {
        return Err(Error::invalid("no image was specified"));
    }
    let names_one = Reference::parse(name).is_ok_and(|reference| {
        let last = name.rsplit('/').next();
        reference.digest().is_some() || last.is_some_and(|last| last.contains(':'))
    });
    if query.get("tag").is_none_or(str::is_empty) && !names_one {
        return Err(Error::new(
            Kind::Unsupported,
            format!("all tags of `{name}` cannot be pulled at once: name one"),
        ));
    }
    let typed = match query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    let reference = Reference::parse(&typed)?;
    let familiar = reference.familiar();
    let request = PullRequest {
        reference: typed,
        platform: query
            .get("platform")
            .filter(|platform| !platform.is_empty())
            .map(create::platform_of),
        policy: PullPolicy::Always,
        auth: login_of(&asked)?,
    };
    let mut progress = Progress::new(&reference);
    let name = reference.familiar_name();
    let (sender, mut events) = unbounded_channel();
    let engine = Arc::clone(&docker.engine);
    let work = tokio::spawn(async move {
        let outcome = engine
            .images()
            .pull(request, move |event| drop(sender.send(event)))
            .await;
        outcome.map(drop).map_err(Error::from)
    });
    let crashed =
        |error: tokio::task::JoinError| Error::internal(format!("a pull has failed: {error}"));
    let Some(first) = events.recv().await else {
        work.await
            .map_err(crashed)?
            .map_err(|error| pull_refused(&familiar, error))?;
        return Err(Error::internal("a pull has said nothing"));
    };
    let (feed, body) = stream::channel();
    let docker = Arc::clone(docker);
    tokio::spawn(async move {
        let told = async {
            for line in progress.lines(&first, &familiar) {
                feed.line(&line).await;
            }
            while let Some(event) = events.recv().await {
                for line in progress.lines(&event, &familiar) {
                    feed.line(&line).await;
                }
                if let PullEvent::Done { .. } = event {
                    docker
                        .events
                        .thing("image", "pull", &familiar, &[("name", &name)]);
                }
            }
        };
        tokio::select! {
            () = told => {}
            () = feed.closed() => return work.abort(),
        }
        let error = match work.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) => Error::internal(format!("a pull has failed: {error}")),
        };
        feed.line(&failed(&error.message)).await;
    });
    Ok(answer::stream("application/json", body))
}

/// The login of the header, else what files this user has.
fn login_of(asked: &Asked) -> Result<AuthSources> {
    let header = asked
        .headers
        .get(login::HEADER)
        .map(|value| value.to_str().unwrap_or("%"));
    Ok(AuthSources {
        home: std::env::var("HOME").ok(),
        docker_config: std::env::var("DOCKER_CONFIG").ok(),
        path: std::env::var("PATH").ok(),
        credentials: login::credentials(header)?,
        ..AuthSources::default()
    })
}

pub(super) fn push(docker: &Arc<Docker>, name: &str, asked: &Asked) -> Result<Answer> {
    let typed = match asked.query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    let reference = Reference::parse(&typed)?;
    let familiar = reference.familiar();
    let name = reference.familiar_name();
    let tag = reference.tag().unwrap_or("latest").to_owned();
    now(|| docker.engine.inspect_image(&typed)).map_err(|error| match error.kind {
        Kind::NotFound => Error::not_found(format!(
            "An image does not exist locally with the tag: {name}"
        )),
        _ => error,
    })?;
    let request = PushRequest {
        reference: typed,
        auth: login_of(asked)?,
    };
    let (sender, mut events) = unbounded_channel();
    let engine = Arc::clone(&docker.engine);
    let work = tokio::spawn(async move {
        let outcome = engine
            .images()
            .push(request, move |event| drop(sender.send(event)))
            .await;
        outcome.map(drop).map_err(Error::from)
    });
    let (feed, body) = stream::channel();
    let docker = Arc::clone(docker);
    tokio::spawn(async move {
        let told = async {
            while let Some(event) = events.recv().await {
                for line in pushed(&event, &familiar, &tag) {
                    feed.line(&line).await;
                }
            }
        };
        tokio::select! {
            () = told => {}
            () = feed.closed() => return work.abort(),
        }
        let error = match work.await {
            Ok(Ok(())) => {
                docker
                    .events
                    .thing("image", "push", &familiar, &[("name", &name)]);
                return;
            }
            Ok(Err(error)) => error,
            Err(error) => Error::internal(format!("a push has failed: {error}")),
        };
        feed.line(&failed(&error.message)).await;
    });
    Ok(answer::stream("application/json", body))
}

fn pull_refused(familiar: &str, error: Error) -> Error {
    match error.kind {
        Kind::NotFound => Error::not_found(format!(
            "manifest for {familiar} not found: manifest unknown: {}",
            error.message
        )),
        Kind::Denied => Error::not_found(format!(
            "pull access denied for {familiar}, repository does not exist or may require 'docker login': {}",
            error.message
        )),
        _ => error,
    }
}

pub(super) fn load(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let quiet = asked.query.flag("quiet")?;
    let reader = BodyReader::new(asked.body);
    let (sender, mut events) = unbounded_channel();
    let engine = Arc::clone(&docker.engine);
    let work = tokio::task::spawn_blocking(move || {
        let events: Events = Arc::new(move |event| drop(sender.send(event)));
        engine
            .images()
            .load(reader, events)
            .map(drop)
            .map_err(Error::from)
    });
    let (feed, body) = stream::channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let PullEvent::Done { image, .. } = event {
                let text = if image.references.is_empty() {
                    format!("Loaded image ID: {}\n", image.id)
                } else {
                    image
                        .references
                        .iter()
                        .map(|name| format!("Loaded image: {name}\n"))
                        .collect()
                };
                feed.line(&json!({"stream": text})).await;
            } else if let PullEvent::Warning { message } = event
                && !quiet
            {
                feed.line(&json!({"status": message})).await;
            }
        }
        match work.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => feed.line(&failed(&error.message)).await,
            Err(error) => {
                feed.line(&failed(&format!("a load has failed: {error}")))
                    .await
            }
        }
    });
    Ok(answer::stream("application/json", body))
}

pub(super) async fn save(docker: &Arc<Docker>, names: Vec<String>) -> Result<Answer> {
    let names: Vec<String> = names
        .iter()
        .flat_map(|name| name.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(Error::invalid("no image was named"));
    }
    for name in &names {
        now(|| docker.engine.inspect_image(name)).map_err(|error| not_found(name, error))?;
    }
    let engine = Arc::clone(&docker.engine);
    let body = stream::written("an archive of images", move |writer| {
        let images = engine.images();
        images
            .save(&names, Format::Docker, writer)
            .map_err(Error::from)
    });
    Ok(answer::stream("application/x-tar", body))
}
