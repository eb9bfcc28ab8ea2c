//! Into the user namespace: the one that holds this root's sandboxes when there is one, else a new one.
//!
//! 1. the keeper's, when one answers    2. the one above any sandbox that lives    3. a new one
//!
//! Everything the daemon, the keeper and the inits do happens in there, as root of it: that is what makes mounts and
//! ownership possible without being root outside.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_linux::userns::{self, Extent, Map};
use shedbox_linux::{Error as KernelError, process};
use shedbox_spec::api::IdMapKind;
use shedbox_spec::paths::Paths;
use shedbox_spec::{Error, Kind, Result};

use crate::error::Doing;
use crate::passwd;

/// Enters. The process has one thread.
pub(crate) fn enter(paths: &Paths) -> Result<IdMapKind> {
    match existing(paths)? {
        Some(namespace) => userns::join(namespace.as_fd()).map_err(refused)?,
        None => {
            shedbox_engine::cgroup::ask_for_scope(process::own_uid());
            userns::enter(&choose()?).map_err(refused)?;
        }
    }
    let text = read("/proc/self/uid_map")?;
    Ok(kind(&userns::parse_map(&text)))
}

fn existing(paths: &Paths) -> Result<Option<OwnedFd>> {
    match shedbox_engine::greet(&paths.keeper_socket()) {
        Ok(Some(greeting)) => Ok(Some(greeting.namespace)),
        Ok(None) => Ok(shedbox_engine::parent_namespace(&paths.sandbox_sockets())),
        Err(error) => Err(error.into()),
    }
}

/// The map for a new namespace.
fn choose() -> Result<Map> {
    let uid = process::own_uid();
    if uid == 0 {
        return Ok(Map::Identity);
    }
    let name = passwd::name_of(&read("/etc/passwd")?, uid)
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_default();
    // No such file: nobody has subordinate ids here.
    let ranges = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        userns::subordinate_ranges(&text, &name, uid)
    };
    let (uids, gids) = (ranges("/etc/subuid"), ranges("/etc/subgid"));
    let programs = ["newuidmap", "newgidmap"]
        .iter()
        .all(|program| in_path(program));
    if uids.is_empty() || gids.is_empty() || !programs {
        tracing::info!(%name, programs, "no subordinate ids: root is the only user inside sandboxes");
        return Ok(Map::Single);
    }
    Ok(Map::Subordinate { uids, gids })
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// What a map in force amounts to.
fn kind(map: &[Extent]) -> IdMapKind {
    match map {
        [only] if only.count == 1 => IdMapKind::Single,
        [
            Extent {
                inside: 0,
                outside: 0,
                ..
            },
            ..,
        ] => IdMapKind::Root,
        _ => IdMapKind::Subordinate,
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(Path::new(path)).doing(|| format!("read {path}"))
}

fn refused(error: KernelError) -> Error {
    let message = format!("cannot enter a user namespace: {error}");
    match (error.call, error.errno) {
        ("newuidmap", _) => Error::new(Kind::Denied, message).with_hint(
            "the programs newuidmap and newgidmap must be setuid root (Debian: package `uidmap`) and /etc/subuid and \
             /etc/subgid must name this user; see `shedbox doctor`",
        ),
        (_, Errno::ENOSPC) => Error::new(Kind::Exhausted, message)
            .with_hint(
                "raise the sysctl user.max_user_namespaces; see `shedbox doctor`. Without user namespaces, `shedbox run \
                 --isolation landlock host COMMAND` runs a command with weaker isolation",
            ),
        (_, Errno::EPERM | Errno::EACCES) => Error::new(Kind::Denied, message).with_hint(
            "unprivileged user namespaces are closed here (kernel.unprivileged_userns_clone, AppArmor, a container); \
             see `shedbox doctor`. Without them, `shedbox run --isolation landlock host COMMAND` runs a command with \
             weaker isolation",
        ),
        (_, Errno::EINVAL) => Error::new(Kind::Unsupported, message)
            .with_hint(
                "this kernel was built without user namespaces; `shedbox run --isolation landlock host COMMAND` runs a \
                 command with weaker isolation",
            ),
        _ => Error::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_maps() {
        let table = [
            ("0 1000 1\n", IdMapKind::Single),
            ("0 1000 1\n1 100000 65536\n", IdMapKind::Subordinate),
            ("0 0 4294967295\n", IdMapKind::Root),
            ("0 100000 65536\n", IdMapKind::Subordinate),
        ];
        for (text, expected) in table {
            assert_eq!(kind(&userns::parse_map(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_change() {
        let table = [
            ("unshare", Errno::EPERM, Kind::Denied, "unprivileged"),
            (
                "unshare",
                Errno::ENOSPC,
                Kind::Exhausted,
                "max_user_namespaces",
            ),
            ("newuidmap", Errno::EPERM, Kind::Denied, "subuid"),
        ];
        for (call, errno, kind, word) in table {
            let error = refused(KernelError::new(call, "NEWUSER", errno));
            assert_eq!(error.kind, kind);
            assert!(error.hint.unwrap().contains(word), "{call} {errno:?}");
        }
    }
}
