//! Control groups: whether limits on memory, processor and processes can be set.
//!
//! It asks what the engine asks when it opens, for this process instead of the keeper, and makes nothing.

use super::{Check, Entry};
use crate::cgroup::{Absence, DELEGATE_ALL, Delegation};

/// What limits need.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
/// What some limits need: `--device-read-bps` and its like, `--cpuset-cpus`.
const WELCOME: [&str; 2] = ["io", "cpuset"];

pub(super) fn check(uid: u32) -> Check {
    judge(&Delegation::look(std::process::id() as i32, uid))
}

fn judge(found: &Result<Delegation, Absence>) -> Check {
    let entry = Entry {
        id: "cgroup",
        title: "Control groups",
    };
    let place = match found {
        Ok(place) => place,
        Err(absence) => {
            return entry.degraded(
                absence.reason.clone(),
                "limits on memory, processor and processes cannot be set; rlimits still can",
                absence.fix.clone(),
            );
        }
    };
    let lacking = |wanted: &[&str]| -> Vec<String> {
        wanted
            .iter()
            .filter(|name| !place.controllers.iter().any(|there| there == *name))
            .map(|name| (*name).to_owned())
            .collect()
    };
    let base = place.base.display();
    let missing = lacking(&NEEDED);
    if !missing.is_empty() {
        return entry.degraded(
            format!("version 2, {base} lacks {}", missing.join(" ")),
            format!("limits that need {} cannot be set", missing.join(" or ")),
            DELEGATE_ALL.to_owned(),
        );
    }
    let found = format!("version 2, {} in {base}", place.controllers.join(" "));
    let unwelcome = lacking(&WELCOME);
    if unwelcome.is_empty() {
        entry.ok(found, "limits can be set")
    } else {
        entry.ok(
            found,
            format!(
                "limits can be set, but those that need {}",
                unwelcome.join(" or ")
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn place(controllers: &str) -> Delegation {
        Delegation {
            base: "/sys/fs/cgroup/user.slice".into(),
            controllers: controllers.split(' ').map(str::to_owned).collect(),
        }
    }

    #[test]
    fn levels() {
        let nowhere = judge(&Err(Absence {
            reason: "because".into(),
            fix: Some("mend it".into()),
        }));
        assert_eq!(
            (
                nowhere.level,
                nowhere.found.as_str(),
                nowhere.fix.as_deref()
            ),
            (Level::Degraded, "because", Some("mend it"))
        );
        let all = judge(&Ok(place("cpuset cpu io memory pids")));
        assert_eq!(
            (all.level, all.means.as_str()),
            (Level::Ok, "limits can be set")
        );
        let most = judge(&Ok(place("cpu io memory pids")));
        assert_eq!(
            (most.level, most.means.as_str()),
            (Level::Ok, "limits can be set, but those that need cpuset")
        );
        let partly = judge(&Ok(place("memory pids io cpuset")));
        assert_eq!(
            (partly.level, partly.means.as_str()),
            (Level::Degraded, "limits that need cpu cannot be set")
        );
        assert!(partly.fix.unwrap().contains("Delegate=cpu"));
    }
}
