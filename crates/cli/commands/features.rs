//! `shedbox features`.

use std::fmt::Write as _;

use anyhow::Result;
use shedbox_client::Client;
use shedbox_spec::features::{Features, IdRange};
use shedbox_spec::landlock::LandlockInForce;

use crate::render::{self, Format};

/// Show what is really in force in a sandbox, as a process inside finds it
///
/// The exit status is 1 when something that was asked for is not in force.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Name or id
    sandbox: String,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let features = Client::shared().sandbox(&args.sandbox)?.features()?;
    match args.format {
        Format::Json => render::json(&features)?,
        Format::Table => render::line(text(&features).trim_end())?,
    }
    Ok(u8::from(!features.violations.is_empty()))
}

fn text(found: &Features) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<18}  {value}");
    };
    let process = &found.process;
    line("isolation", &found.isolation);
    line(
        "no_new_privs",
        if process.no_new_privileges {
            "yes"
        } else {
            "no"
        },
    );
    let filters = process
        .seccomp
        .filters
        .map(|count| format!(", {count} installed"))
        .unwrap_or_default();
    line(
        "seccomp",
        &format!(
            "{} ({}{filters})",
            process.seccomp.profile, process.seccomp.mode
        ),
    );
    line("landlock", &landlock(&found.landlock));
    let sets = &process.capabilities;
    for (name, set) in [
        ("permitted", &sets.permitted),
        ("effective", &sets.effective),
        ("inheritable", &sets.inheritable),
        ("bounding", &sets.bounding),
        ("ambient", &sets.ambient),
    ] {
        line(&format!("caps {name}"), &words(set));
    }
    let groups: Vec<String> = process.groups.iter().map(ToString::to_string).collect();
    line(
        "user",
        &format!("{}:{}, groups {}", process.uid, process.gid, words(&groups)),
    );
    line("uid map", &map(&found.user_map.uid));
    line("gid map", &map(&found.user_map.gid));
    for namespace in &found.namespaces {
        let shared = if namespace.shared {
            "shared with the host"
        } else {
            "its own"
        };
        line(
            &format!("namespace {}", namespace.kind),
            &format!("{} {shared}", namespace.inode),
        );
    }
    for mount in &found.mounts {
        line(
            "mount",
            &format!(
                "{} {} {}",
                mount.target,
                mount.file_system,
                mount.options.join(",")
            ),
        );
    }
    line("hidden", &words(&found.hidden));
    let limits: Vec<String> = found.limits.iter().map(ToString::to_string).collect();
    line("ulimits", &words(&limits));
    line("oom_score_adj", &process.oom_score_adj.to_string());
    match &found.cgroup {
        None => line("cgroup", "none of its own"),
        Some(cgroup) => {
            line("cgroup", &cgroup.path);
            for (name, value) in &cgroup.files {
                line(name, value);
            }
        }
    }
    for violation in &found.violations {
        line("VIOLATION", violation);
    }
    text
}

fn landlock(found: &LandlockInForce) -> String {
    if !found.is_domain() {
        return format!("no domain (ABI {})", found.abi);
    }
    let mut text = format!("ABI {}", found.abi);
    let mut add = |name: &str, list: &[String]| {
        if !list.is_empty() {
            text.push_str(&format!("; {name}: {}", list.join(" ")));
        }
    };
    add("files", &found.files);
    add("read", &found.ro);
    add("write", &found.rw);
    add("scopes", &found.scopes);
    add("missing", &found.missing);
    for (name, ports) in [("bind", &found.tcp_bind), ("connect", &found.tcp_connect)] {
        if let Some(ports) = ports {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            text.push_str(&format!("; TCP {name}: {}", words(&ports)));
        }
    }
    text
}

fn words(list: &[String]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(" ")
    }
}

fn map(ranges: &[IdRange]) -> String {
    let ranges: Vec<String> = ranges
        .iter()
        .map(|range| format!("{}={}x{}", range.inside, range.outside, range.count))
        .collect();
    words(&ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found() {
        let mut found = Features {
            isolation: "namespaces".into(),
            violations: vec!["the pid namespace is the host's".into()],
            ..Features::default()
        };
        found.process.seccomp.profile = "default".into();
        found.process.seccomp.mode = "filter".into();
        found.process.seccomp.filters = Some(2);
        found.user_map.uid = vec![IdRange {
            inside: 0,
            outside: 1000,
            count: 1,
        }];
        let text = text(&found);
        for part in [
            "no_new_privs        no\n",
            "seccomp             default (filter, 2 installed)\n",
            "caps effective      none\n",
            "uid map             0=1000x1\n",
            "landlock            no domain (ABI 0)\n",
            "cgroup              none of its own\n",
            "VIOLATION           the pid namespace is the host's\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
