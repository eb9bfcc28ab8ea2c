//! Networks.

use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::body;
use shedbox_docker::create::attachment;
use shedbox_docker::filters::{self, Filters};
use shedbox_docker::inspect::seconds;
use shedbox_docker::network::{self, Connect, Create, is_predefined};
use shedbox_spec::api::network::{NetworkConnect, NetworkDisconnect, NetworkInfo};
use shedbox_spec::error::Cause;
use shedbox_spec::{Error, Kind, Result};

use super::{Asked, Docker, now, or_null};
use crate::answer::{self, Answer};
use crate::query::Query;

pub(super) fn list(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::NETWORKS)?;
    let dangling = filters.flag("dangling")?;
    let networks = now(|| Ok(docker.engine.network_list()))?;
    let list: Vec<Value> = networks
        .iter()
        .filter(|network| fits(network, &filters, dangling))
        .map(|network| network::resource(network, false))
        .collect();
    Ok(answer::json(StatusCode::OK, &list))
}

fn fits(network: &NetworkInfo, filters: &Filters, dangling: Option<bool>) -> bool {
    let builtin = is_predefined(&network.name);
    let driver = if network.name == "none" {
        "null"
    } else {
        network.driver.as_str()
    };
    filters.name(&network.name)
        && filters.any("id", |wanted| network.id.starts_with(wanted))
        && filters.any("driver", |wanted| wanted == driver)
        && filters.any("scope", |wanted| wanted == "local")
        && filters.any("type", |wanted| match wanted {
            "builtin" => builtin,
            "custom" => !builtin,
            _ => false,
        })
        && filters.labels(|key| network.labels.get(key).map(String::as_str))
        && dangling.is_none_or(|dangling| dangling == (!builtin && network.sandboxes.is_empty()))
}

fn find(docker: &Docker, name: &str) -> Result<NetworkInfo> {
    now(|| docker.engine.network_inspect(name)).map_err(|error| match error.kind {
        Kind::NotFound => Error::not_found(format!("network {name} not found")),
        _ => error,
    })
}

pub(super) fn inspect(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let network = find(docker, name)?;
    Ok(answer::json(
        StatusCode::OK,
        &network::resource(&network, true),
    ))
}

pub(super) async fn create(docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    let body: Create = body::read(&asked.json().await?)?;
    if is_predefined(&body.name) {
        return Err(Error::new(
            Kind::Denied,
            format!(
                "operation is not permitted on predefined {} network",
                body.name
            ),
        ));
    }
    let name = body.name.clone();
    let (request, warning) = body.translate()?;
    let made = now(|| docker.engine.network_create(request)).map_err(|error| {
        match (error.cause(), error.kind) {
            (Some(Cause::NetworkExists), _) => {
                Error::conflict(format!("network with name {name} already exists"))
            }
            (_, Kind::Conflict) => Error::new(
                Kind::Denied,
                format!(
                    "Pool overlaps with other one on this address space: {}",
                    error.message
                ),
            ),
            _ => error,
        }
    })?;
    docker.events.thing(
        "network",
        "create",
        &made.id,
        &[("name", &made.name), ("type", "bridge")],
    );
    let answer = json!({"Id": made.id, "Warning": warning});
    Ok(answer::json(StatusCode::CREATED, &answer))
}

pub(super) fn remove(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let network = find(docker, name)?;
    if is_predefined(&network.name) {
        return Err(Error::new(
            Kind::Denied,
            format!(
                "{} is a pre-defined network and cannot be removed",
                network.name
            ),
        ));
    }
    now(|| docker.engine.network_remove(&network.id)).map_err(|error| match error.kind {
        Kind::Conflict => Error::new(
            Kind::Denied,
            format!(
                "error while removing network: network {} id {} has active endpoints",
                network.name, network.id
            ),
        ),
        _ => error,
    })?;
    destroyed(docker, &network);
    Ok(answer::bare(StatusCode::NO_CONTENT))
}

pub(super) fn prune(docker: &Arc<Docker>, query: &Query) -> Result<Answer> {
    let filters = Filters::parse(query.get("filters"), filters::PRUNE)?;
    let until = filters.until(Timestamp::now())?;
    let wanted = |network: &NetworkInfo| {
        until.is_none_or(|until| seconds(&network.created_at) < until)
            && filters.labels(|key| network.labels.get(key).map(String::as_str))
    };
    let removed = now(|| docker.engine.network_prune(wanted))?;
    for network in &removed {
        destroyed(docker, network);
    }
    let names: Vec<&str> = removed
        .iter()
        .map(|network| network.name.as_str())
        .collect();
    Ok(answer::json(
        StatusCode::OK,
        &json!({"NetworksDeleted": or_null(&names)}),
    ))
}

fn destroyed(docker: &Docker, network: &NetworkInfo) {
    let more = [("name", network.name.as_str()), ("type", "bridge")];
    docker
        .events
        .thing("network", "destroy", &network.id, &more);
}

pub(super) async fn connect(docker: &Arc<Docker>, name: &str, asked: Asked) -> Result<Answer> {
    // First the body: a client that still writes it does not see the answer.
    let body: Connect = body::read(&asked.json().await?)?;
    let network = find(docker, name)?;
    let info = docker.find(&body.container)?;
    let request = NetworkConnect {
        sandbox: info.id.to_string(),
        attachment: attachment(&network.name, &body.endpoint_config)?,
    };
    now(|| docker.engine.network_connect(&network.name, request)).map_err(|error| {
        match error.cause() {
            Some(Cause::Connected) => Error::new(
                Kind::Denied,
                format!(
                    "endpoint with name {} already exists in network {}",
                    info.name, network.name
                ),
            ),
            _ => error,
        }
    })?;
    docker.events.thing(
        "network",
        "connect",
        &network.id,
        &[
            ("name", &network.name),
            ("type", "bridge"),
            ("container", info.id.as_str()),
        ],
    );
    Ok(answer::bare(StatusCode::OK))
}

pub(super) async fn disconnect(docker: &Arc<Docker>, name: &str, asked: Asked) -> Result<Answer> {
    // First the body: a client that still writes it does not see the answer.
    let body: Connect = body::read(&asked.json().await?)?;
    let network = find(docker, name)?;
    let info = docker.find(&body.container)?;
    let request = NetworkDisconnect {
        sandbox: info.id.to_string(),
        force: body.force,
    };
    now(|| docker.engine.network_disconnect(&network.name, request)).map_err(
        |error| match error.kind {
            Kind::Conflict => Error::new(
                Kind::Denied,
                format!(
                    "container {} is not connected to network {}",
                    info.id, network.name
                ),
            ),
            _ => error,
        },
    )?;
    docker.events.thing(
        "network",
        "disconnect",
        &network.id,
        &[
            ("name", &network.name),
            ("type", "bridge"),
            ("container", info.id.as_str()),
        ],
    );
    Ok(answer::bare(StatusCode::OK))
}
