//! The directories: room for data, and a place for sockets.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shedbox_linux::disk::{self, Room};
use shedbox_linux::path;
use shedbox_spec::config::Config;
use shedbox_spec::paths::Paths;
use shedbox_spec::size::format_bytes;

use super::overlay::Trial;
use super::{Check, Entry};

/// Free bytes below which an ordinary image does not fit.
const LITTLE_ROOM: u64 = 2 << 30;
/// Free inodes below which an ordinary image does not fit.
const FEW_INODES: u64 = 100_000;
/// Longest path of a unix socket, with its end. Source: unix(7).
const SOCKET_PATH_MAX: usize = 108;

pub(super) fn checks(paths: &Paths, trial: &Trial, uid: u32) -> Vec<Check> {
    let existing = paths
        .root
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(&paths.root);
    let room = path::open_dir(existing)
        .and_then(disk::room)
        .map_err(|error| error.to_string());
    let failure = trial.directory.as_ref().err().map(ToString::to_string);
    let (space, inodes) = data(&paths.root, failure.as_deref(), room.as_ref());
    let xdg = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let parent = paths
        .runtime
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(&paths.runtime);
    let parent = parent
        .metadata()
        .map(|data| Parent {
            path: parent.display().to_string(),
            owner: data.uid(),
            mode: data.mode(),
        })
        .ok();
    vec![
        space,
        inodes,
        runtime(paths, xdg.is_some(), parent.as_ref(), uid),
    ]
}

fn data(root: &Path, failure: Option<&str>, left: Result<&Room, &String>) -> (Check, Check) {
    let space = Entry {
        id: "disk",
        title: "Room in the data directory",
    };
    let inodes = Entry {
        id: "inodes",
        title: "Inodes in the data directory",
    };
    let place = root.display();
    let elsewhere = || "export SHEDBOX_ROOT=/path/with/room/shedbox".to_owned();
    let left = match (failure, left) {
        (None, Ok(left)) => left,
        (Some(failure), _) => {
            let means = format!("{place} cannot be made or written");
            return (
                space.missing(failure, means.clone(), elsewhere()),
                inodes.missing(failure, means, elsewhere()),
            );
        }
        (None, Err(failure)) => {
            let means = "the room is unknown";
            return (
                space.degraded(failure.clone(), means, elsewhere()),
                inodes.degraded(failure.clone(), means, elsewhere()),
            );
        }
    };
    let free = format!(
        "{} of {} free at {place}",
        format_bytes(left.free_bytes),
        format_bytes(left.total_bytes)
    );
    let make_room = || "shedbox prune --all".to_owned();
    let space = if left.read_only {
        space.missing(
            format!("the file system of {place} is mounted read-only"),
            "nothing can be stored",
            elsewhere(),
        )
    } else if left.free_bytes < Config::default().min_free_bytes {
        space.missing(free, "pulls and new sandboxes are refused", make_room())
    } else if left.free_bytes < LITTLE_ROOM {
        space.degraded(free, "larger images do not fit", make_room())
    } else {
        space.ok(free, "images fit")
    };
    let inodes = match left {
        Room {
            total_inodes: 0, ..
        } => inodes.ok("made as needed", "never short before the room is"),
        Room {
            free_inodes,
            total_inodes,
            ..
        } => {
            let found = format!("{free_inodes} of {total_inodes} free at {place}");
            if *free_inodes < FEW_INODES / 100 {
                inodes.missing(
                    found,
                    "no image fits: one has tens of thousands of files",
                    make_room(),
                )
            } else if *free_inodes < FEW_INODES {
                inodes.degraded(
                    found,
                    "larger images do not fit: they have tens of thousands of files",
                    make_room(),
                )
            } else {
                inodes.ok(found, "images fit")
            }
        }
    };
    (space, inodes)
}

/// The nearest directory above the sockets that exists.
struct Parent {
    path: String,
    owner: u32,
    mode: u32,
}

fn runtime(paths: &Paths, from_environment: bool, parent: Option<&Parent>, uid: u32) -> Check {
    let entry = Entry {
        id: "runtime-dir",
        title: "Directory of the sockets",
    };
    let place = paths.runtime.display().to_string();
    let linger = || {
        format!(
            "sudo apt install dbus-user-session && sudo loginctl enable-linger {uid}  # then log in again"
        )
    };
    let Some(parent) = parent else {
        return entry.missing(
            format!("{place} cannot be made"),
            "there is no place for the sockets",
            linger(),
        );
    };
    let ours = parent.owner == uid;
    // A shared directory with the sticky bit, such as /tmp, lets everybody make a directory.
    let shared = parent.mode & 0o1002 == 0o1002;
    if !ours && !shared && uid != 0 {
        return entry.missing(
            format!("{} belongs to user {}", parent.path, parent.owner),
            format!(
                "{place} cannot be made: the environment is perhaps that of another user (su, sudo)"
            ),
            format!("export XDG_RUNTIME_DIR=/run/user/{uid}"),
        );
    }
    let longest = paths
        .sandbox_sockets()
        .join(format!("{}.sock", "x".repeat(64)));
    if longest.as_os_str().len() >= SOCKET_PATH_MAX
        && paths.api_socket().as_os_str().len() >= SOCKET_PATH_MAX
    {
        return entry.degraded(
            place,
            "paths of sockets are longer than 107 bytes: docker clients cannot connect to them",
            "export SHEDBOX_RUNTIME_DIR=/run/user/$(id -u)/shedbox".to_owned(),
        );
    }
    if !from_environment && uid != 0 && std::path::Path::new(&place).starts_with("/tmp") {
        return entry.degraded(
            format!("XDG_RUNTIME_DIR is not set, {place} is used"),
            "programs that clean /tmp remove the sockets, and with them the way to running sandboxes",
            linger(),
        );
    }
    entry.ok(place, "sockets are there, for this user alone")
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn room(free_bytes: u64, free_inodes: u64) -> Room {
        Room {
            total_bytes: 1 << 40,
            free_bytes,
            total_inodes: 1 << 24,
            free_inodes,
            read_only: false,
        }
    }

    #[test]
    fn room_for_data() {
        let levels = |room: Room| {
            let (space, inodes) = data(Path::new("/d"), None, Ok(&room));
            (space.level, inodes.level)
        };
        assert_eq!(levels(room(1 << 36, 1 << 20)), (Level::Ok, Level::Ok));
        assert_eq!(
            levels(room(1 << 30, 50_000)),
            (Level::Degraded, Level::Degraded)
        );
        assert_eq!(levels(room(1 << 20, 10)), (Level::Missing, Level::Missing));
        assert_eq!(
            levels(Room {
                total_inodes: 0,
                ..room(1 << 36, 0)
            }),
            (Level::Ok, Level::Ok)
        );
        assert_eq!(
            levels(Room {
                read_only: true,
                ..room(1 << 36, 1 << 20)
            })
            .0,
            Level::Missing
        );
        let (space, inodes) = data(
            Path::new("/d"),
            Some("mkdir(/d) => EACCES (Permission denied)"),
            Ok(&room(1, 1)),
        );
        assert_eq!(
            (space.level, inodes.level),
            (Level::Missing, Level::Missing)
        );
        assert_eq!(space.means, "/d cannot be made or written");
    }

    #[test]
    fn place_for_sockets() {
        let at = |runtime: &str| Paths {
            root: "/d".into(),
            runtime: runtime.into(),
            config: "/c".into(),
        };
        let parent = |owner, mode| Parent {
            path: "/p".into(),
            owner,
            mode,
        };
        let level =
            |paths: &Paths, set, parent: Option<&Parent>| runtime(paths, set, parent, 1000).level;
        let run = at("/run/user/1000/shedbox");
        assert_eq!(level(&run, true, Some(&parent(1000, 0o40_700))), Level::Ok);
        assert_eq!(
            level(&run, true, Some(&parent(0, 0o40_755))),
            Level::Missing
        );
        assert_eq!(level(&run, true, None), Level::Missing);
        let tmp = at("/tmp/shedbox-1000");
        assert_eq!(
            level(&tmp, false, Some(&parent(0, 0o41_777))),
            Level::Degraded
        );
        assert_eq!(level(&tmp, true, Some(&parent(0, 0o41_777))), Level::Ok);
        let long = at(&format!("/run/{}", "x".repeat(120)));
        assert_eq!(
            level(&long, true, Some(&parent(1000, 0o40_700))),
            Level::Degraded
        );
        assert_eq!(
            runtime(&at("/run/shedbox"), false, Some(&parent(0, 0o40_755)), 0).level,
            Level::Ok
        );
    }
}
