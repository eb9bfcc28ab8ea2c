//! Images that come from registries and go there.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use shedbox_docker::progress::{self as words, Progress, failed, pushed};
use shedbox_docker::{create, login};
use shedbox_engine::Engine;
use shedbox_spec::api::{AuthSources, PullEvent, PullPolicy, PullRequest, PushRequest};
use shedbox_spec::reference::Reference;
use shedbox_spec::{Digest, Error, Kind, Result};
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
    let auth = login_of(&asked)?;
    // `pull -a` of old clients sends a name with a colon behind it.
    let name = name.strip_suffix(':').unwrap_or(name);
    let reference = Reference::parse(name)?;
    let typed = match query.get("tag").filter(|tag| !tag.is_empty()) {
        Some(digest) if digest.contains(':') => Some(format!("{name}@{digest}")),
        Some(tag) => Some(format!("{name}:{tag}")),
        None => names_one(name, &reference).then(|| name.to_owned()),
    };
    let platform = query
        .get("platform")
        .filter(|platform| !platform.is_empty())
        .map(create::platform_of);
    let request = |reference: String| PullRequest {
        reference,
        platform: platform.clone(),
        policy: PullPolicy::Always,
        auth: auth.clone(),
    };
    let wanted = if let Some(typed) = typed {
        let reference = Reference::parse(&typed)?;
        Wanted {
            familiar: reference.familiar(),
            name: reference.familiar_name(),
            is_many: false,
            all: vec![(reference, request(typed))],
        }
    } else {
        let known = reference.familiar_name();
        let tags = docker.engine.images().tags(name, &auth).await;
        let tags = tags.map_err(|error| no_repository(&known, error.into()))?;
        Wanted {
            familiar: known.clone(),
            name: known,
            is_many: true,
            all: tags
                .into_iter()
                .map(|tag| {
                    let request = request(tag.to_string());
                    (tag, request)
                })
                .collect(),
        }
    };
    pull(docker, wanted).await
}

/// Whether what was typed names one image, and not all of a repository.
fn names_one(name: &str, reference: &Reference) -> bool {
    let last = name.rsplit('/').next();
    reference.digest().is_some() || last.is_some_and(|last| last.contains(':'))
}

/// The id of the image that a reference names here.
fn named(engine: &Engine, reference: &str) -> Option<Digest> {
    Some(engine.images().find(reference).ok()?.config.clone())
}

/// Images that one request pulls.
struct Wanted {
    /// What the last line and the event call them.
    familiar: String,
    /// Their repository.
    name: String,
    /// All of a repository, however many it has.
    is_many: bool,
    all: Vec<(Reference, PullRequest)>,
}

/// Pulls one after the other until one fails: what was pulled before it stays.
async fn pull(docker: &Arc<Docker>, wanted: Wanted) -> Result<Answer> {
    let Wanted {
        familiar,
        name,
        is_many,
        all,
    } = wanted;
    let (references, requests): (Vec<Reference>, Vec<PullRequest>) = all.into_iter().unzip();
    let first_name = references.first().map(Reference::familiar);
    let mut progress: Vec<Progress> = references
        .iter()
        .map(|reference| {
            if is_many {
                Progress::one_of_many(reference)
            } else {
                Progress::new(reference)
            }
        })
        .collect();
    let (sender, mut events) = unbounded_channel();
    let engine = Arc::clone(&docker.engine);
    let work = tokio::spawn(async move {
        for (index, request) in requests.into_iter().enumerate() {
            let sender = sender.clone();
            let before = named(&engine, &request.reference);
            let pass = move |mut event| {
                if let PullEvent::Done { image, up_to_date } = &mut event {
                    // A name that is new, or names another image now, is news as well.
                    *up_to_date &= before.as_ref() == Some(&image.id);
                }
                // Who hears nothing any more has the whole pull ended.
                let _ = sender.send((index, event));
            };
            engine.images().pull(request, pass).await?;
        }
        Ok::<(), Error>(())
    });
    let crashed =
        |error: tokio::task::JoinError| Error::internal(format!("a pull has failed: {error}"));
    let first = events.recv().await;
    // A repository may have no tags left; then there is nothing to be said of them.
    if let (None, Some(name)) = (&first, first_name) {
        work.await
            .map_err(crashed)?
            .map_err(|error| pull_refused(&name, error))?;
        return Err(Error::internal("a pull has said nothing"));
    }
    let (feed, body) = stream::channel();
    let docker = Arc::clone(docker);
    tokio::spawn(async move {
        let mut nothing_new = true;
        let told = async {
            let mut next = first;
            while let Some((index, event)) = next {
                if let PullEvent::Done { up_to_date, .. } = &event {
                    nothing_new &= up_to_date;
                }
                for line in progress[index].lines(&event, &familiar) {
                    feed.line(&line).await;
                }
                next = events.recv().await;
            }
        };
        tokio::select! {
            () = told => {}
            () = feed.closed() => return work.abort(),
        }
        let last = match work.await.map_err(crashed) {
            Ok(Ok(())) => {
                docker
                    .events
                    .thing("image", "pull", &familiar, &[("name", &name)]);
                is_many.then(|| words::status(&familiar, nothing_new))
            }
            Ok(Err(error)) | Err(error) => Some(failed(&error.message)),
        };
        if let Some(line) = last {
            feed.line(&line).await;
        }
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
    let tag = asked.query.get("tag").filter(|tag| !tag.is_empty());
    let reference = Reference::parse(name)?;
    let here = now(|| Ok(docker.engine.images().tags_here(name)?))?;
    let known = reference.familiar_name();
    if here.is_empty() {
        return Err(Error::not_found(format!(
            "An image does not exist locally with the tag: {known}"
        )));
    }
    let typed = match tag {
        Some(tag) => Some(format!("{name}:{tag}")),
        None => names_one(name, &reference).then(|| name.to_owned()),
    };
    let (familiar, references) = match typed {
        Some(typed) => {
            let reference = Reference::parse(&typed)?;
            if reference.digest().is_some() {
                return Err(Error::invalid("cannot push a digest reference"));
            }
            let familiar = reference.familiar();
            if !here.iter().any(|here| here.tag() == reference.tag()) {
                return Err(Error::not_found(format!("tag does not exist: {familiar}")));
            }
            (familiar, vec![(reference, typed)])
        }
        None => {
            let all = here.into_iter().map(|reference| {
                let typed = reference.to_string();
                (reference, typed)
            });
            (known.clone(), all.collect())
        }
    };
    let auth = login_of(asked)?;
    let (sender, mut events) = unbounded_channel();
    let engine = Arc::clone(&docker.engine);
    let work = tokio::spawn(async move {
        for (reference, typed) in references {
            let request = PushRequest {
                reference: typed,
                auth: auth.clone(),
            };
            let (sender, tag) = (
                sender.clone(),
                reference.tag().unwrap_or("latest").to_owned(),
            );
            engine
                .images()
                .push(request, move |event| {
                    drop(sender.send((tag.clone(), event)));
                })
                .await?;
        }
        Ok::<(), Error>(())
    });
    let (feed, body) = stream::channel();
    let docker = Arc::clone(docker);
    tokio::spawn(async move {
        let told = async {
            feed.line(&words::refers_to(&known)).await;
            while let Some((tag, event)) = events.recv().await {
                for line in pushed(&event, &tag) {
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
                    .thing("image", "push", &familiar, &[("name", &known)]);
                return;
            }
            Ok(Err(error)) => error,
            Err(error) => Error::internal(format!("a push has failed: {error}")),
        };
        feed.line(&failed(&error.message)).await;
    });
    Ok(answer::stream("application/json", body))
}

/// A repository whose tags a registry does not tell.
fn no_repository(name: &str, error: Error) -> Error {
    match error.kind {
        Kind::NotFound => Error::not_found(format!(
            "repository {name} not found: name unknown: {}",
            error.message
        )),
        _ => pull_refused(name, error),
    }
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
