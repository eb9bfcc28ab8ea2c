//! The files of a sandbox that does not run: what is there, and archives into it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use shedbox_spec::control::{FileRequest, Reply};
use shedbox_spec::user::{UserSpec, resolve};
use shedbox_spec::{Error, Kind, Result};

use super::super::archive::Files;
use super::layer::{Archive, Image, There};

/// The files of a sandbox, asked from a thread that may block.
struct Looker<'f> {
    files: &'f Files,
    runtime: tokio::runtime::Handle,
}

impl Image for Looker<'_> {
    fn look(&mut self, path: &str) -> Result<There> {
        let stat = |path: &str| match self.runtime.block_on(self.files.stat(path)) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let Some(found) = stat(path)? else {
            return Ok(There::Nothing);
        };
        match found.mode & 0o170_000 {
            0o040_000 => Ok(There::Directory),
            0o120_000 if stat(&format!("{path}/."))?.is_some() => Ok(There::Directory),
            0o120_000 => Ok(There::Link(found.link_target.unwrap_or_default())),
            _ => Ok(There::Other),
        }
    }
}

/// Runs what blocks. It goes on when the build is cancelled, so it has to hold what it uses.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("a build has failed: {error}")))?
}

pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))
}

/// Has `fill` write an archive that is unpacked at `top` of the sandbox.
pub(super) async fn unpack<T>(
    files: &Files,
    top: &str,
    fill: impl FnOnce(&mut dyn Image, io::BufWriter<File>) -> Result<T> + Send,
) -> Result<T> {
    let (theirs, ours) = pipe()?;
    let control = files.ask(
        FileRequest::Unpack {
            path: top.to_owned(),
            no_overwrite_kind: false,
            keep_owner: true,
        },
        &[theirs],
    )?;
    let runtime = tokio::runtime::Handle::current();
    let written = tokio::task::block_in_place(|| {
        let mut looker = Looker { files, runtime };
        fill(&mut looker, io::BufWriter::new(File::from(ours)))
    });
    match control.reply().await? {
        (Reply::Failed(error), _) => match written {
            // What we refused to write comes before its unexpected end; what it could not unpack before our broken pipe.
            Err(refused) if refused.kind != Kind::Internal => Err(refused),
            _ => Err(error),
        },
        _ => written,
    }
}

/// ADD of an archive.
pub(super) async fn extract(files: &Files, archive: Archive) -> Result<()> {
    let Archive {
        name,
        directory,
        content,
    } = archive;
    unpack(files, &directory, |_, mut out| {
        let failed = |error: io::Error| Error::invalid(format!("ADD failed: {name}: {error}"));
        let mut reader = shedbox_store::decompress(content).map_err(failed)?;
        match io::copy(&mut reader, &mut out).and_then(|_| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
            _ => Ok(()),
        }
    })
    .await
}

/// `--chown`: numbers, or names of the image.
pub(super) async fn owner(files: &Files, chown: &str) -> Result<(u64, u64)> {
    let spec = UserSpec::parse(chown)?;
    let passwd = read_file(files, "/etc/passwd").await?;
    let group = read_file(files, "/etc/group").await?;
    let user = resolve(&spec, &passwd, &group)?;
    // A user alone gives its number to the group, too, unlike that of a process. Source: Dockerfile reference, COPY.
    let gid = if chown.contains(':') || !chown.bytes().all(|byte| byte.is_ascii_digit()) {
        user.gid
    } else {
        user.uid
    };
    Ok((u64::from(user.uid), u64::from(gid)))
}

/// A small file of the image; empty when it is not there.
async fn read_file(files: &Files, path: &str) -> Result<Vec<u8>> {
    let (read, write) = pipe()?;
    let request = FileRequest::Pack {
        path: path.to_owned(),
        follow: true,
    };
    let control = files.ask(request, &[write])?;
    let content = blocking(move || {
        let mut archive = tar::Archive::new(File::from(read));
        let mut content = Vec::new();
        if let Ok(mut entries) = archive.entries()
            && let Some(Ok(entry)) = entries.next()
        {
            // One that is cut off is refused below, by the packer's answer.
            let _ = entry.take(4 << 20).read_to_end(&mut content);
        }
        Ok(content)
    })
    .await;
    match control.reply().await? {
        (Reply::Failed(error), _) if error.kind == Kind::NotFound => Ok(Vec::new()),
        (Reply::Failed(error), _) => Err(error),
        _ => content,
    }
}
