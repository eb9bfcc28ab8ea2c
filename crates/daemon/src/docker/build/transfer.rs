//! COPY and ADD against an image: owners by name, what is there, and where files of other images come from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use shedbox_dockerfile::stages::Origin;
use shedbox_dockerfile::{Source, Transfer};
use shedbox_spec::control::{FileRequest, Reply};
use shedbox_spec::user::{UserSpec, resolve};
use shedbox_spec::{Error, Kind, Result};

use super::super::archive::Files;
use super::copy::{self, Image, Plan};
use super::{Build, Stage, cache, context};

/// The files of a sandbox, asked from a thread that may block.
struct Looker<'f> {
    files: &'f Files,
    runtime: tokio::runtime::Handle,
}

impl Image for Looker<'_> {
    fn is_dir(&mut self, path: &str) -> Result<Option<bool>> {
        let below = format!("{}/.", path.trim_end_matches('/'));
        match self.runtime.block_on(self.files.stat(&below)) {
            Ok(_) => return Ok(Some(true)),
            Err(error) if error.kind == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        match self.runtime.block_on(self.files.stat(path)) {
            Ok(_) => Ok(Some(false)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Build {
    pub(super) async fn transfer(
        &mut self,
        index: usize,
        current: &mut Stage,
        word: &str,
        transfer: &Transfer,
        from: Option<&str>,
        extract: bool,
    ) -> Result<()> {
        let sources: Vec<String> = transfer
            .sources
            .iter()
            .filter_map(|source| match source {
                Source::Path(path) => Some(path.clone()),
                Source::Inline(_) => None,
            })
            .collect();
        let root = match from {
            Some(from) => self.sources_of(index, from, &sources).await?,
            None => self.workspace.join("context"),
        };
        let workdir = current.config.config().working_dir.clone();
        let plan = Plan::make(word, transfer, &root, &workdir, extract)?;
        let (plan, digest) = blocking(move || plan.digest().map(|digest| (plan, digest))).await?;
        let created_by = format!(
            "/bin/sh -c #(nop) {word} {digest} in {} ",
            transfer.destination
        );
        let key = cache::Key::new(
            current.image.as_ref(),
            &[word, &digest, transfer.chown.as_deref().unwrap_or("")],
        );
        if let Some(image) = self.cached(&key).await {
            current.image = Some(image);
            return Ok(());
        }
        let image = self.ground(current).await?;
        let scratch = self.sandbox(&image, |spec| spec.idle = true)?;
        let info = self.docker.find(&scratch.id)?;
        let files = Files::open(&self.docker, &info)?;
        let owner = owner(&files, transfer.chown.as_deref()).await?;
        let archives = write(&files, plan, owner).await?;
        for (dir, archive) in archives {
            extract_archive(&files, &dir, &archive).await?;
        }
        drop(files);
        self.commit(current, &scratch.id, created_by, &key).await
    }

    /// Files of a stage or an image, unpacked into a directory of this build as they are there.
    pub(super) async fn sources_of(
        &self,
        index: usize,
        from: &str,
        sources: &[String],
    ) -> Result<PathBuf> {
        let origin = self
            .stages
            .origin(index, from)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if origin == Origin::Scratch {
            return Err(Error::invalid("there are no files in `scratch`"));
        }
        let mut stage = self.base(&origin, None).await?;
        let image = self.ground(&mut stage).await?;
        let scratch = self.sandbox(&image, |spec| spec.idle = true)?;
        let info = self.docker.find(&scratch.id)?;
        let files = Files::open(&self.docker, &info)?;
        let root = self
            .workspace
            .join(&format!("from-{}", super::random_hex()?));
        std::fs::create_dir_all(&root).map_err(|error| Error::internal(error.to_string()))?;
        for source in sources {
            // Everything below the last directory without a wildcard.
            let path = copy::absolute("/", source);
            let plain: Vec<&str> = path
                .split('/')
                .take_while(|part| !part.contains(['*', '?', '[']))
                .collect();
            let path = plain.join("/");
            let path = if path.is_empty() {
                "/"
            } else {
                path.trim_end_matches('/')
            };
            let path = if path.is_empty() { "/" } else { path };
            let parent = Path::new(path).parent().unwrap_or(Path::new(""));
            let dir = root.join(parent.strip_prefix("/").unwrap_or(parent));
            unpack_into(&files, path, dir)
                .await
                .map_err(|error| match error.kind {
                    Kind::NotFound => Error::invalid(format!(
                        "COPY failed: stat {source}: file does not exist in {from}"
                    )),
                    _ => error,
                })?;
        }
        Ok(root)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("a build has failed: {error}")))?
}

fn pipe() -> Result<(File, std::os::fd::OwnedFd, bool)> {
    let (read, write) = shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))?;
    Ok((File::from(write), read, true))
}

/// Writes the planned files at the root of the image.
async fn write(files: &Files, plan: Plan, owner: (u64, u64)) -> Result<Vec<(String, PathBuf)>> {
    let (out, theirs, _) = pipe()?;
    let control = files.ask(
        FileRequest::Unpack {
            path: "/".to_owned(),
            no_overwrite_kind: false,
            keep_owner: true,
        },
        &[theirs],
    )?;
    let runtime = tokio::runtime::Handle::current();
    let written = tokio::task::block_in_place(|| {
        let mut looker = Looker { files, runtime };
        plan.write(&mut looker, owner, io::BufWriter::new(out))
    });
    match control.reply().await? {
        (Reply::Failed(error), _) => Err(error),
        _ => written,
    }
}

/// ADD of an archive.
async fn extract_archive(files: &Files, dir: &str, archive: &Path) -> Result<()> {
    let (mut out, theirs, _) = pipe()?;
    let control = files.ask(
        FileRequest::Unpack {
            path: dir.to_owned(),
            no_overwrite_kind: false,
            keep_owner: true,
        },
        &[theirs],
    )?;
    let archive = archive.to_owned();
    let copied = blocking(move || {
        let failed = |error: io::Error| {
            Error::invalid(format!("ADD failed: {}: {error}", archive.display()))
        };
        let mut reader =
            shedbox_store::decompress(File::open(&archive).map_err(failed)?).map_err(failed)?;
        match io::copy(&mut reader, &mut out).and_then(|_| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
            _ => Ok(()),
        }
    })
    .await;
    match control.reply().await? {
        (Reply::Failed(error), _) => Err(error),
        _ => copied,
    }
}

/// A tree of the image, below `dir` of ours.
async fn unpack_into(files: &Files, path: &str, dir: PathBuf) -> Result<()> {
    let (read, write) = shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))?;
    let request = FileRequest::Pack {
        path: path.to_owned(),
        follow: true,
    };
    let control = files.ask(request, &[write])?;
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut stream = File::from(read);
        let outcome = context::unpack(&mut stream, &dir);
        // Read to the end, so that the packer is not stopped by us and can say what was wrong.
        let _ = io::copy(&mut stream, &mut io::sink());
        outcome
    });
    let reply = control.reply().await?;
    let unpacked = unpacked
        .await
        .map_err(|error| Error::internal(format!("a build has failed: {error}")))?;
    match reply {
        (Reply::Failed(error), _) => Err(error),
        _ => unpacked,
    }
}

/// `--chown`: numbers, or names of the image.
async fn owner(files: &Files, chown: Option<&str>) -> Result<(u64, u64)> {
    let Some(text) = chown.filter(|text| !text.is_empty()) else {
        return Ok((0, 0));
    };
    let spec = UserSpec::parse(text)?;
    let passwd = read_file(files, "/etc/passwd").await?;
    let group = read_file(files, "/etc/group").await?;
    let user = resolve(&spec, &passwd, &group)?;
    // A user alone gives its number to the group, too, unlike that of a process. Source: Dockerfile reference, COPY.
    let gid = if text.contains(':') || passwd_has(&passwd, text) {
        user.gid
    } else {
        user.uid
    };
    Ok((u64::from(user.uid), u64::from(gid)))
}

fn passwd_has(passwd: &[u8], name: &str) -> bool {
    String::from_utf8_lossy(passwd)
        .lines()
        .any(|line| line.split(':').next() == Some(name))
}

/// A small file of the image; empty when it is not there.
async fn read_file(files: &Files, path: &str) -> Result<Vec<u8>> {
    let (read, write) = shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))?;
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
