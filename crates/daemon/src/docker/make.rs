//! Images that are made here: of containers, of archives, and by another name.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use shedbox_docker::image;
use shedbox_docker::progress::failed;
use shedbox_dockerfile::config::{ImageConfig, changes};
use shedbox_engine::CommitOptions;
use shedbox_image::Step;
use shedbox_spec::{Error, Kind, Reference, Result};

use super::{Asked, Docker, images, later, now};
use crate::answer::{self, Answer};
use crate::query::Query;
use crate::stream::{self, BodyReader};

/// The name of `repo` and `tag`; `None` when there is no `repo`.
fn reference(query: &Query) -> Option<String> {
    let repository = query.get("repo").filter(|name| !name.is_empty())?;
    Some(match query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    })
}

/// `--change` lines over a configuration, in Docker's JSON.
fn changed(base: Value, query: &Query) -> Result<Value> {
    let lines: Vec<String> = query
        .all("changes")
        .iter()
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    if lines.is_empty() {
        return Ok(base);
    }
    let base: ImageConfig = shedbox_docker::body::from_value(base)?;
    let done = changes(base, &lines).map_err(|error| Error::invalid(error.to_string()))?;
    serde_json::to_value(done).map_err(|error| Error::internal(error.to_string()))
}

pub(super) fn tag(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let target = reference(query).ok_or_else(|| Error::invalid("repo must not be empty"))?;
    now(|| docker.engine.tag_image(name, &target)).map_err(|error| match error.kind {
        Kind::NotFound => images::not_found(name, error),
        Kind::Invalid => Error::invalid(format!("invalid reference format: {}", error.message)),
        _ => error,
    })?;
    let detail = now(|| docker.engine.inspect_image(&target))?;
    let familiar = Reference::parse(&target).map_or(target, |reference| reference.familiar());
    let id = detail.summary.id.to_string();
    docker
        .events
        .thing("image", "tag", &id, &[("name", &familiar)]);
    Ok(answer::bare(StatusCode::CREATED))
}

/// The container's own configuration, as far as it is an image's, is the new image's.
pub(super) async fn commit(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let query = &asked.query;
    let name = query
        .get("container")
        .ok_or_else(|| Error::invalid("no container was named"))?;
    let info = docker.find(name)?;
    let shown = shedbox_docker::inspect::container(
        &info,
        &super::stored(&info),
        &docker.extra(&info),
        &docker.image_config(&info),
    );
    let own = shown["Config"].clone();
    let options = CommitOptions {
        references: reference(query).into_iter().collect(),
        config: Some(changed(image::for_new(&own), query)?),
        step: Step {
            author: query
                .get("author")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            created_by: None,
            comment: query
                .get("comment")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
        },
        pause: query.flag_or("pause", true)?,
    };
    let id = info.id.to_string();
    let made = later(docker, move |engine| engine.commit(&id, options)).await?;
    docker
        .events
        .container(&info, "commit", &[("imageID", &made.to_string())]);
    Ok(answer::json(StatusCode::CREATED, &json!({"Id": made})))
}

/// `POST /images/create?fromSrc=-`.
pub(super) fn import(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let query = &asked.query;
    if query.get("fromSrc") != Some("-") {
        return Err(Error::new(
            Kind::Unsupported,
            "import from an address is not supported: the daemon fetches nothing but images",
        )
        .with_hint("fetch it and send it: `curl … | docker import -`"));
    }
    let config = changed(json!({}), query)?;
    let reference = reference(query);
    let message = query
        .get("message")
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let reader = BodyReader::new(asked.body);
    let engine = Arc::clone(&docker.engine);
    let work = tokio::task::spawn_blocking(move || {
        engine.import_image(reader, reference.as_deref(), config, message.as_deref())
    });
    let (feed, body) = stream::channel();
    tokio::spawn(async move {
        match work.await {
            Ok(Ok(id)) => feed.line(&json!({"status": id})).await,
            Ok(Err(error)) => feed.line(&failed(&Error::from(error).message)).await,
            Err(error) => {
                feed.line(&failed(&format!("an import has failed: {error}")))
                    .await;
            }
        }
    });
    Ok(answer::stream("application/json", body))
}
