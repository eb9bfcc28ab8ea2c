//! Method and path → handler. Image names have slashes of their own, so the paths below `/images` are read from both ends.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;
use shedbox_docker::error;
use shedbox_spec::Result;

use super::{
    Asked, Docker, archive, attach, build, containers, events, exec, images, lifecycle, logs, make,
    networks, stats, system, volumes,
};
use crate::answer::{self, Answer};

/// A name that somebody has put slashes into is one segment: nobody has it, and clients have to be told that, not that
/// there is no such page.
fn join_names(method: &str, segments: &[String]) -> Vec<String> {
    let ends_so = |end: &[&str]| {
        segments.len() > 3
            && segments
                .iter()
                .map(String::as_str)
                .rev()
                .take(end.len())
                .eq(end.iter().rev().copied())
    };
    let actions = match (segments.first().map(String::as_str), method) {
        (Some("containers"), "GET") if ends_so(&["attach", "ws"]) => 2,
        (Some("containers" | "exec"), "DELETE") => 0,
        (Some("containers" | "exec"), _) | (Some("networks" | "volumes"), "POST") => 1,
        (Some("networks" | "volumes"), _) => 0,
        _ => return segments.to_vec(),
    };
    let (first, last) = (1, segments.len() - actions);
    if last <= first + 1 {
        return segments.to_vec();
    }
    let mut joined = segments.to_vec();
    joined.splice(first..last, [segments[first..last].join("/")]);
    joined
}

pub(super) async fn dispatch(
    docker: &Arc<Docker>,
    asked: Asked,
    segments: &[String],
) -> Result<Answer> {
    let method = asked.method.clone();
    let joined = join_names(method.as_str(), segments);
    let segments: Vec<&str> = joined.iter().map(String::as_str).collect();
    match (method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => Ok(system::ping()),
        ("GET", ["version"]) => Ok(system::version(docker)),
        ("GET", ["info"]) => Ok(system::info(docker)),
        ("GET", ["system", "df"]) => system::disk_usage(docker).await,
        ("POST", ["auth"]) => system::auth(docker, asked).await,
        ("GET", ["events"]) => events::stream(docker, &asked.query),
        ("POST", ["containers", "create"]) => containers::create(docker, asked).await,
        ("GET", ["containers", "json"]) => containers::list(docker, &asked.query),
        ("POST", ["containers", "prune"]) => containers::prune(docker, &asked.query),
        ("GET", ["containers", name, "json"]) => containers::inspect(docker, name, &asked.query),
        ("POST", ["containers", name, "start"]) => lifecycle::start(docker, name).await,
        ("POST", ["containers", name, "stop"]) => lifecycle::stop(docker, name, &asked.query).await,
        ("POST", ["containers", name, "restart"]) => {
            lifecycle::restart(docker, name, &asked.query).await
        }
        ("POST", ["containers", name, "kill"]) => lifecycle::kill(docker, name, &asked.query).await,
        ("POST", ["containers", name, "pause"]) => lifecycle::pause(docker, name).await,
        ("POST", ["containers", name, "unpause"]) => lifecycle::unpause(docker, name).await,
        ("POST", ["containers", name, "wait"]) => lifecycle::wait(docker, name, &asked.query),
        ("POST", ["containers", name, "rename"]) => containers::rename(docker, name, &asked.query),
        ("POST", ["containers", name, "update"]) => containers::update(docker, name, asked).await,
        ("POST", ["containers", name, "resize"]) => attach::resize(docker, name, &asked.query),
        ("POST", ["containers", name, "attach"]) => attach::attach(docker, name, &asked).await,
        ("GET", ["containers", name, "attach", "ws"]) => {
            attach::websocket(docker, name, &asked).await
        }
        ("POST", ["containers", name, "exec"]) => exec::create(docker, name, asked).await,
        ("GET", ["containers", name, "logs"]) => logs::logs(docker, name, &asked.query),
        ("GET", ["containers", name, "top"]) => stats::top(docker, name, &asked.query).await,
        ("GET", ["containers", name, "stats"]) => stats::stats(docker, name, &asked.query).await,
        ("GET", ["containers", name, "changes"]) => containers::changes(docker, name).await,
        ("GET", ["containers", name, "export"]) => archive::export(docker, name),
        ("GET" | "HEAD", ["containers", name, "archive"]) => {
            archive::get(docker, name, &asked).await
        }
        ("PUT", ["containers", name, "archive"]) => archive::put(docker, name, asked).await,
        ("DELETE", ["containers", name]) => containers::remove(docker, name, &asked.query).await,
        ("POST", ["exec", id, "start"]) => exec::start(docker, id, asked).await,
        ("POST", ["exec", id, "resize"]) => exec::resize(docker, id, &asked.query),
        ("GET", ["exec", id, "json"]) => exec::inspect(docker, id),
        ("GET", ["images", "json"]) => images::list(docker, &asked.query),
        ("POST", ["images", "create"]) => images::create(docker, asked).await,
        ("POST", ["commit"]) => make::commit(docker, asked).await,
        ("POST", ["images", "load"]) => images::load(docker, asked),
        ("GET", ["images", "get"]) => images::save(docker, asked.query.all("names")),
        ("POST", ["images", "prune"]) => images::prune(docker, &asked.query).await,
        ("GET", ["images", "search"]) => images::search(),
        ("GET", ["images", name @ .., "json"]) => images::inspect(docker, &name.join("/")),
        ("GET", ["images", name @ .., "history"]) => images::history(docker, &name.join("/")),
        ("GET", ["images", name @ .., "get"]) => images::save(docker, vec![name.join("/")]),
        ("POST", ["images", name @ .., "push"]) => images::push(docker, &name.join("/"), &asked),
        ("POST", ["images", name @ .., "tag"]) => make::tag(docker, &name.join("/"), &asked.query),
        ("DELETE", ["images", name @ ..]) => {
            images::remove(docker, name.join("/"), &asked.query).await
        }
        ("GET", ["distribution", name @ .., "json"]) => {
            images::distribution(docker, &name.join("/"), &asked).await
        }
        ("GET", ["networks"]) => networks::list(docker, &asked.query),
        ("POST", ["networks", "create"]) => networks::create(docker, asked).await,
        ("POST", ["networks", "prune"]) => networks::prune(docker, &asked.query),
        ("GET", ["networks", name]) => networks::inspect(docker, name),
        ("DELETE", ["networks", name]) => networks::remove(docker, name),
        ("POST", ["networks", name, "connect"]) => networks::connect(docker, name, asked).await,
        ("POST", ["networks", name, "disconnect"]) => {
            networks::disconnect(docker, name, asked).await
        }
        ("GET", ["volumes"]) => volumes::list(docker, &asked.query),
        ("POST", ["volumes", "create"]) => volumes::create(docker, asked).await,
        ("POST", ["volumes", "prune"]) => volumes::prune(docker, &asked.query),
        ("GET", ["volumes", name]) => volumes::inspect(docker, name),
        ("DELETE", ["volumes", name]) => volumes::remove(docker, name, &asked.query),
        ("GET", ["plugins"]) => Ok(answer::json(StatusCode::OK, &json!([]))),
        ("GET", ["plugins", name @ .., "json"]) => Err(shedbox_spec::Error::not_found(format!(
            "plugin \"{}\" not found",
            name.join("/")
        ))),
        (
            _,
            [
                "swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs" | "plugins",
                ..,
            ],
        ) => Ok(answer::json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"message": error::no_swarm()}),
        )),
        ("POST", ["build"]) => build::build(docker, asked).await,
        ("POST", ["build", "prune"]) => Ok(build::prune(docker)),
        _ => Err(error::no_page()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_are_one_segment() {
        for (method, path, expected) in [
            ("GET", "containers/a/b/json", "containers|a/b|json"),
            ("GET", "containers/a/json", "containers|a|json"),
            ("GET", "containers/json", "containers|json"),
            ("POST", "containers/create", "containers|create"),
            ("DELETE", "containers/a/b", "containers|a/b"),
            ("GET", "networks/a/b", "networks|a/b"),
            ("POST", "networks/a/b/connect", "networks|a/b|connect"),
            ("GET", "networks", "networks"),
            ("GET", "containers/a/attach/ws", "containers|a|attach|ws"),
            (
                "GET",
                "containers/a/b/attach/ws",
                "containers|a/b|attach|ws",
            ),
            ("GET", "images/a/b/json", "images|a|b|json"),
            ("DELETE", "containers", "containers"),
        ] {
            let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
            assert_eq!(join_names(method, &segments).join("|"), expected, "{path}");
        }
    }
}
