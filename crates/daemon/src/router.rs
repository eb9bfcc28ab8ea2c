//! Method and path → what is asked for. A table, tested as one.

use hyper::Method;
use shedbox_spec::{Error, Result, api};

use crate::query::decode;

/// What is asked for; the strings are sandboxes by name or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Version,
    ImagePull,
    ImageList,
    ImageInspect,
    ImageRemove,
    ImageLoad,
    ImageSave,
    ImagePrune,
    Create,
    List,
    Prune,
    Inspect(String),
    Features(String),
    Remove(String),
    Start(String),
    Stop(String),
    Kill(String),
    Reset(String),
    SnapshotCreate(String),
    SnapshotList(String),
    SnapshotInspect(String, String),
    SnapshotRemove(String, String),
    Snapshots,
    Restore(String),
    Fork(String),
    Disown(String),
    Wait(String),
    Logs(String),
    Diff(String),
    Pause(String),
    Unpause(String),
    Update(String),
    Reclaim(String),
    Stats(String),
    Pressure(String),
    HostPressure,
    Files(String),
    SessionCreate(String),
    SessionList(String),
    SessionRun(String, String),
    SessionRemove(String, String),
    Egress(String),
    NetworkCreate,
    NetworkList,
    NetworkPrune,
    NetworkInspect(String),
    NetworkRemove(String),
    NetworkConnect(String),
    NetworkDisconnect(String),
}

/// Finds the route of a request.
pub(crate) fn route(method: &Method, path: &str) -> Result<Route> {
    let unknown = || {
        Error::not_found(format!("there is no `{method} {path}`")).with_hint(format!(
            "paths begin with `{}`; the client may be of another release",
            api::PREFIX
        ))
    };
    let rest = path
        .strip_prefix(api::PREFIX)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(unknown)?;
    let segments: Vec<&str> = rest.split('/').collect();
    let route = match (method.as_str(), segments.as_slice()) {
        ("GET", ["version"]) => Route::Version,
        ("POST", ["images", "pull"]) => Route::ImagePull,
        ("GET", ["images"]) => Route::ImageList,
        ("GET", ["image"]) => Route::ImageInspect,
        ("DELETE", ["image"]) => Route::ImageRemove,
        ("POST", ["images", "load"]) => Route::ImageLoad,
        ("GET", ["images", "save"]) => Route::ImageSave,
        ("POST", ["images", "prune"]) => Route::ImagePrune,
        ("POST", ["sandboxes"]) => Route::Create,
        ("GET", ["sandboxes"]) => Route::List,
        ("POST", ["sandboxes", "prune"]) => Route::Prune,
        ("GET", ["sandboxes", name]) => Route::Inspect(decode(name)?),
        ("GET", ["sandboxes", name, "features"]) => Route::Features(decode(name)?),
        ("DELETE", ["sandboxes", name]) => Route::Remove(decode(name)?),
        ("POST", ["sandboxes", name, "start"]) => Route::Start(decode(name)?),
        ("POST", ["sandboxes", name, "stop"]) => Route::Stop(decode(name)?),
        ("POST", ["sandboxes", name, "kill"]) => Route::Kill(decode(name)?),
        ("POST", ["sandboxes", name, "reset"]) => Route::Reset(decode(name)?),
        ("POST", ["sandboxes", name, "snapshots"]) => Route::SnapshotCreate(decode(name)?),
        ("GET", ["sandboxes", name, "snapshots"]) => Route::SnapshotList(decode(name)?),
        ("GET", ["sandboxes", name, "snapshots", tag]) => {
            Route::SnapshotInspect(decode(name)?, decode(tag)?)
        }
        ("DELETE", ["sandboxes", name, "snapshots", tag]) => {
            Route::SnapshotRemove(decode(name)?, decode(tag)?)
        }
        ("GET", ["snapshots"]) => Route::Snapshots,
        ("POST", ["sandboxes", name, "restore"]) => Route::Restore(decode(name)?),
        ("POST", ["sandboxes", name, "fork"]) => Route::Fork(decode(name)?),
        ("POST", ["sandboxes", name, "disown"]) => Route::Disown(decode(name)?),
        ("POST", ["sandboxes", name, "wait"]) => Route::Wait(decode(name)?),
        ("GET", ["sandboxes", name, "logs"]) => Route::Logs(decode(name)?),
        ("GET", ["sandboxes", name, "diff"]) => Route::Diff(decode(name)?),
        ("POST", ["sandboxes", name, "pause"]) => Route::Pause(decode(name)?),
        ("POST", ["sandboxes", name, "unpause"]) => Route::Unpause(decode(name)?),
        ("POST", ["sandboxes", name, "update"]) => Route::Update(decode(name)?),
        ("POST", ["sandboxes", name, "reclaim"]) => Route::Reclaim(decode(name)?),
        ("GET", ["sandboxes", name, "stats"]) => Route::Stats(decode(name)?),
        ("GET", ["sandboxes", name, "pressure"]) => Route::Pressure(decode(name)?),
        ("GET", ["pressure"]) => Route::HostPressure,
        ("POST", ["sandboxes", name, "files"]) => Route::Files(decode(name)?),
        ("POST", ["sandboxes", name, "egress"]) => Route::Egress(decode(name)?),
        ("POST", ["sandboxes", name, "sessions"]) => Route::SessionCreate(decode(name)?),
        ("GET", ["sandboxes", name, "sessions"]) => Route::SessionList(decode(name)?),
        ("POST", ["sandboxes", name, "sessions", session, "run"]) => {
            Route::SessionRun(decode(name)?, decode(session)?)
        }
        ("DELETE", ["sandboxes", name, "sessions", session]) => {
            Route::SessionRemove(decode(name)?, decode(session)?)
        }
        ("POST", ["networks"]) => Route::NetworkCreate,
        ("GET", ["networks"]) => Route::NetworkList,
        ("POST", ["networks", "prune"]) => Route::NetworkPrune,
        ("GET", ["networks", name]) => Route::NetworkInspect(decode(name)?),
        ("DELETE", ["networks", name]) => Route::NetworkRemove(decode(name)?),
        ("POST", ["networks", name, "connect"]) => Route::NetworkConnect(decode(name)?),
        ("POST", ["networks", name, "disconnect"]) => Route::NetworkDisconnect(decode(name)?),
        _ => return Err(unknown()),
    };
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shedbox_spec::Kind;

    #[test]
    fn every_line_of_the_table() {
        let name = || "a b".to_owned();
        let table = [
            ("GET", "version", Route::Version),
            ("POST", "sandboxes/a%20b/pause", Route::Pause(name())),
            ("POST", "sandboxes/a%20b/unpause", Route::Unpause(name())),
            ("POST", "sandboxes/a%20b/update", Route::Update(name())),
            ("POST", "sandboxes/a%20b/reclaim", Route::Reclaim(name())),
            ("GET", "sandboxes/a%20b/stats", Route::Stats(name())),
            ("GET", "sandboxes/a%20b/pressure", Route::Pressure(name())),
            ("GET", "pressure", Route::HostPressure),
            ("POST", "sandboxes/a%20b/egress", Route::Egress(name())),
            ("POST", "networks", Route::NetworkCreate),
            ("GET", "networks", Route::NetworkList),
            ("POST", "networks/prune", Route::NetworkPrune),
            ("GET", "networks/a%20b", Route::NetworkInspect(name())),
            ("DELETE", "networks/a%20b", Route::NetworkRemove(name())),
            (
                "POST",
                "networks/a%20b/connect",
                Route::NetworkConnect(name()),
            ),
            (
                "POST",
                "networks/a%20b/disconnect",
                Route::NetworkDisconnect(name()),
            ),
            ("POST", "images/pull", Route::ImagePull),
            ("GET", "images", Route::ImageList),
            ("GET", "image", Route::ImageInspect),
            ("DELETE", "image", Route::ImageRemove),
            ("POST", "images/load", Route::ImageLoad),
            ("GET", "images/save", Route::ImageSave),
            ("POST", "images/prune", Route::ImagePrune),
            ("POST", "sandboxes", Route::Create),
            ("GET", "sandboxes", Route::List),
            ("POST", "sandboxes/prune", Route::Prune),
            ("GET", "sandboxes/a%20b", Route::Inspect(name())),
            ("GET", "sandboxes/a%20b/features", Route::Features(name())),
            ("DELETE", "sandboxes/a%20b", Route::Remove(name())),
            ("POST", "sandboxes/a%20b/start", Route::Start(name())),
            ("POST", "sandboxes/a%20b/stop", Route::Stop(name())),
            ("POST", "sandboxes/a%20b/kill", Route::Kill(name())),
            ("POST", "sandboxes/a%20b/reset", Route::Reset(name())),
            (
                "POST",
                "sandboxes/a%20b/snapshots",
                Route::SnapshotCreate(name()),
            ),
            (
                "GET",
                "sandboxes/a%20b/snapshots",
                Route::SnapshotList(name()),
            ),
            (
                "GET",
                "sandboxes/a%20b/snapshots/a%20b",
                Route::SnapshotInspect(name(), name()),
            ),
            (
                "DELETE",
                "sandboxes/a%20b/snapshots/a%20b",
                Route::SnapshotRemove(name(), name()),
            ),
            ("GET", "snapshots", Route::Snapshots),
            ("POST", "sandboxes/a%20b/restore", Route::Restore(name())),
            ("POST", "sandboxes/a%20b/fork", Route::Fork(name())),
            ("POST", "sandboxes/a%20b/disown", Route::Disown(name())),
            ("POST", "sandboxes/a%20b/wait", Route::Wait(name())),
            ("GET", "sandboxes/a%20b/logs", Route::Logs(name())),
            ("GET", "sandboxes/a%20b/diff", Route::Diff(name())),
            ("POST", "sandboxes/a%20b/files", Route::Files(name())),
            (
                "POST",
                "sandboxes/a%20b/sessions",
                Route::SessionCreate(name()),
            ),
            (
                "GET",
                "sandboxes/a%20b/sessions",
                Route::SessionList(name()),
            ),
            (
                "POST",
                "sandboxes/a%20b/sessions/c%20d/run",
                Route::SessionRun(name(), "c d".to_owned()),
            ),
            (
                "DELETE",
                "sandboxes/a%20b/sessions/c%20d",
                Route::SessionRemove(name(), "c d".to_owned()),
            ),
        ];
        for (method, path, expected) in table {
            let method: Method = method.parse().unwrap();
            assert_eq!(
                route(&method, &format!("/shedbox/v1/{path}")),
                Ok(expected),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn everything_else_is_not_found() {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/shedbox/v1"),
            ("GET", "/shedbox/v1/"),
            ("GET", "/shedbox/v2/version"),
            ("GET", "/shedbox/v1x/version"),
            ("POST", "/shedbox/v1/version"),
            ("GET", "/shedbox/v1/sandboxes/a/b/c"),
            ("PUT", "/shedbox/v1/sandboxes/a"),
        ] {
            let error = route(&method.parse().unwrap(), path).unwrap_err();
            assert_eq!(error.kind, Kind::NotFound, "{method} {path}");
        }
        let bad = route(&Method::GET, "/shedbox/v1/sandboxes/%zz").unwrap_err();
        assert_eq!(bad.kind, Kind::Invalid);
    }
}
