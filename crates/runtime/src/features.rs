//! What a process in the sandbox sees of itself: the routine that runs in place of a program.

use std::collections::BTreeMap;

use shedbox_linux::inroot::{self, OFlags};
use shedbox_linux::tree::Entries;
use shedbox_linux::{fd, mount};
use shedbox_spec::features::{NAMESPACES, Probe};
use shedbox_spec::security::MASKED_PATHS;

/// Reads the calling process's own files. What cannot be read is left empty, and so is found to be missing.
pub(crate) fn look(hidden: &[String]) -> Probe {
    let text =
        |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let namespaces: BTreeMap<String, String> = NAMESPACES
        .iter()
        .filter_map(|kind| {
            let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
            Some(((*kind).to_owned(), link.to_str()?.to_owned()))
        })
        .collect();
    let exposed = MASKED_PATHS
        .iter()
        .copied()
        .chain(hidden.iter().map(String::as_str))
        .filter(|path| shows_something(path))
        .map(str::to_owned)
        .collect();
    Probe {
        status: text("status"),
        limits: text("limits"),
        mountinfo: text("mountinfo"),
        cgroup: text("cgroup"),
        uid_map: text("uid_map"),
        gid_map: text("gid_map"),
        oom_score_adj: text("oom_score_adj"),
        namespaces,
        exposed,
    }
}

/// Whether a file has content or a directory has entries, as far as this process may look.
fn shows_something(hidden: &str) -> bool {
    // Never waits: neither for a FIFO that a sandbox put there nor for the next message of a kernel log.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(found) = inroot::open_root().and_then(|root| inroot::open_with(root, hidden, flags))
    else {
        return false;
    };
    if mount::is_directory(&found).unwrap_or(false) {
        return Entries::new(found).is_ok_and(|mut entries| entries.next().is_some());
    }
    matches!(fd::read(&found, &mut [0]), Ok(1..))
}
