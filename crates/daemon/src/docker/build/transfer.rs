//! COPY, ADD and WORKDIR against an image: owners by name, what is there, and where files of other images come from.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use shedbox_dockerfile::glob::has_wildcards;
use shedbox_dockerfile::stages::Origin;
use shedbox_dockerfile::{Source, Transfer};
use shedbox_spec::control::{FileRequest, Reply};
use shedbox_spec::user::{UserSpec, resolve};
use shedbox_spec::{Error, Kind, Result};

use super::super::archive::Files;
use super::super::scratch::Scratch;
use super::copy::{self, Plan};
use super::layer::{self, Archive, Image, There};
use super::tree::{Others, Sort, Tree};
use super::{Build, Stage, cache};

/// An image whose files are read.
pub(super) struct Opened {
    files: Files,
    _sandbox: Scratch,
}

/// Images that files came from, by id: the next COPY is likely to want more of them.
pub(super) type Open = HashMap<String, Arc<Opened>>;

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

impl Build {
    pub(super) async fn transfer(
        &mut self,
        index: usize,
        current: &mut Stage,
        word: &'static str,
        transfer: &Transfer,
        from: Option<&str>,
    ) -> Result<()> {
        let sources: Vec<String> = transfer
            .sources
            .iter()
            .filter_map(|source| match source {
                Source::Path(path) => Some(path.clone()),
                Source::Inline(_) => None,
            })
            .collect();
        let workdir = current.config.config().working_dir.clone();
        let keep_owner = from.is_some() && transfer.chown.is_none();
        let tree = match from {
            Some(from) => self.files_of(index, from, &sources).await?,
            None => Arc::clone(&self.context),
        };
        let wanted = transfer.clone();
        let (plan, digest) = blocking(move || {
            let plan = Plan::make(word, &wanted, tree, &workdir, keep_owner)?;
            let digest = plan.digest()?;
            Ok((plan, digest))
        })
        .await?;
        let created_by = format!(
            "/bin/sh -c #(nop) {word} {} in {} ",
            digest.replace("sha256:", "file:"),
            transfer.destination
        );
        let chown = transfer.chown.as_deref().filter(|text| !text.is_empty());
        let key = cache::Key::new(
            current.image.as_ref(),
            &[word, &digest, chown.unwrap_or(""), &transfer.destination],
        );
        if let Some(image) = self.cached(&key).await {
            current.image = Some(image);
            return Ok(());
        }
        let (scratch, files) = self.opened(current).await?;
        let owner = match chown {
            Some(chown) => Some(owner(&files, chown).await?),
            None => None,
        };
        let archives = unpack(&files, "/", |image, out| {
            layer::write(&plan, image, owner, out)
        })
        .await?;
        for archive in archives {
            extract(&files, archive).await?;
        }
        drop(files);
        self.commit(current, &scratch.id, created_by, &key).await
    }

    /// WORKDIR and VOLUME: directories that the image may not have yet.
    pub(super) async fn directories(
        &mut self,
        current: &mut Stage,
        paths: &[String],
        text: &str,
    ) -> Result<()> {
        let created_by = format!("/bin/sh -c #(nop) {text}");
        let config = super::to_value(current.config.config())?.to_string();
        let mut parts = vec!["directories", &created_by, &config];
        parts.extend(paths.iter().map(String::as_str));
        let key = cache::Key::new(current.image.as_ref(), &parts);
        if let Some(image) = self.cached(&key).await {
            current.image = Some(image);
            return Ok(());
        }
        let (scratch, files) = self.opened(current).await?;
        let mut made = false;
        for path in paths {
            made |= unpack(&files, "/", |image, out| {
                layer::write_directory(image, path, out)
            })
            .await?;
        }
        drop(files);
        if made {
            return self.commit(current, &scratch.id, created_by, &key).await;
        }
        self.commit_config(current, created_by, &key).await
    }

    /// A sandbox of the image so far that does not run, and its files.
    async fn opened(&self, current: &mut Stage) -> Result<(Scratch, Files)> {
        let image = self.ground(current).await?;
        let scratch = self.sandbox(&image, |spec| spec.idle = true)?;
        let info = self.docker.find(&scratch.id)?;
        let files = Files::open(&self.docker, &info)?;
        Ok((scratch, files))
    }

    /// Files of a stage or an image, with owners and modes as they are there.
    pub(super) async fn files_of(
        &mut self,
        index: usize,
        from: &str,
        sources: &[String],
    ) -> Result<Arc<Tree>> {
        let origin = self
            .stages
            .origin(index, from)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if origin == Origin::Scratch {
            return Err(Error::invalid(format!(
                "invalid from flag value {from}: there are no files in it"
            )));
        }
        let mut stage = self.base(&origin, None).await?;
        let image = self.ground(&mut stage).await?;
        let opened = match self.open.get(&image) {
            Some(opened) => Arc::clone(opened),
            None => {
                let (sandbox, files) = self.opened(&mut stage).await?;
                let opened = Arc::new(Opened {
                    files,
                    _sandbox: sandbox,
                });
                self.open.insert(image, Arc::clone(&opened));
                opened
            }
        };
        let mut tree = Tree::new(self.workspace.file()?);
        for source in sources {
            // Everything below the last directory without a wildcard.
            let whole = copy::absolute("/", source);
            let plain: Vec<&str> = whole
                .split('/')
                .filter(|part| !part.is_empty())
                .take_while(|part| !has_wildcards(part))
                .collect();
            let top = format!("/{}", plain.join("/"));
            tree = self
                .packed(&opened.files, tree, &top)
                .await
                .map_err(|error| match error.kind {
                    Kind::NotFound => {
                        Error::invalid(format!("COPY failed: stat {source}: file does not exist"))
                    }
                    _ => error,
                })?;
            if !has_wildcards(source) {
                continue;
            }
            // A link that was found by its name may lead to something that was not read yet.
            for path in copy::matching(&tree, source)? {
                let is_link = |node: &super::tree::Node| matches!(node.sort, Sort::Symlink(_));
                if tree.resolve(&path).is_none() && tree.get(&path).as_ref().is_some_and(is_link) {
                    let top = format!("/{}", path.display());
                    tree = match self.packed(&opened.files, tree.clone(), &top).await {
                        Err(error) if error.kind == Kind::NotFound => tree,
                        other => other?,
                    };
                }
            }
        }
        Ok(Arc::new(tree))
    }

    /// Adds what is at `path` of an image, a link there followed.
    async fn packed(&self, files: &Files, mut tree: Tree, path: &str) -> Result<Tree> {
        let (read, write) = pipe()?;
        let request = FileRequest::Pack {
            path: path.to_owned(),
            follow: true,
        };
        let control = files.ask(request, &[write])?;
        let path = Path::new(path);
        let below = path.parent().unwrap_or(Path::new("/"));
        let below = below.strip_prefix("/").unwrap_or(below).to_owned();
        let space = Arc::clone(&self.workspace);
        let added = blocking(move || {
            let _space = space;
            let mut stream = File::from(read);
            let added = tree.add(&mut stream, &below, Others::LeaveOut);
            // To the end, so that the packer is not stopped by us and can say what was wrong.
            let _ = io::copy(&mut stream, &mut io::sink());
            added.map(|()| tree)
        })
        .await;
        match control.reply().await? {
            (Reply::Failed(error), _) => Err(error),
            _ => added,
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

fn pipe() -> Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
    shedbox_linux::fd::pipe()
        .map_err(|error| Error::internal(format!("cannot make a pipe: {error}")))
}

/// Has `fill` write an archive that is unpacked at `top` of the sandbox.
async fn unpack<T>(
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
async fn extract(files: &Files, archive: Archive) -> Result<()> {
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
async fn owner(files: &Files, chown: &str) -> Result<(u64, u64)> {
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
