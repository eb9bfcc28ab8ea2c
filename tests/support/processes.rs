//! Which processes belong to a home, found in /proc: by the environment that the command line program handed on, by
//! mounts that name the home's directory, or by a parent that does. What runs inside a sandbox shows no path of the host.

use std::collections::HashMap;
use std::path::Path;

/// A living process of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its pid, in the pid namespace of the tests.
    pub(crate) pid: i32,
    /// Its command line.
    pub(crate) command: String,
    /// It lives in a pid namespace of its own: an init or what runs below it, not daemon or keeper.
    pub(crate) in_sandbox: bool,
}

/// All processes of the home at `root`. Zombies do not count.
pub(crate) fn of_home(root: &Path) -> Vec<Process> {
    let root = root.to_str().expect("scratch paths are UTF-8");
    let variable = format!("SHEDBOX_ROOT={root}");
    let own = std::process::id() as i32;
    let parents: HashMap<i32, i32> = std::fs::read_dir("/proc")
        .expect("read /proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let marked: Vec<i32> = parents
        .keys()
        .copied()
        .filter(|pid| *pid != own && belongs(*pid, &variable, root))
        .collect();
    let descends = |pid: i32| {
        std::iter::successors(Some(pid), |pid| parents.get(pid).copied())
            .take_while(|pid| *pid != own)
            .any(|pid| marked.contains(&pid))
    };
    parents
        .keys()
        .copied()
        .filter(|pid| descends(*pid))
        .filter_map(describe)
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn belongs(pid: i32, variable: &str, root: &str) -> bool {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mountinfo = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    environ
        .split(|byte| *byte == 0)
        .any(|entry| entry == variable.as_bytes())
        || String::from_utf8_lossy(&mountinfo)
            .split([' ', ',', '=', ':', '\n'])
            .any(|word| {
                word.starts_with(root) && !word[root.len()..].starts_with(char::is_alphanumeric)
            })
}

fn describe(pid: i32) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    if field("State:")?.starts_with('Z') {
        return None;
    }
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(Process {
        pid,
        command: String::from_utf8_lossy(&command)
            .replace('\0', " ")
            .trim()
            .to_owned(),
        in_sandbox: field("NSpid:")?.split_whitespace().count() > 1,
    })
}
