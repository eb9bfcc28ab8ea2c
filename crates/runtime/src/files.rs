//! Files of a sandbox, served from inside it: every path resolves in its own root, by its own links.
//!
//! A child of init does the work, so that a large tree holds up nobody else, and a client that goes away takes it along.
//! It answers on the client's connection itself. The tar stream travels on a pipe or socket of the client's.

mod pack;
mod unpack;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use shedbox_linux::clone::{self, Side};
use shedbox_linux::errno::Errno;
use shedbox_linux::meta::{self, FileKind};
use shedbox_linux::seqpacket::SeqPacket;
use shedbox_linux::{fd, inroot, path, process};
use shedbox_spec::control::{FileRequest, FileStat, Reply};
use shedbox_spec::error::Cause;
use shedbox_spec::{Error, Kind};

use crate::init::Connection;

/// Starts the operation in a process of its own; its pid.
pub(crate) fn start(
    request: &FileRequest,
    fds: Vec<OwnedFd>,
    connection: Option<&mut Connection>,
) -> Result<i32, Error> {
    let Some(connection) = connection else {
        return Err(Error::internal("the client has gone"));
    };
    let expected = usize::from(!matches!(request, FileRequest::Stat { .. }));
    if fds.len() != expected {
        return Err(Error::invalid(format!(
            "{} descriptors instead of {expected}",
            fds.len()
        )));
    }
    let stream = fds.into_iter().next();
    match clone::fork_into(0).map_err(|error| Error::new(Kind::Exhausted, error.to_string()))? {
        Side::Parent(child) => Ok(child.pid),
        Side::Child => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                serve(request, stream, connection.socket())
            }));
            clone::exit_now(status.unwrap_or(101));
        }
    }
}

/// In the child: does it and answers.
fn serve(request: &FileRequest, stream: Option<OwnedFd>, socket: &SeqPacket) -> i32 {
    // Nothing but the client's connection and the stream may be held open by a copy of init. The copy cannot be traced
    // any more than init can, so what it still has in memory is as safe as there.
    let Ok(socket) = socket.as_fd().try_clone_to_owned() else {
        return 1;
    };
    let Ok(fds) = fd::start_over_with(std::iter::once(socket).chain(stream).collect(), 3) else {
        return 1;
    };
    let mut fds = fds.into_iter();
    let Some(socket) = fds.next().map(SeqPacket::from) else {
        return 1;
    };
    // The client may end it; signals are init's to block.
    if process::unblock_signals().is_err() {
        return 1;
    }
    let done = match (request, fds.next().map(File::from)) {
        (FileRequest::Pack { path, follow }, Some(stream)) => pack::pack(path, *follow, stream),
        (FileRequest::Export, Some(stream)) => pack::export(stream),
        (
            FileRequest::Unpack {
                path,
                no_overwrite_kind,
                keep_owner,
            },
            Some(stream),
        ) => unpack::unpack(
            path,
            unpack::Rules {
                no_overwrite_kind: *no_overwrite_kind,
                keep_owner: *keep_owner,
            },
            stream,
        ),
        (FileRequest::Stat { path }, _) => stat(path).map(Reply::Stat),
        _ => Err(Error::internal("no stream")),
    };
    let reply = done.unwrap_or_else(Reply::Failed);
    let sent = serde_json::to_vec(&reply).is_ok_and(|text| socket.send(&text, &[]).is_ok());
    i32::from(!sent)
}

/// The error for a path of the sandbox.
fn refused(path: &str, error: &shedbox_linux::Error) -> Error {
    let kind = match error.errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => Kind::NotFound,
        Errno::EACCES | Errno::EPERM | Errno::EROFS => Kind::Denied,
        Errno::ENOSPC | Errno::EDQUOT => Kind::Exhausted,
        _ => Kind::Invalid,
    };
    let reason = error.errno.desc().to_lowercase();
    let found = Error::new(kind, format!("{path}: {reason}"));
    let found = match error.errno {
        Errno::EROFS => found.with_cause(Cause::ReadOnly),
        _ => found,
    };
    match error.errno {
        Errno::ENOSPC => found.with_hint("the disk or a tmpfs of the sandbox is full"),
        Errno::EINVAL => {
            found.with_hint("an owner in the archive may be outside the id map of this host")
        }
        _ => found,
    }
}

fn stat(path: &str) -> Result<FileStat, Error> {
    let (parent, name) = split(path)?;
    let root = inroot::open_root().map_err(|error| refused(path, &error))?;
    let found = path::dir_handle_in_root(&root, parent)
        .and_then(|dir| Ok((meta::stat_at(&dir, name)?, dir)))
        .map_err(|error| refused(path, &error))?;
    let (stat, dir) = found;
    let link_target = match stat.kind {
        FileKind::Symlink => {
            Some(path::read_link_at(&dir, name).map_err(|error| refused(path, &error))?)
        }
        _ => None,
    };
    Ok(FileStat {
        name: if name == "." {
            "/".to_owned()
        } else {
            name.to_owned()
        },
        size: stat.size,
        mode: stat.kind.mode_bits() | stat.mode,
        mtime: stat.mtime.seconds,
        link_target: link_target.map(|target| target.to_string_lossy().into_owned()),
    })
}

/// Parent directory and last component of an absolute path; the root is `.` in itself.
fn split(path: &str) -> Result<(&str, &str), Error> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!("`{path}` is not an absolute path")));
    }
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        None => Ok(("/", ".")),
        Some((_, ".." | ".")) => Ok((trimmed, ".")),
        Some(("", name)) => Ok(("/", name)),
        Some((parent, name)) => Ok((parent, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_names() {
        for (path, expected) in [
            ("/", ("/", ".")),
            ("/a", ("/", "a")),
            ("/a/b/", ("/a", "b")),
            ("/a/..", ("/a/..", ".")),
            ("/a/.", ("/a/.", ".")),
        ] {
            assert_eq!(split(path), Ok(expected), "{path}");
        }
        assert!(split("a").is_err());
    }
}
