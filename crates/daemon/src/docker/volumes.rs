//! Volumes: directories of ours with a name, that outlive containers.
//!
//! ```text
//! volumes/NAME/_data          what containers see
//! volumes/NAME/volume.json    when it was made, labels, and whose it is when it is anonymous
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shedbox_docker::body;
use shedbox_docker::create::VolumeWanted;
use shedbox_docker::filters::{self, Filters};
use shedbox_docker::stored::VolumeUse;
use shedbox_engine::Filter;
use shedbox_spec::{Error, Kind, Result, id};

use super::{Asked, Docker, containers, lock, now, or_null, stored};
use crate::answer::{self, Answer};
use crate::query::Query;

/// All volumes of a root.
#[derive(Debug)]
pub(super) struct Volumes {
    dir: PathBuf,
    /// One at a time makes and removes.
    turn: Mutex<()>,
    /// Anonymous volumes of containers that go by themselves.
    of_passing: Mutex<BTreeMap<String, Vec<String>>>,
}

/// One volume.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub(super) name: String,
    dir: PathBuf,
    record: Record,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    created_at: Timestamp,
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
    anonymous: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Create {
    name: String,
    driver: String,
    driver_opts: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

fn io(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
        Kind::Exhausted
    } else {
        Kind::Internal
    };
    Error::new(kind, format!("cannot {what} {}: {error}", path.display()))
}

impl Volume {
    /// Its directory as containers see it.
    pub(super) fn data(&self) -> String {
        self.dir.join("_data").display().to_string()
    }

    fn show(&self) -> Value {
        let labels = if self.record.labels.is_empty() {
            Value::Null
        } else {
            json!(self.record.labels)
        };
        json!({
            "Name": self.name, "Driver": "local", "Mountpoint": self.data(),
            "CreatedAt": self.record.created_at.to_string(), "Labels": labels,
            "Options": if self.record.options.is_empty() { Value::Null } else { json!(self.record.options) },
            "Scope": "local",
        })
    }
}

impl Volumes {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            turn: Mutex::default(),
            of_passing: Mutex::default(),
        }
    }

    /// A volume that is there.
    fn find(&self, name: &str) -> Result<Volume> {
        id::validate_name(name).map_err(|_| no_volume(name))?;
        let dir = self.dir.join(name);
        let path = dir.join("volume.json");
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(no_volume(name));
            }
            other => other.map_err(|error| io("read", &path, &error))?,
        };
        let record = serde_json::from_slice(&text).map_err(|error| {
            Error::internal(format!("cannot understand {}: {error}", path.display()))
        })?;
        Ok(Volume {
            name: name.to_owned(),
            dir,
            record,
        })
    }

    fn all(&self) -> Result<Vec<Volume>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| io("read", &self.dir, &error))?,
        };
        let mut all: Vec<Volume> = entries
            .flatten()
            .filter_map(|entry| self.find(entry.file_name().to_str()?).ok())
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Makes a volume; one that is there stays as it is.
    fn make(&self, name: &str, record: Record) -> Result<(Volume, bool)> {
        id::validate_name(name).map_err(|_| {
            Error::invalid(format!(
                "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
                 \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            ))
        })?;
        let _turn = lock(&self.turn);
        match self.find(name) {
            Err(error) if error.kind == Kind::NotFound => {}
            other => return other.map(|volume| (volume, false)),
        }
        let dir = self.dir.join(name);
        let data = dir.join("_data");
        std::fs::create_dir_all(&data).map_err(|error| io("make", &data, &error))?;
        let path = dir.join("volume.json");
        let text =
            serde_json::to_vec(&record).map_err(|error| Error::internal(error.to_string()))?;
        // The file makes the volume: a directory without one is made again.
        let next = dir.join("volume.json.next");
        std::fs::write(&next, text)
            .and_then(|()| std::fs::rename(&next, &path))
            .map_err(|error| io("write", &path, &error))?;
        Ok((
            Volume {
                name: name.to_owned(),
                dir,
                record,
            },
            true,
        ))
    }

    /// For a container that is being made.
    pub(super) fn for_container(&self, wanted: &VolumeWanted) -> Result<Volume> {
        let record = Record {
            created_at: Timestamp::now(),
            labels: wanted.labels.clone(),
            options: BTreeMap::new(),
            anonymous: wanted.name.is_none(),
        };
        let name = match &wanted.name {
            Some(name) => name.clone(),
            None => super::random_hex()?,
        };
        Ok(self.make(&name, record)?.0)
    }

    /// Removes anonymous volumes of a container that has gone; one that somebody else has taken up stays.
    pub(super) fn drop_anonymous(&self, used: &BTreeMap<String, VolumeUse>) {
        for volume in used.values().filter(|volume| volume.anonymous) {
            self.delete(&volume.name);
        }
    }

    fn delete(&self, name: &str) {
        let _turn = lock(&self.turn);
        let dir = self.dir.join(name);
        // Without the record it is none any more, even when the rest takes long or fails.
        let _ = std::fs::remove_file(dir.join("volume.json"));
        if let Err(error) = std::fs::remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(volume = name, %error, "a volume is not wholly removed");
        }
    }

    /// A container that removes itself takes these along.
    pub(super) fn goes_with(&self, container: &str, used: &BTreeMap<String, VolumeUse>) {
        let names: Vec<String> = used
            .values()
            .filter(|volume| volume.anonymous)
            .map(|volume| volume.name.clone())
            .collect();
        if !names.is_empty() {
            lock(&self.of_passing).insert(container.to_owned(), names);
        }
    }

    pub(super) fn container_gone(&self, container: &str) {
        for name in lock(&self.of_passing).remove(container).unwrap_or_default() {
            self.delete(&name);
        }
    }
}

fn no_volume(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

/// Which containers use a volume.
fn users(docker: &Docker, name: &str) -> Result<Vec<String>> {
    let everything = Filter {
        all: true,
        ..Filter::default()
    };
    Ok(now(|| Ok(docker.engine.list(&everything)))?
        .iter()
        .filter(|info| {
            stored(info)
                .volumes
                .values()
                .any(|volume| volume.name == name)
        })
        .map(|info| info.id.to_string())
        .collect())
}

pub(super) fn list(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::VOLUMES)?;
    let dangling = filters.flag("dangling")?;
    let mut list = Vec::new();
    for volume in docker.volumes.all()? {
        let fits = filters.name(&volume.name)
            && filters.any("driver", |wanted| wanted == "local")
            && filters.labels(|key| volume.record.labels.get(key).map(String::as_str));
        if fits
            && match dangling {
                None => true,
                Some(dangling) => dangling == users(docker, &volume.name)?.is_empty(),
            }
        {
            list.push(volume.show());
        }
    }
    Ok(answer::json(
        StatusCode::OK,
        &json!({"Volumes": list, "Warnings": null}),
    ))
}

/// For `system df`.
pub(super) fn with_usage(docker: &Docker) -> Vec<Value> {
    docker
        .volumes
        .all()
        .unwrap_or_default()
        .iter()
        .map(|volume| {
            let mut value = volume.show();
            let count = users(docker, &volume.name).map_or(0, |users| users.len());
            let size = containers::tree_size(Path::new(&volume.data()));
            value["UsageData"] = json!({"RefCount": count, "Size": size});
            value
        })
        .collect()
}

pub(super) fn inspect(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    Ok(answer::json(
        StatusCode::OK,
        &docker.volumes.find(name)?.show(),
    ))
}

pub(super) async fn create(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let body: Create = body::read(&asked.json().await?)?;
    if !matches!(body.driver.as_str(), "" | "local") {
        return Err(Error::not_found(format!(
            "create {1}: error looking up volume plugin {0}: plugin \"{0}\" not found",
            body.driver, body.name
        )));
    }
    if let Some(option) = body.driver_opts.keys().next() {
        return Err(Error::invalid(format!(
            "create {}: option {option} is not supported: a rootless volume is a directory",
            body.name
        )));
    }
    let anonymous = body.name.is_empty();
    let name = if anonymous {
        super::random_hex()?
    } else {
        body.name
    };
    let record = Record {
        created_at: Timestamp::now(),
        labels: body.labels,
        options: BTreeMap::new(),
        anonymous,
    };
    let (volume, made) = docker.volumes.make(&name, record)?;
    if made {
        docker
            .events
            .thing("volume", "create", &volume.name, &[("driver", "local")]);
    }
    Ok(answer::json(StatusCode::CREATED, &volume.show()))
}

pub(super) fn remove(docker: &Arc<Docker>, name: &str, query: &Query) -> Result<Answer> {
    let volume = match docker.volumes.find(name) {
        Err(error) if error.kind == Kind::NotFound && query.flag("force")? => {
            return Ok(answer::bare(StatusCode::NO_CONTENT));
        }
        other => other?,
    };
    let users = users(docker, &volume.name)?;
    if !users.is_empty() {
        return Err(Error::conflict(format!(
            "remove {name}: volume is in use - [{}]",
            users.join(", ")
        )));
    }
    docker.volumes.delete(&volume.name);
    docker
        .events
        .thing("volume", "destroy", &volume.name, &[("driver", "local")]);
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

/// Anonymous ones alone, unless all were asked for. Source: Docker since 23.0.
pub(super) fn prune(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::PRUNE)?;
    let all = filters.flag("all")?.unwrap_or(false);
    let (mut deleted, mut bytes) = (Vec::new(), 0);
    for volume in docker.volumes.all()? {
        let wanted = (all || volume.record.anonymous)
            && filters.labels(|key| volume.record.labels.get(key).map(String::as_str));
        if !wanted || !users(docker, &volume.name)?.is_empty() {
            continue;
        }
        bytes += containers::tree_size(Path::new(&volume.data()));
        docker.volumes.delete(&volume.name);
        deleted.push(volume.name);
    }
    Ok(answer::json(
        StatusCode::OK,
        &json!({"VolumesDeleted": or_null(&deleted), "SpaceReclaimed": bytes}),
    ))
}
