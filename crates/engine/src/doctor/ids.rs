//! Subordinate ids: what makes more users than root possible in a sandbox.

use std::process::Command;

use shedbox_linux::probe::HeldNamespace;
use shedbox_linux::spawn::find_program;
use shedbox_linux::userns::subordinate_ranges;

use super::proc_files::{read, user_name};
use super::{Check, Entry};

/// Ids that images commonly use: 0 to 65535.
const ENOUGH: u64 = 65_536;

/// What was found for one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    name: String,
    subuid: String,
    subgid: String,
    uids: u64,
    gids: u64,
    /// newuidmap or newgidmap that is not there.
    absent: Vec<&'static str>,
    /// What they said when they were really run; absent when they were not.
    tried: Option<Result<(), String>>,
}

pub(super) fn check(uid: u32) -> Check {
    if uid == 0 {
        return Entry {
            id: ID,
            title: TITLE,
        }
        .ok("root", "all ids of the host are there");
    }
    let passwd = read("/etc/passwd").unwrap_or_default();
    let name = user_name(&passwd, uid).map_or_else(|| uid.to_string(), str::to_owned);
    let uid_file = read("/etc/subuid").unwrap_or_default();
    let gid_file = read("/etc/subgid").unwrap_or_default();
    let uids = subordinate_ranges(&uid_file, &name, uid);
    let gids = subordinate_ranges(&gid_file, &name, uid);
    let programs = ["newuidmap", "newgidmap"];
    let absent: Vec<&'static str> = programs
        .into_iter()
        .filter(|program| find_program(program).is_none())
        .collect();
    let tried = match (uids.first(), gids.first()) {
        (Some(uids), Some(gids)) if absent.is_empty() => Some(try_maps(*uids, *gids)),
        _ => None,
    };
    let total = |ranges: &[(u32, u32)]| ranges.iter().map(|(_, count)| u64::from(*count)).sum();
    judge(&Facts {
        name,
        uids: total(&uids),
        gids: total(&gids),
        subuid: uid_file,
        subgid: gid_file,
        absent,
        tried,
    })
}

/// Has the setuid programs map the first range of each kind in a namespace of a child.
fn try_maps(uids: (u32, u32), gids: (u32, u32)) -> Result<(), String> {
    let held = HeldNamespace::new().map_err(|error| error.to_string())?;
    for (program, (first, count)) in [("newuidmap", uids), ("newgidmap", gids)] {
        let output = Command::new(program)
            .args([
                held.pid().to_string(),
                "0".into(),
                first.to_string(),
                count.to_string(),
            ])
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
    }
    Ok(())
}

const ID: &str = "subordinate-ids";
const TITLE: &str = "Subordinate ids";

fn judge(facts: &Facts) -> Check {
    let entry = Entry {
        id: ID,
        title: TITLE,
    };
    let means = "root is the only user in a sandbox: files of other users belong to root, and programs that must become \
                 another user go on as root";
    if !facts.absent.is_empty() {
        let found = format!("{} not found", facts.absent.join(" and "));
        let mut fix = "sudo apt install uidmap".to_owned();
        if facts.uids == 0 || facts.gids == 0 {
            fix = format!("{fix} && {}", add_ranges(facts));
        }
        return entry.degraded(found, means, fix);
    }
    if facts.uids == 0 || facts.gids == 0 {
        let found = format!("no range for {} in /etc/subuid or /etc/subgid", facts.name);
        return entry.degraded(found, means, add_ranges(facts));
    }
    let counts = format!(
        "{} user ids and {} group ids for {}",
        facts.uids, facts.gids, facts.name
    );
    match &facts.tried {
        Some(Err(complaint)) => entry.degraded(
            complaint.clone(),
            means,
            "sudo apt install --reinstall uidmap".to_owned(),
        ),
        _ if facts.uids.min(facts.gids) < ENOUGH - 1 => entry.degraded(
            counts,
            "images with files of users beyond the range cannot be extracted",
            add_ranges(facts),
        ),
        _ => entry.ok(counts, "every user of an image is a user of its own"),
    }
}

/// The command that adds a range behind all that are given out.
fn add_ranges(facts: &Facts) -> String {
    let end = |text: &str| {
        text.lines()
            .filter_map(|line| {
                let mut fields = line
                    .split(':')
                    .skip(1)
                    .map(|field| field.trim().parse::<u64>());
                Some(fields.next()?.ok()? + fields.next()?.ok()?)
            })
            .max()
    };
    let first = end(&facts.subuid)
        .max(end(&facts.subgid))
        .unwrap_or(0)
        .max(100_000);
    let last = first + ENOUGH - 1;
    format!(
        "sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {}",
        facts.name
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn levels_and_commands() {
        let good = Facts {
            name: "ann".into(),
            subuid: "bob:100000:65536\nann:165536:65536\n".into(),
            subgid: "bob:100000:65536\n".into(),
            uids: 65_536,
            gids: 65_536,
            tried: Some(Ok(())),
            ..Facts::default()
        };
        assert_eq!(judge(&good).level, Level::Ok);
        let none = Facts {
            gids: 0,
            tried: None,
            ..good.clone()
        };
        let check = judge(&none);
        assert_eq!(check.level, Level::Degraded);
        assert_eq!(
            check.fix.unwrap(),
            "sudo usermod --add-subuids 231072-296607 --add-subgids 231072-296607 ann"
        );
        let bare = Facts {
            name: "ann".into(),
            absent: vec!["newuidmap", "newgidmap"],
            ..Facts::default()
        };
        let check = judge(&bare);
        assert_eq!(check.found, "newuidmap and newgidmap not found");
        assert_eq!(
            check.fix.unwrap(),
            "sudo apt install uidmap && sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann"
        );
        let not_setuid = Facts {
            tried: Some(Err("newuidmap: write to uid_map failed".into())),
            ..good.clone()
        };
        let check = judge(&not_setuid);
        assert_eq!(
            (check.level, check.found.as_str()),
            (Level::Degraded, "newuidmap: write to uid_map failed")
        );
        let small = Facts { uids: 1000, ..good };
        assert_eq!(judge(&small).level, Level::Degraded);
    }

    #[test]
    fn root_needs_none() {
        assert_eq!(check(0).level, Level::Ok);
    }

    #[test]
    fn programs_of_the_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program").is_none());
    }
}
