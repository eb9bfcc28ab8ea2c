//! What is really in force in a sandbox that runs: what a process inside read of itself, and what can be seen from here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use shedbox_spec::api::Status;
use shedbox_spec::control::{Reply, Request};
use shedbox_spec::features::{
    CgroupFeatures, Features, MountFeature, NAMESPACES, NamespaceFeature, Probe, mounts, violations,
};
use shedbox_spec::security::{READ_ONLY_PATHS, Seccomp, SeccompProfile};

use crate::Engine;
use crate::error::{EngineError, Result};
use crate::init::{self, Init};

/// Mounts that are shown besides those of [`READ_ONLY_PATHS`].
const WALLS: [&str; 7] = [
    "/",
    "/dev",
    "/dev/mqueue",
    "/dev/shm",
    "/proc",
    "/sys",
    "/sys/fs/cgroup",
];
/// What mounts show that hide something: an empty file or directory of init's own.
const NOTHING: [&str; 2] = ["/.shedbox/none", "/.shedbox/nothing"];
/// Files of a cgroup that hold limits.
const LIMIT_FILES: [&str; 10] = [
    "cpu.max",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "io.max",
    "memory.high",
    "memory.max",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
];

impl Engine {
    /// Starts a process in a sandbox that looks at itself, and compares what it finds with what was asked for.
    pub fn features(&self, name: &str) -> Result<Features> {
        let _activity = self.background.activity();
        let sandbox = self.find(name)?;
        let (status, live) = {
            let state = sandbox.state();
            (state.life.status, state.live.clone())
        };
        let not_running = || {
            shedbox_spec::Error::conflict(format!(
                "sandbox {} is not running: there is nothing to look at",
                sandbox.name()
            ))
            .with_hint(format!("start it with `shedbox start {}`", sandbox.name()))
        };
        let Some(live) = live.filter(|_| status == Status::Running) else {
            return Err(not_running().into());
        };
        let reply = match init::ask(&sandbox.socket, &Request::Features) {
            // It was on its way out.
            Err(_) if live.ends_within(Duration::from_millis(200)) => {
                return Err(not_running().into());
            }
            other => other?,
        };
        let Reply::Features(probe) = reply else {
            return Err(EngineError::Protocol {
                party: "init".to_owned(),
                complaint: "does not say what is in force".to_owned(),
            });
        };
        let security = &sandbox.record.spec.security;
        let mut found = Features {
            isolation: "namespaces".to_owned(),
            generation: live.generation,
            process: probe.process(profile(&security.seccomp)),
            user_map: probe.user_map(),
            namespaces: namespaces(&probe),
            landlock: live.landlock.clone(),
            limits: probe.limits(),
            cgroup: cgroup(&live, &probe),
            ..Features::default()
        };
        (found.mounts, found.hidden) = sort_mounts(mounts(&probe.mountinfo));
        let base = sandbox.bases().live.clone();
        let asked = self.generation_spec(
            &sandbox,
            &sandbox.layout.live(),
            &base,
            live.generation,
            sandbox.has_main(),
        )?;
        found.violations = violations(&asked, &sandbox.limits(), &found, &probe.exposed);
        Ok(found)
    }
}

/// What a filter is called in messages.
fn profile(seccomp: &Seccomp) -> &'static str {
    match seccomp {
        Seccomp::Profile(SeccompProfile::Strict) => "strict",
        Seccomp::Profile(SeccompProfile::Default) => "default",
        Seccomp::Profile(SeccompProfile::Dev) => "dev",
        Seccomp::Profile(SeccompProfile::Nested) => "nested",
        Seccomp::Profile(SeccompProfile::Unconfined) => "unconfined",
        Seccomp::Custom(_) => "custom",
        Seccomp::Log => "log",
    }
}

/// Each namespace of the sandbox beside the daemon's. What cannot be read has the inode 0.
fn namespaces(probe: &Probe) -> Vec<NamespaceFeature> {
    NAMESPACES
        .iter()
        .map(|kind| {
            let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok();
            let inside = probe.namespaces.get(*kind);
            NamespaceFeature {
                kind: (*kind).to_owned(),
                inode: probe.namespace(kind).unwrap_or(0),
                shared: match (own.as_deref().and_then(Path::to_str), inside) {
                    (Some(own), Some(inside)) => own == inside,
                    // Not known to be another one.
                    _ => true,
                },
            }
        })
        .collect()
}

/// The walls, and the places where nothing shows.
fn sort_mounts(all: Vec<MountFeature>) -> (Vec<MountFeature>, Vec<String>) {
    let (nothing, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|mount| NOTHING.contains(&mount.root.as_str()));
    let mut hidden: Vec<String> = nothing.into_iter().map(|mount| mount.target).collect();
    hidden.sort();
    let mut walls: Vec<MountFeature> = rest
        .into_iter()
        .filter(|mount| {
            let target = mount.target.as_str();
            WALLS.contains(&target) || READ_ONLY_PATHS.contains(&target)
        })
        .collect();
    walls.sort_by(|a, b| a.target.cmp(&b.target));
    (walls, hidden)
}

fn cgroup(live: &Init, probe: &Probe) -> Option<CgroupFeatures> {
    let dir = live.cgroup.as_ref()?.path();
    let files: BTreeMap<String, String> = LIMIT_FILES
        .iter()
        .filter_map(|name| {
            let content = std::fs::read_to_string(dir.join(name)).ok()?;
            Some(((*name).to_owned(), content.trim_end().to_owned()))
        })
        .collect();
    let of_init = std::fs::read_to_string(format!("/proc/{}/cgroup", live.pid)).unwrap_or_default();
    let of_init = Probe {
        cgroup: of_init,
        ..Probe::default()
    };
    Some(CgroupFeatures {
        path: of_init.unified_cgroup().unwrap_or_default().to_owned(),
        inside: probe.unified_cgroup().unwrap_or_default().to_owned(),
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_and_masks_are_told_apart() {
        let (walls, hidden) = sort_mounts(mounts(
            "1 0 0:1 / / rw,nodev - overlay none rw\n2 1 0:2 / /proc rw - proc proc rw\n\
             3 2 0:3 /.shedbox/none /proc/keys ro - tmpfs tmpfs rw\n4 2 0:3 /.shedbox/nothing /proc/acpi ro - tmpfs tmpfs rw\n\
             5 2 0:2 /sys /proc/sys ro - proc proc rw\n6 1 0:4 / /data rw - ext4 /dev/sda rw\n",
        ));
        let targets: Vec<&str> = walls.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/", "/proc", "/proc/sys"]);
        assert_eq!(hidden, ["/proc/acpi", "/proc/keys"]);
    }

    #[test]
    fn what_cannot_be_read_counts_as_shared() {
        let own = std::fs::read_link("/proc/self/ns/mnt").unwrap();
        let probe = Probe {
            namespaces: [
                ("mnt".to_owned(), own.to_str().unwrap().to_owned()),
                ("pid".to_owned(), "pid:[1]".to_owned()),
            ]
            .into(),
            ..Probe::default()
        };
        let found = namespaces(&probe);
        let shared = |kind: &str| {
            found
                .iter()
                .find(|namespace| namespace.kind == kind)
                .map(|namespace| (namespace.inode != 0, namespace.shared))
        };
        assert_eq!(shared("mnt"), Some((true, true)));
        assert_eq!(shared("pid"), Some((true, false)));
        assert_eq!(shared("net"), Some((false, true)));
    }
}
