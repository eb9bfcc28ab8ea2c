//! The engine as a whole.

use std::sync::Arc;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use shedbox_docker::version::{ENGINE, MAX, MIN};
use shedbox_engine::Filter;
use shedbox_spec::Result;
use shedbox_spec::api::{IdMapKind, Status};

use super::{Asked, Docker, containers, images, later, now, stats, stored, volumes};
use crate::answer::{self, Answer};

/// Headers of every answer; clients negotiate by them.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("api-version", "1.47"),
    ("docker-experimental", "false"),
    ("ostype", "linux"),
    ("server", "shedbox (linux)"),
];

pub(super) fn ping() -> Answer {
    let mut answer = answer::text("OK");
    let headers = answer.headers_mut();
    for (name, value) in [
        ("builder-version", "1"),
        ("swarm", "inactive"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
    ] {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    answer
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

pub(super) fn version(docker: &Docker) -> Answer {
    let kernel = kernel();
    let own = env!("CARGO_PKG_VERSION");
    answer::json(
        StatusCode::OK,
        &json!({
            "Platform": {"Name": format!("shedbox {own}")},
            "Components": [
                {"Name": "Engine", "Version": ENGINE, "Details": {
                    "ApiVersion": MAX.to_string(), "MinAPIVersion": MIN.to_string(), "Arch": architecture(), "Os": "linux",
                    "KernelVersion": kernel, "GoVersion": "none", "GitCommit": own, "BuildTime": "", "Experimental": "false",
                }},
                {"Name": "shedbox", "Version": own, "Details": {"Root": docker.engine.paths().root.display().to_string()}},
            ],
            "Version": ENGINE,
            "ApiVersion": MAX.to_string(),
            "MinAPIVersion": MIN.to_string(),
            "GitCommit": own,
            "GoVersion": "none",
            "Os": "linux",
            "Arch": architecture(),
            "KernelVersion": kernel,
            "BuildTime": "",
        }),
    )
}

/// Asked for in every command of compose, so nothing here looks at a disk.
pub(super) fn info(docker: &Docker) -> Answer {
    let (all, running) = docker.engine.count();
    let everything = Filter {
        all: true,
        statuses: vec![Status::Paused],
        ..Filter::default()
    };
    let paused = docker.engine.list(&everything).len();
    let mut security = vec!["name=seccomp,profile=builtin", "name=cgroupns"];
    if docker.engine.id_map() != IdMapKind::Root {
        security.push("name=rootless");
    }
    let root = docker.engine.paths().root.display().to_string();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let mut value = json!({
        "ID": "shedbox",
        "Containers": all,
        "ContainersRunning": running - paused.min(running),
        "ContainersPaused": paused,
        "ContainersStopped": all - running,
        "Images": docker.engine.list_images().len(),
        "SystemTime": Timestamp::now().to_string(),
        "CgroupVersion": if unified { "2" } else { "1" },
        "KernelVersion": kernel(),
        "OperatingSystem": operating_system(),
        "Architecture": std::env::consts::ARCH,
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": stats::total_memory(),
        "DockerRootDir": root,
        "Name": host.trim(),
        "ServerVersion": ENGINE,
        "SecurityOptions": security,
    });
    // A constant of this file, and valid: a test reads it.
    let fixed: Value = serde_json::from_str(FIXED).unwrap_or_default();
    if let (Value::Object(value), Value::Object(fixed)) = (&mut value, fixed) {
        value.extend(fixed);
    }
    answer::json(StatusCode::OK, &value)
}

/// What is the same everywhere.
const FIXED: &str = r#"{
    "Driver": "overlay2", "DriverStatus": [], "SystemStatus": null,
    "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": null,
        "Log": ["json-file", "local", "none"]},
    "MemoryLimit": true, "SwapLimit": true, "CpuCfsPeriod": true, "CpuCfsQuota": true, "CPUShares": true,
    "CPUSet": true, "PidsLimit": true, "IPv4Forwarding": true, "BridgeNfIptables": false, "BridgeNfIp6tables": false,
    "Debug": false, "NFd": 0, "OomKillDisable": false, "NGoroutines": 0, "LoggingDriver": "json-file",
    "CgroupDriver": "cgroupfs", "NEventsListener": 0, "OSVersion": "", "OSType": "linux", "IndexServerAddress": "",
    "RegistryConfig": {"AllowNondistributableArtifactsCIDRs": null, "AllowNondistributableArtifactsHostnames": null,
        "InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": null},
    "GenericResources": null, "HttpProxy": "", "HttpsProxy": "", "NoProxy": "", "Labels": [],
    "ExperimentalBuild": false, "Runtimes": {"runc": {"path": "shedbox"}}, "DefaultRuntime": "runc",
    "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
        "RemoteManagers": null},
    "LiveRestoreEnabled": true, "Isolation": "", "InitBinary": "", "ContainerdCommit": {"ID": "", "Expected": ""},
    "RuncCommit": {"ID": "", "Expected": ""}, "InitCommit": {"ID": "", "Expected": ""}, "Warnings": null
}"#;

fn operating_system() -> String {
    std::fs::read_to_string("/etc/os-release")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || "Linux".to_owned(),
            |name| name.trim_matches('"').to_owned(),
        )
}

pub(super) async fn disk_usage(docker: &Arc<Docker>) -> Result<Answer> {
    let everything = Filter {
        all: true,
        ..Filter::default()
    };
    let infos = now(|| Ok(docker.engine.list(&everything)))?;
    let snapshots = later(docker, shedbox_engine::Engine::snapshots).await?;
    let containers: Vec<Value> = infos
        .iter()
        .map(|info| {
            let extra = docker.extra(info);
            let image = docker.image_config(info);
            let mut value = shedbox_docker::inspect::summary(
                info,
                &stored(info),
                &extra,
                &image,
                Timestamp::now(),
            );
            let upper = std::path::Path::new(&info.dir).join("live").join("upper");
            // A snapshot that nobody names any more counts for the first that uses it.
            let kept: u64 = snapshots
                .iter()
                .filter(|kept| kept.sandbox.as_ref().or(kept.used_by.first()) == Some(&info.name))
                .filter_map(|kept| kept.bytes)
                .sum();
            value["SizeRw"] = json!(containers::tree_size(&upper) + kept);
            value
        })
        .collect();
    let (images, layers) = later(docker, |engine| {
        let layers = engine.images().store().layers_room()?;
        Ok((engine.list_images(), layers))
    })
    .await?;
    let mut summaries = images::summaries(&images);
    for summary in &mut summaries {
        let of_image = |info: &&shedbox_spec::api::SandboxInfo| {
            info.image
                .as_ref()
                .is_some_and(|image| summary["Id"] == image.to_string())
        };
        let count = infos.iter().filter(of_image).count();
        summary["Containers"] = json!(count);
    }
    let answer = json!({
        "LayersSize": layers,
        "Images": summaries,
        "Containers": containers,
        "Volumes": volumes::with_usage(docker),
        "BuildCache": [],
        "BuilderSize": 0,
    });
    Ok(answer::json(StatusCode::OK, &answer))
}

/// Credentials are the client's to keep: whether they are right is found out by the pull.
pub(super) async fn auth(_docker: &Arc<Docker>, asked: Asked) -> Result<Answer> {
    drop(asked.json().await?);
    let answer = json!({"Status": "Login Succeeded", "IdentityToken": ""});
    Ok(answer::json(StatusCode::OK, &answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_is_json_and_the_header_is_the_newest_version() {
        let fixed: Value = serde_json::from_str(FIXED).unwrap();
        assert_eq!(fixed["Swarm"]["LocalNodeState"], "inactive");
        assert!(HEADERS.contains(&("api-version", MAX.to_string().as_str())));
    }
}
