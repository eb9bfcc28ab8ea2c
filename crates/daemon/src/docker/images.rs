//! Images.

mod registry;

use std::collections::HashSet;
use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::filters::{self, Filters};
use shedbox_docker::progress::failed;
use shedbox_docker::{error, image, inspect as show};
use shedbox_engine::Filter;
use shedbox_image::{Events, Format};
use shedbox_spec::api::{ImageSummary, PullEvent, Removed, SandboxInfo, Status};
use shedbox_spec::error::Cause;
use shedbox_spec::reference::Reference;
use shedbox_spec::{Digest, Error, Kind, Result};
use tokio::sync::mpsc::unbounded_channel;

pub(super) use self::registry::{create, distribution, push, search};
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
                    .await;
            }
        }
    });
    Ok(answer::stream("application/json", body))
}

pub(super) fn save(docker: &Arc<Docker>, names: Vec<String>) -> Result<Answer> {
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
