//! What was asked for, held against what was found.

use super::{Features, MountFeature};
use crate::generation::GenerationSpec;
use crate::landlock::LandlockLevel;
use crate::limits::{CPU_PERIOD_US, Limits};
use crate::network::NetworkNamespace;

use super::parse::capability_names;

/// Size of a page of memory: cgroup limits are rounded down to it.
const PAGE: u64 = 4096;

/// What was asked for and is not in force, one sentence each. `exposed` are paths that were to be hidden and showed
/// something.
pub fn violations(
    asked: &GenerationSpec,
    limits: &Limits,
    found: &Features,
    exposed: &[String],
) -> Vec<String> {
    let mut list = process(asked, found);
    list.extend(namespaces(asked, found));
    list.extend(walls(asked, found));
    list.extend(landlock(asked, found));
    list.extend(ulimits(asked, found));
    list.extend(cgroup(limits, found));
    list.extend(
        exposed
            .iter()
            .map(|path| format!("{path} was to be hidden and shows something")),
    );
    list
}

fn process(asked: &GenerationSpec, found: &Features) -> Vec<String> {
    let mut list = Vec::new();
    let process = &found.process;
    if asked.no_new_privileges && !process.no_new_privileges {
        list.push("no_new_privs was asked for and is not set".to_owned());
    }
    let filtered = !asked.seccomp.is_empty() || !asked.seccomp_command.is_empty();
    if filtered && process.seccomp.mode != "filter" {
        list.push(format!(
            "a system call filter was asked for, and the mode is {}",
            process.seccomp.mode
        ));
    }
    let sets = &process.capabilities;
    let given = capability_names(asked.capabilities);
    let own = if process.uid == 0 { &given[..] } else { &[] };
    for (name, set, most) in [
        ("permitted", &sets.permitted, own),
        ("effective", &sets.effective, own),
        ("bounding", &sets.bounding, &given[..]),
        ("inheritable", &sets.inheritable, &[]),
        ("ambient", &sets.ambient, &[]),
    ] {
        let beyond: Vec<&str> = set
            .iter()
            .filter(|capability| !most.contains(capability))
            .map(String::as_str)
            .collect();
        if !beyond.is_empty() {
            list.push(format!(
                "{name} capabilities that were not given: {}",
                beyond.join(" ")
            ));
        }
    }
    let lacking: Vec<&str> = own
        .iter()
        .filter(|capability| !sets.effective.contains(capability))
        .map(String::as_str)
        .collect();
    if !lacking.is_empty() {
        list.push(format!(
            "capabilities that were given and are not there: {}",
            lacking.join(" ")
        ));
    }
    list
}

fn namespaces(asked: &GenerationSpec, found: &Features) -> Vec<String> {
    let mut list = Vec::new();
    for kind in super::NAMESPACES {
        let host = kind == "net" && asked.network == NetworkNamespace::Host;
        match found
            .namespaces
            .iter()
            .find(|namespace| namespace.kind == kind)
        {
            Some(namespace) if namespace.inode != 0 => {
                if namespace.shared && !host {
                    list.push(format!("the {kind} namespace is the host's"));
                } else if host && !namespace.shared {
                    list.push("the host's network was asked for, and it is another".to_owned());
                }
            }
            _ => list.push(format!("the {kind} namespace could not be read")),
        }
    }
    for (name, map, extents) in [
        ("user", &found.user_map.uid, &asked.uid_map),
        ("group", &found.user_map.gid, &asked.gid_map),
    ] {
        let same = map.len() == extents.len()
            && map.iter().zip(extents).all(|(range, (first, count))| {
                (range.inside, range.outside, range.count) == (*first, *first, *count)
            });
        if !same {
            list.push(format!(
                "the {name} ids are mapped otherwise than asked for"
            ));
        }
    }
    list
}

fn walls(asked: &GenerationSpec, found: &Features) -> Vec<String> {
    const SEALED: &[&str] = &["ro", "nosuid", "nodev", "noexec"];
    let mut root = vec!["nodev"];
    if asked.no_new_privileges {
        root.push("nosuid");
    }
    if asked.read_only {
        root.push("ro");
    }
    let walls: [(&str, &[&str]); 5] = [
        ("/", &root),
        ("/proc", &["nosuid", "nodev", "noexec"]),
        ("/proc/sys", &["ro"]),
        ("/sys", SEALED),
        ("/dev", &["nosuid", "noexec"]),
    ];
    walls
        .into_iter()
        .filter_map(|(target, wanted)| {
            let Some(mount) = found.mounts.iter().find(|mount| mount.target == target) else {
                return Some(format!("{target} is not a mount of its own"));
            };
            let lacking = lacking(mount, wanted);
            (!lacking.is_empty()).then(|| format!("{target} lacks {}", lacking.join(" ")))
        })
        .collect()
}

fn lacking<'a>(mount: &MountFeature, wanted: &[&'a str]) -> Vec<&'a str> {
    wanted
        .iter()
        .copied()
        .filter(|option| !mount.has(option))
        .collect()
}

fn landlock(asked: &GenerationSpec, found: &Features) -> Vec<String> {
    let (asked, found) = (&asked.landlock, &found.landlock);
    let mut list = Vec::new();
    if asked.level == LandlockLevel::Require && !found.missing.is_empty() {
        list.push(format!(
            "all of Landlock was required, and it lacks {}",
            found.missing.join(" ")
        ));
    }
    if asked.has_lists() && found.files.is_empty() {
        list.push("paths were limited by Landlock, and files are not in its domain".to_owned());
    }
    if (asked.tcp_bind.is_some() && found.tcp_bind.is_none())
        || (asked.tcp_connect.is_some() && found.tcp_connect.is_none())
    {
        list.push("TCP ports were limited by Landlock, and are not".to_owned());
    }
    list
}

fn ulimits(asked: &GenerationSpec, found: &Features) -> Vec<String> {
    asked
        .ulimits
        .iter()
        .filter(|limit| !found.limits.contains(limit))
        .map(|limit| format!("the ulimit {limit} is not in force"))
        .collect()
}

fn cgroup(limits: &Limits, found: &Features) -> Vec<String> {
    let needing = limits.needing_cgroup();
    let Some(cgroup) = &found.cgroup else {
        // Without a cgroup what was asked for as best effort is warned about at create.
        return if needing.is_empty() || limits.mode != crate::limits::LimitsMode::Require {
            Vec::new()
        } else {
            vec![format!("there is no cgroup for {}", needing.join(" "))]
        };
    };
    let file = |name: &str| cgroup.files.get(name).map(|text| text.trim());
    let mut list = Vec::new();
    let mut expect = |name: &str, wanted: Option<String>| {
        if let Some(wanted) = wanted
            && file(name) != Some(wanted.as_str())
        {
            list.push(format!(
                "{name} is {} instead of {wanted}",
                file(name).unwrap_or("not there")
            ));
        }
    };
    expect(
        "memory.max",
        limits.memory.map(|bytes| (bytes / PAGE * PAGE).to_string()),
    );
    expect(
        "pids.max",
        limits
            .pids
            .filter(|count| *count > 0)
            .map(|count| count.to_string()),
    );
    if let Some(nano) = limits.nano_cpus {
        let period = limits.cpu_period_us.unwrap_or(CPU_PERIOD_US);
        let rate = |text: &str| {
            let (quota, period) = text.split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        };
        let wanted = nano as f64 / 1e9;
        let close = file("cpu.max")
            .and_then(rate)
            .is_some_and(|rate| (rate - wanted).abs() <= wanted * 0.02 + 1.0 / period as f64);
        if !close {
            list.push(format!(
                "cpu.max is {} instead of {wanted} processors",
                file("cpu.max").unwrap_or("not there")
            ));
        }
    }
    list
}
