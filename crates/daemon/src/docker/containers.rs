//! Containers: made, listed, shown, changed, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::filters::{self, Filters};
use shedbox_docker::stored::{Stored, VolumeUse};
use shedbox_docker::{body, create as translate, error, inspect as show, status};
use shedbox_engine::Filter;
use shedbox_image::platform::Platform;
use shedbox_spec::api::{ChangeKind, CreateRequest, ImageDetail, PullPolicy, SandboxInfo, Status};
use shedbox_spec::error::Cause;
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::{Error, Kind, Result};

use super::{Asked, Docker, later, now, or_null, stored};
use crate::answer::{self, Answer};
use crate::query::Query;

pub(super) async fn create(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let name = asked
        .query
        .get("name")
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    let platform = asked.query.get("platform").map(str::to_owned);
    let bytes = asked.json().await?;
    let made = tokio::task::block_in_place(|| {
        create_now(docker, &bytes, name.as_deref(), platform.as_deref())
    })?;
    let image = made.info.image.as_ref().map(ToString::to_string);
    for (volume, target) in &made.to_fill {
        let image = image.as_deref().unwrap_or_default();
        if let Err(error) = super::copy_up::fill(docker, image, volume, target).await {
            // What was made for it goes with it.
            drop(docker.engine.remove(made.info.id.as_str(), true));
            docker.volumes.drop_anonymous(&stored(&made.info).volumes);
            return Err(error);
        }
    }
    let answer = json!({"Id": made.info.id, "Warnings": made.warnings});
    Ok(answer::json(StatusCode::CREATED, &answer))
}

/// A container that was created.
struct Made {
    info: SandboxInfo,
    warnings: Vec<String>,
    /// Directories of volumes, and where they are seen, that get what the image has there.
    to_fill: Vec<(String, String)>,
}

fn create_now(
    docker: &Arc<Docker>,
    bytes: &[u8],
    name: Option<&str>,
    platform: Option<&str>,
) -> Result<Made> {
    let (mut body, value) = translate::read(bytes)?;
    if let Some(name) = name {
        valid_name(name)?;
    }
    // Without a name, the translation says what is wrong.
    if !body.image.is_empty() {
        // One that is not here is not pulled: the client does that.
        let image = now(|| docker.engine.inspect_image(&body.image))
            .map_err(|error| super::images::not_found(&body.image, error))?;
        if let Some(platform) = platform.filter(|platform| !platform.is_empty()) {
            is_for(&image, &body.image, platform)?;
        }
        volumes_of_image(docker, &image, &mut body)?;
    }
    if let Some(setting) = docker.engine.default_network() {
        translate::apply_default_network(&mut body, setting);
    }
    let mut used = BTreeMap::new();
    let mut to_fill = Vec::new();
    let outcome = translate::translate(&body, name, platform, &mut |wanted| {
        let volume = docker.volumes.for_container(wanted)?;
        used.insert(
            wanted.target.clone(),
            VolumeUse {
                name: volume.name.clone(),
                anonymous: wanted.name.is_none(),
            },
        );
        if !wanted.no_copy {
            to_fill.push((volume.data(), wanted.target.clone()));
        }
        Ok(volume.data())
    })
    .and_then(|mut done| {
        volumes_from(docker, &body, &mut done.spec.mounts, &mut used)?;
        make_sources(&body, &done.spec.mounts)?;
        let kept = Stored {
            body: value,
            volumes: used.clone(),
        };
        kept.keep(&mut done.spec);
        done.spec.recycle |= docker.engine.config().docker.recycle
            && !body.labels.contains_key(translate::RECYCLE_LABEL);
        let request = CreateRequest {
            spec: done.spec,
            start: false,
            hold_main: false,
            owned: false,
            pull: PullPolicy::Never,
            auth: shedbox_spec::api::AuthSources::default(),
        };
        let info = docker.engine.create(request, None).map_err(Error::from)?;
        Ok((info, done.warnings))
    });
    match outcome {
        Ok((info, mut warnings)) => {
            warnings.extend(info.warnings.iter().cloned());
            if info.spec.auto_remove {
                docker.volumes.goes_with(info.id.as_str(), &used);
            }
            Ok(Made {
                info,
                warnings,
                to_fill,
            })
        }
        Err(error) => {
            docker.volumes.drop_anonymous(&used);
            let name = name.unwrap_or_default().trim_start_matches('/');
            Err(match error.cause() {
                Some(Cause::NameTaken(by)) => error::name_taken(name, by.as_str()),
                Some(Cause::NoNetwork(name)) => Error::invalid(format!("network {name} not found")),
                Some(Cause::NoSandbox(name)) => Error {
                    kind: Kind::Invalid,
                    ..error::no_container(name)
                },
                // The image is there. Clients take any 404 for an image that has to be pulled.
                _ if error.kind == Kind::NotFound => Error {
                    kind: Kind::Invalid,
                    ..error
                },
                _ => error,
            })
        }
    }
}

/// The image is one for the platform that was asked for.
fn is_for(image: &ImageDetail, name: &str, platform: &str) -> Result<()> {
    let wanted = Platform::parse(platform)?;
    let variant = image.config.get("variant").and_then(Value::as_str);
    let actual = Platform::normalised(&image.os, &image.architecture, variant.unwrap_or_default());
    if wanted.accepts(&actual) {
        Ok(())
    } else {
        Err(error::another_platform(
            name,
            &wanted.to_string(),
            &actual.to_string(),
        ))
    }
}

/// A name, with or without its slash.
fn valid_name(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    match shedbox_spec::id::validate_name(bare) {
        // Source: moby `daemon/names`: at least two characters.
        Ok(()) if bare.len() > 1 => Ok(bare),
        _ => Err(error::invalid_name(name)),
    }
}

/// Directories that the image says are volumes (`VOLUME`), where the containers of `VolumesFrom` have nothing.
fn volumes_of_image(
    docker: &Docker,
    image: &ImageDetail,
    body: &mut body::ContainerCreate,
) -> Result<()> {
    let Some(targets) = image.config.pointer("/config/Volumes") else {
        return Ok(());
    };
    let mut inherited = BTreeSet::new();
    for text in &body.host_config.volumes_from {
        let name = text.split_once(':').map_or(text.as_str(), |(name, _)| name);
        let mounts = docker.find(name)?.spec.mounts;
        inherited.extend(mounts.iter().map(|mount| mount.target().to_owned()));
    }
    for target in targets.as_object().into_iter().flat_map(|map| map.keys()) {
        if !inherited.contains(target) {
            body.volumes
                .entry(target.clone())
                .or_insert_with(|| json!({}));
        }
    }
    Ok(())
}

/// Mounts of other containers (`ID[:ro]`), where this one has none.
fn volumes_from(
    docker: &Docker,
    body: &body::ContainerCreate,
    mounts: &mut Vec<Mount>,
    used: &mut BTreeMap<String, VolumeUse>,
) -> Result<()> {
    for text in &body.host_config.volumes_from {
        let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
        let other = docker.find(name)?;
        let volumes = stored(&other).volumes;
        for mut mount in other.spec.mounts {
            if mounts.iter().any(|own| own.target() == mount.target()) {
                continue;
            }
            if let (Mount::Bind { access, .. }, "ro") = (&mut mount, mode) {
                *access = Access::Ro;
            }
            if let Some(volume) = volumes.get(mount.target()) {
                // The other one's to remove.
                let volume = VolumeUse {
                    anonymous: false,
                    ..volume.clone()
                };
                used.insert(mount.target().to_owned(), volume);
            }
            mounts.push(mount);
        }
    }
    Ok(())
}

/// Docker makes the source of a bind of `Binds` when it is not there; that of `Mounts` has to be, or asks for it.
fn make_sources(body: &body::ContainerCreate, mounts: &[Mount]) -> Result<()> {
    let strict = |target: &str| {
        body.host_config
            .mounts
            .iter()
            .any(|mount| mount.target == target && !mount.bind_options.create_mountpoint)
    };
    for mount in mounts {
        let Mount::Bind { source, target, .. } = mount else {
            continue;
        };
        if std::path::Path::new(source).exists() {
            continue;
        }
        if strict(target) {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {source}"
            )));
        }
        std::fs::create_dir_all(source).map_err(|error| {
            Error::invalid(format!(
                "error while creating mount source path '{source}': {error}"
            ))
        })?;
    }
    Ok(())
}

pub(super) fn inspect(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let image = docker.image_config(&info);
    let mut value = show::container(&info, &stored(&info), &docker.extra(&info), &image);
    value["ExecIDs"] = docker.execs.of(info.id.as_str());
    if query.flag("size")? {
        let (own, all) = sizes(docker, &info);
        value["SizeRw"] = json!(own);
        value["SizeRootFs"] = json!(all);
    }
    Ok(answer::json(StatusCode::OK, &value))
}

/// Bytes that a container has written, and with its image.
fn sizes(docker: &Docker, info: &SandboxInfo) -> (u64, u64) {
    let own = info
        .disk
        .as_ref()
        .and_then(|disk| disk.used_bytes)
        .unwrap_or_else(|| tree_size(&std::path::Path::new(&info.dir).join("live").join("upper")));
    let image = info
        .image
        .as_ref()
        .and_then(|id| docker.engine.inspect_image(&id.to_string()).ok())
        .map_or(0, |detail| detail.summary.size);
    (own, own + image)
}

/// Follows no links.
pub(super) fn tree_size(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => tree_size(&entry.path()),
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        })
        .sum()
}

pub(super) fn list(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::CONTAINERS)?;
    let limit: Option<i64> = query.number("limit")?;
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .filter(|limit| *limit > 0);
    let bounded = ["before", "since"]
        .iter()
        .any(|key| query.get(key).is_some_and(|name| !name.is_empty()));
    let all = query.flag("all")? || filters.implies_all() || limit.is_some() || bounded;
    let size = query.flag("size")?;
    let everything = Filter {
        all: true,
        ..Filter::default()
    };
    let infos = now(|| Ok(docker.engine.list(&everything)))?;
    let bound = |key: &str| -> Result<Option<String>> {
        let filter = filters.get(key).first().map(String::as_str);
        // As parameters they are older than filters, and docker-py still sends them.
        filter
            .or_else(|| query.get(key).filter(|name| !name.is_empty()))
            .map(|name| Ok(docker.find(name)?.created_at))
            .transpose()
    };
    let (before, since) = (bound("before")?, bound("since")?);
    let now = Timestamp::now();
    let fits = |info: &&SandboxInfo| {
        let extra = docker.extra(info);
        let shown =
            all || extra.restarting || matches!(info.status, Status::Running | Status::Paused);
        shown
            && before.as_ref().is_none_or(|bound| info.created_at < *bound)
            && since.as_ref().is_none_or(|bound| info.created_at > *bound)
            && filters.any("ancestor", |image| is_ancestor(docker, info, image))
            && filters.container(info, &extra)
            && (filters.get("expose").is_empty() || filters.exposes(&exposed(docker, info)))
    };
    let list: Vec<Value> = infos
        .iter()
        .filter(fits)
        .take(limit.unwrap_or(usize::MAX))
        .map(|info| {
            let image = docker.image_config(info);
            let mut value = show::summary(info, &stored(info), &docker.extra(info), &image, now);
            if size {
                let (own, all) = sizes(docker, info);
                value["SizeRw"] = json!(own);
                value["SizeRootFs"] = json!(all);
            }
            value
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &list))
}

/// Ports that a container exposes, as `inspect` shows them.
fn exposed(docker: &Docker, info: &SandboxInfo) -> Vec<String> {
    let config = show::config(info, &stored(info), &docker.image_config(info));
    let ports = config["ExposedPorts"].as_object();
    ports.map_or_else(Vec::new, |ports| ports.keys().cloned().collect())
}

fn is_ancestor(docker: &Docker, info: &SandboxInfo, image: &str) -> bool {
    let Ok(wanted) = docker.engine.inspect_image(image) else {
        return info.spec.source.to_string() == image;
    };
    info.image.as_ref().is_some_and(|own| {
        *own == wanted.summary.id
            || docker
                .engine
                .inspect_image(&own.to_string())
                .is_ok_and(|own| own.layers.starts_with(&wanted.layers))
    })
}

pub(super) async fn remove(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let (force, volumes) = (query.flag("force")?, query.flag("v")?);
    if query.flag("link")? {
        return Err(Error::invalid("links are not supported"));
    }
    let extra = docker.extra(&info);
    let running = matches!(info.status, Status::Running | Status::Paused) || extra.restarting;
    if running && !force {
        return Err(error::running(&info.name, status::word(&info, &extra)));
    }
    let id = info.id.to_string();
    docker.restarts.forget(&id);
    now(|| docker.engine.remove(&id, force))?;
    docker.forget(&id);
    if volumes {
        let used = stored(&info).volumes;
        let docker = Arc::clone(docker);
        // Deleting trees takes as long as it takes.
        let dropped = tokio::task::spawn_blocking(move || docker.volumes.drop_anonymous(&used));
        let _ = dropped.await;
    }
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) fn prune(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::PRUNE)?;
    let until = filters.until(Timestamp::now())?;
    let everything = Filter {
        all: true,
        ..Filter::default()
    };
    now(|| Ok(docker.engine.drop_prepared()))?;
    let mut deleted = Vec::new();
    let mut bytes = 0;
    for info in now(|| Ok(docker.engine.list(&everything)))? {
        let stopped = matches!(info.status, Status::Created | Status::Exited)
            && !docker.extra(&info).restarting;
        let old = until.is_none_or(|until| show::seconds(&info.created_at) < until);
        if !stopped || !old || !filters.labels(|key| info.labels.get(key).map(String::as_str)) {
            continue;
        }
        let size = sizes(docker, &info).0;
        if now(|| docker.engine.remove(info.id.as_str(), false)).is_ok() {
            docker.forget(info.id.as_str());
            deleted.push(info.id.to_string());
            bytes += size;
        }
    }
    let answer = json!({"ContainersDeleted": or_null(&deleted), "SpaceReclaimed": bytes});
    Ok(answer::json(StatusCode::OK, &answer))
}

pub(super) fn rename(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let info = docker.find(name)?;
    let new = query
        .get("name")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Error::invalid("Neither old nor new names may be empty"))?;
    // Source: moby `daemon/rename.go`: with its slash from here on.
    let new = format!("/{}", new.trim_start_matches('/'));
    let new = valid_name(&new).map_err(error::while_allocating_name)?;
    now(|| docker.engine.rename(info.id.as_str(), new)).map_err(|error| match error.cause() {
        Some(Cause::SameName) => {
            Error::invalid("Renaming a container with the same name as its current name")
        }
        Some(Cause::NameTaken(by)) => {
            error::while_allocating_name(error::name_taken(new, by.as_str()))
        }
        _ => error,
    })?;
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) async fn update(docker: &Arc<Docker>, name: &str, asked: Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    let bytes = asked.json().await?;
    let change: body::HostConfig = body::read(&bytes)?;
    let limits = translate::limits(&change)?;
    if !change.restart_policy.name.is_empty() {
        if info.spec.auto_remove {
            return Err(Error::invalid(format!(
                "Cannot update container {}: Restart policy cannot be updated because AutoRemove is enabled for the \
                 container",
                info.id
            )));
        }
        translate::restart_policy(&change.restart_policy, false)?;
    }
    let id = info.id.to_string();
    let updated = later(docker, move |engine| engine.update(&id, &limits)).await?;
    if !change.restart_policy.name.is_empty() {
        docker.change(info.id.as_str(), |extra| {
            extra.kept.restart_policy = Some(change.restart_policy);
        });
    }
    let answer = json!({"Warnings": updated.warnings});
    Ok(answer::json(StatusCode::OK, &answer))
}

pub(super) async fn changes(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let id = docker.find(name)?.id.to_string();
    let changes = later(docker, move |engine| engine.diff(&id)).await?;
    let list: Vec<Value> = changes
        .iter()
        .map(|change| {
            let kind = match change.kind {
                ChangeKind::Modified => 0,
                ChangeKind::Added => 1,
                ChangeKind::Deleted => 2,
            };
            json!({"Path": change.path, "Kind": kind})
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &or_null(&list)))
}
