//! Images as `inspect` and `images` show them.

use serde_json::{Value, json};
use shedbox_spec::api::{ImageDetail, ImageSummary};

use crate::inspect::seconds;

/// `GET /images/{name}/json`.
pub fn inspect(detail: &ImageDetail) -> Value {
    let summary = &detail.summary;
    let config = config_of(detail);
    let document = |name: &str| {
        detail
            .config
            .get(name)
            .cloned()
            .unwrap_or_else(|| json!(""))
    };
    json!({
        "Id": summary.id,
        "RepoTags": summary.references,
        "RepoDigests": summary.repo_digests,
        "Parent": summary.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        "Comment": comment(&detail.config),
        "Created": summary.created.clone().unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned()),
        "DockerVersion": document("docker_version"),
        "Author": document("author"),
        // The two of before API 1.45: docker-compose 1.x asks in the newest version and ends when they are not there.
        "Container": "",
        "ContainerConfig": config,
        "Config": config,
        "Architecture": detail.architecture,
        "Variant": document("variant"),
        "Os": detail.os,
        "Size": summary.size,
        "VirtualSize": summary.size,
        "GraphDriver": {"Name": "overlay2", "Data": {}},
        "RootFS": {"Type": "layers", "Layers": detail.layers},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    })
}

fn comment(document: &Value) -> Value {
    document
        .get("history")
        .and_then(Value::as_array)
        .and_then(|history| history.last())
        .and_then(|last| last.get("comment"))
        .cloned()
        .unwrap_or_else(|| json!(""))
}

/// Docker's `Config` of an image, with the fields that clients take for granted.
pub fn config_of(detail: &ImageDetail) -> Value {
    let mut config = detail
        .config
        .get("config")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let defaults = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
    });
    if let Value::Object(defaults) = defaults {
        for (name, value) in defaults {
            config.entry(name).or_insert(value);
        }
    }
    Value::Object(config)
}

/// An element of `GET /images/json`.
pub fn summary(image: &ImageSummary, containers: i64) -> Value {
    let (tags, digests) = (&image.references, &image.repo_digests);
    json!({
        "Id": image.id,
        "ParentId": image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": image.created.as_deref().map_or(0, seconds),
        "Size": image.size,
        "VirtualSize": image.size,
        "SharedSize": -1,
        "Labels": image.labels,
        "Containers": containers,
    })
}

/// The configuration of a container as a new image's: what belongs to the container alone is left out.
pub fn for_new(config: &Value) -> Value {
    let mut own = config.as_object().cloned().unwrap_or_default();
    for name in [
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Image",
        "StopTimeout",
    ] {
        own.remove(name);
    }
    own.retain(|_, value| !value.is_null());
    Value::Object(own)
}

/// Lines of a removal.
pub fn removed(removed: &shedbox_spec::api::Removed) -> Value {
    removed
        .untagged
        .iter()
        .map(|name| json!({"Untagged": name}))
        .chain(
            removed
                .deleted
                .iter()
                .map(|digest| json!({"Deleted": digest})),
        )
        .collect()
}
