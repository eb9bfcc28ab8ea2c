//! Files in and out as tar streams, made and taken by a process inside.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use shedbox_docker::path_stat;
use shedbox_spec::api::SandboxInfo;
use shedbox_spec::control::{FileRequest, FileStat, Reply, Request};
use shedbox_spec::error::Cause;
use shedbox_spec::{Error, Kind, Result};

use super::ends::{Control, End};
use super::{Asked, Docker, now};
use crate::answer::{self, Answer};
use crate::stream::{self, BodyReader, Feed};

/// Bytes moved at once.
const CHUNK: usize = 256 << 10;

/// Where the files of a container are served. The second conversation keeps an init that was started for a container
/// that does not run.
pub(super) struct Files {
    socket: String,
    _held: Option<Control>,
}

impl Files {
    pub(super) fn open(docker: &Docker, info: &SandboxInfo) -> Result<Self> {
        let access = now(|| docker.engine.files(info.id.as_str()))?;
        let held = (access.socket != info.socket)
            .then(|| Control::ask(Path::new(&access.socket), &Request::Status, &[]))
            .transpose()?;
        Ok(Self {
            socket: access.socket,
            _held: held,
        })
    }

    pub(super) fn ask(&self, request: FileRequest, fds: &[OwnedFd]) -> Result<Control> {
        Control::ask(Path::new(&self.socket), &Request::Files(request), fds)
    }

    pub(super) async fn stat(&self, path: &str) -> Result<FileStat> {
        let request = FileRequest::Stat {
            path: path.to_owned(),
        };
        match self.ask(request, &[])?.reply().await? {
            (Reply::Stat(stat), _) => Ok(stat),
            (Reply::Failed(error), _) => Err(error),
            _ => Err(Error::internal("the sandbox answers something else")),
        }
    }
}

/// The path of a query, absolute: Docker takes a relative one from the root.
fn path_of(asked: &Asked) -> Result<String> {
    let path = asked.query.get("path").unwrap_or("");
    match path {
        "" => Err(Error::invalid("path cannot be empty")),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path => Ok(format!("/{path}")),
    }
}

fn not_found(error: Error, path: &str, info: &SandboxInfo) -> Error {
    match error.kind {
        Kind::NotFound => Error::not_found(format!(
            "Could not find the file {path} in container {}",
            info.name
        )),
        _ => error,
    }
}

/// What cannot be written to, in dockerd's words.
fn read_only(info: &SandboxInfo, path: &str) -> Error {
    let in_a_volume = info
        .spec
        .mounts
        .iter()
        .any(|mount| Path::new(path).starts_with(mount.target()));
    Error::new(
        Kind::Denied,
        if in_a_volume {
            "mounted volume is marked read-only"
        } else {
            "container rootfs is marked read-only"
        },
    )
}

pub(super) async fn get(docker: &Arc<Docker>, name: &str, asked: &Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    let path = path_of(asked)?;
    let files = Files::open(docker, &info)?;
    let stat = files
        .stat(&path)
        .await
        .map_err(|error| not_found(error, &path, &info))?;
    if path.ends_with('/') && !may_be_directory(stat.mode) {
        return Err(Error::invalid(format!("lstat {path}: not a directory")));
    }
    let stat = FileStat {
        // As dockerd: from the root on.
        link_target: stat.link_target.map(|target| {
            let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
            parent.join(target).display().to_string()
        }),
        ..stat
    };
    let value = HeaderValue::from_str(&path_stat::value(&stat))
        .map_err(|error| Error::internal(error.to_string()))?;
    let mut answer = if asked.method == hyper::Method::HEAD {
        answer::bare(StatusCode::OK)
    } else {
        pack(files, &path)?
    };
    answer.headers_mut().insert(path_stat::HEADER, value);
    Ok(answer)
}

/// The whole root file system, without what is mounted into it. Source: `docker export`.
pub(super) fn export(docker: &Arc<Docker>, name: &str) -> Result<Answer> {
    let info = docker.find(name)?;
    let id = info.id.to_string();
    let engine = Arc::clone(&docker.engine);
    let body = stream::written("an export", move |writer| {
        engine.export(&id, writer).map_err(Error::from)
    });
    Ok(answer::stream("application/x-tar", body))
}

fn pack(files: Files, path: &str) -> Result<Answer> {
    let (ours, theirs) = End::from_sandbox()?;
    let request = FileRequest::Pack {
        path: path.to_owned(),
        follow: false,
    };
    let control = files.ask(request, &[theirs])?;
    let (feed, body) = stream::channel();
    tokio::spawn(async move {
        let _files = files;
        let outcome = copy_out(&ours, &feed, &control).await;
        if let Err(error) = outcome {
            tracing::warn!("an archive is not whole: {}", error.message);
            let failed = move || feed.fail(std::io::Error::other(error.message));
            let _ = tokio::task::spawn_blocking(failed).await;
        }
    });
    Ok(answer::stream("application/x-tar", body))
}

async fn copy_out(ours: &End, feed: &Feed, control: &Control) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = ours
            .read(&mut buffer)
            .await
            .map_err(|error| Error::internal(error.to_string()))?;
        if count == 0 {
            break;
        }
        if !feed.pass(buffer[..count].to_vec()).await {
            return Ok(()); // the client has gone, and the packer stops with us
        }
    }
    match control.reply().await? {
        (Reply::Failed(error), _) => Err(error),
        _ => Ok(()),
    }
}

/// A directory, or a link, which may lead to one.
fn may_be_directory(mode: u32) -> bool {
    matches!(mode & 0o170_000, 0o040_000 | 0o120_000)
}

pub(super) async fn put(docker: &Arc<Docker>, name: &str, asked: Asked) -> Result<Answer> {
    let info = docker.find(name)?;
    let path = path_of(&asked)?;
    let files = Files::open(docker, &info)?;
    let stat = files
        .stat(&format!("{}/.", path.trim_end_matches('/')))
        .await;
    let found = match stat {
        Err(error) if error.kind == Kind::NotFound => {
            // A file is no directory, and something is not nothing.
            match files.stat(&path).await {
                Ok(stat) if stat.mode & 0o170_000 == 0o120_000 => Err(error),
                Ok(_) => return Err(Error::invalid("extraction point is not a directory")),
                Err(error) => Err(error),
            }
        }
        other => other,
    };
    found.map_err(|error| not_found(error, &path, &info))?;
    let target = path.clone();
    let request = FileRequest::Unpack {
        path,
        no_overwrite_kind: asked.query.flag("noOverwriteDirNonDir")?,
        keep_owner: true,
    };
    let (ours, theirs) = shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))
        .map(|(read, write)| (write, read))?;
    let control = files.ask(request, &[theirs])?;
    let reader = BodyReader::new(asked.body);
    let copying = tokio::task::spawn_blocking(move || copy_in(reader, ours));
    let reply = control.reply().await;
    let copied = copying
        .await
        .map_err(|error| Error::internal(format!("a request has failed: {error}")))?;
    match reply? {
        (Reply::Failed(error), _) => Err(match error.cause() {
            Some(Cause::ReadOnly) => read_only(&info, &target),
            _ => error,
        }),
        // What the archive's sender did wrong comes out here when the rest was empty.
        _ => copied.map(|()| answer::bare(StatusCode::OK)),
    }
}

/// Moves the body into the pipe, unpacked when it is compressed.
fn copy_in(reader: BodyReader, pipe: OwnedFd) -> Result<()> {
    let mut pipe = std::fs::File::from(pipe);
    let failed = |error: std::io::Error| Error::invalid(format!("unreadable archive: {error}"));
    let mut reader = shedbox_store::decompress(reader).map_err(failed)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = reader.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        match pipe.write_all(&buffer[..count]) {
            Ok(()) => {}
            // The other side has said why.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
    }
}
