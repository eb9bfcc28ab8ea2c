//! Who else on this host can reach the store and the sockets.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use shedbox_spec::paths::Paths;

use super::{Check, Entry};

/// A place and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    path: String,
    what: String,
}

pub(super) fn check(paths: &Paths, uid: u32) -> Check {
    let mut looked = 0;
    let mut open = Vec::new();
    for path in [
        paths.root.clone(),
        paths.runtime.clone(),
        paths.api_socket(),
        paths.keeper_socket(),
    ] {
        if let Some(found) = look(&path) {
            looked += 1;
            open.extend(judge(&path, found, uid));
        }
    }
    report(looked, &open)
}

/// Owner, permissions, and whether it is a socket.
fn look(path: &Path) -> Option<(u32, u32, bool)> {
    let data = path.symlink_metadata().ok()?;
    Some((
        data.uid(),
        data.mode() & 0o7777,
        data.file_type().is_socket(),
    ))
}

fn judge(path: &Path, (owner, mode, socket): (u32, u32, bool), uid: u32) -> Option<Open> {
    let most = if socket { 0o600 } else { 0o700 };
    let what = if owner != uid {
        format!("belongs to user {owner}")
    } else if mode & !most & 0o777 != 0 {
        format!("has mode {mode:o} instead of {most:o}")
    } else {
        return None;
    };
    Some(Open {
        path: path.display().to_string(),
        what,
    })
}

fn report(looked: usize, open: &[Open]) -> Check {
    let entry = Entry {
        id: "store-modes",
        title: "Store and sockets",
    };
    if looked == 0 {
        return entry.ok(
            "not made yet",
            "they are made for their owner alone: 0700, sockets 0600",
        );
    }
    if open.is_empty() {
        return entry.ok(
            "0700, sockets 0600",
            "other users of this host can neither read layers nor reach the daemon",
        );
    }
    let found: Vec<String> = open
        .iter()
        .map(|open| format!("{} {}", open.path, open.what))
        .collect();
    let paths: Vec<String> = open
        .iter()
        .map(|open| format!("'{}'", open.path.replace('\'', "'\\''")))
        .collect();
    entry.degraded(
        found.join("; "),
        "other users of this host may read what is stored or reach the daemon",
        format!("chmod go-rwx {}", paths.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn who_may_reach_it() {
        let judge = |found| judge(Path::new("/x"), found, 1000);
        assert_eq!(judge((1000, 0o700, false)), None);
        assert_eq!(judge((1000, 0o600, true)), None);
        assert_eq!(
            judge((1000, 0o755, false)).unwrap().what,
            "has mode 755 instead of 700"
        );
        assert_eq!(
            judge((1000, 0o660, true)).unwrap().what,
            "has mode 660 instead of 600"
        );
        assert_eq!(judge((0, 0o700, false)).unwrap().what, "belongs to user 0");
    }

    #[test]
    fn one_command_mends_all() {
        let open = |path: &str| Open {
            path: path.into(),
            what: "is open".into(),
        };
        let check = report(2, &[open("/a"), open("/b c")]);
        assert_eq!(check.level, Level::Degraded);
        assert_eq!(check.fix.as_deref(), Some("chmod go-rwx '/a' '/b c'"));
        assert_eq!(report(2, &[]).level, Level::Ok);
        assert_eq!(report(0, &[]).level, Level::Ok);
    }
}
