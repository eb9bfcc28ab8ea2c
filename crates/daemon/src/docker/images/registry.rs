//! Images that come from registries and go there.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use shedbox_docker::progress::{Progress, failed, pushed};
use shedbox_docker::{create, login};
use shedbox_spec::api::{AuthSources, PullEvent, PullPolicy, PullRequest, PushRequest};
use shedbox_spec::reference::Reference;
use shedbox_spec::{Error, Kind, Result};
use tokio::sync::mpsc::unbounded_channel;

use super::super::{Asked, Docker, now};
use crate::answer::{self, Answer};
use crate::stream;

pub(in crate::docker) fn search() -> Result<Answer> {
    Err(Error::new(
        Kind::Unsupported,
        "search is not supported: it is a service of one registry, and shedbox talks to any",
    ))
}

/// A pull. What fails before the first event is an error with its own status: clients that do not read the stream would
/// take it for done.
pub(in crate::docker) async fn create(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let query = &asked.query;
    if query
        .get("fromSrc")
        .is_some_and(|source| !source.is_empty())
    {
        return super::super::make::import(docker, asked);
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

/// What a registry has under a name.
pub(in crate::docker) async fn distribution(
    docker: &Arc<Docker>,
    name: &str,
    asked: &Asked,
) -> Result<Answer> {
    let familiar = Reference::parse(name)?.familiar();
    let found = docker
        .engine
        .images()
        .describe(name, &login_of(asked)?)
        .await
        .map_err(|error| pull_refused(&familiar, error.into()))?;
    let platforms: Vec<Value> = found
        .platforms
        .iter()
        .map(|platform| {
            let mut value = json!({"os": platform.os, "architecture": platform.architecture});
            // Clients compare the whole: what is empty is left out, as Go does.
            if let Some(variant) = &platform.variant {
                value["variant"] = json!(variant);
            }
            value
        })
        .collect();
    let answer = json!({
        "Descriptor": {
            "mediaType": found.media_type,
            "digest": found.digest,
            "size": found.size,
        },
        "Platforms": platforms,
    });
    Ok(answer::json(StatusCode::OK, &answer))
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

pub(in crate::docker) fn push(docker: &Arc<Docker>, name: &str, asked: &Asked) -> Result<Answer> {
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
