//! COPY, ADD and WORKDIR, and where files of other images come from.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use shedbox_dockerfile::glob::has_wildcards;
use shedbox_dockerfile::stages::Origin;
use shedbox_dockerfile::{Source, Transfer};
use shedbox_spec::control::{FileRequest, Reply};
use shedbox_spec::{Error, Kind, Result};

use super::super::archive::Files;
use super::super::scratch::Scratch;
use super::copy::{self, Plan};
use super::inside::{blocking, extract, owner, pipe, unpack};
use super::layer;
use super::tree::{Others, Sort, Tree};
use super::{Build, Stage, cache};

/// An image whose files are read.
pub(super) struct Opened {
    files: Files,
    _sandbox: Scratch,
}

/// Images that files came from, by id: the next COPY is likely to want more of them.
pub(super) type Open = HashMap<String, Arc<Opened>>;

impl Build {
    pub(super) async fn transfer(
        &mut self,
        index: usize,
        current: &mut Stage,
        word: &'static str,
        transfer: &Transfer,
        from: Option<&str>,
    ) -> Result<()> {
        let workdir = current.config.config().working_dir.clone();
        // An image never changes, so what a line copies of it is the same each time: it need not be read to be known.
        let note = match from {
            Some(from) => {
                let image = self.source(index, from).await?.image;
                let line = format!("{transfer:?}");
                Some(cache::Key::new(
                    image.as_ref(),
                    &["digest", &line, &workdir],
                ))
            }
            None => None,
        };
        let noted = note.as_ref().and_then(|note| self.noted(note));
        let mut plan = None;
        let digest = if let Some(digest) = noted {
            digest
        } else {
            let (made, digest) = self.planned(index, word, transfer, from, &workdir).await?;
            if let Some(note) = &note {
                note.note(&self.cache_dir(), &digest);
            }
            plan = Some(made);
            digest
        };
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
        let plan = match plan {
            Some(plan) => plan,
            None => self.planned(index, word, transfer, from, &workdir).await?.0,
        };
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

    /// Finds what is copied, and the digest of it.
    async fn planned(
        &mut self,
        index: usize,
        word: &'static str,
        transfer: &Transfer,
        from: Option<&str>,
        workdir: &str,
    ) -> Result<(Plan, String)> {
        let sources: Vec<String> = transfer
            .sources
            .iter()
            .filter_map(|source| match source {
                Source::Path(path) => Some(path.clone()),
                Source::Inline(_) => None,
            })
            .collect();
        let tree = match from {
            Some(from) => self.files_of(index, from, &sources).await?,
            None => Arc::clone(&self.context),
        };
        let keep_owner = from.is_some() && transfer.chown.is_none();
        let (transfer, workdir) = (transfer.clone(), workdir.to_owned());
        blocking(move || {
            let plan = Plan::make(word, &transfer, tree, &workdir, keep_owner)?;
            let digest = plan.digest()?;
            Ok((plan, digest))
        })
        .await
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

    /// The stage or image that a name of `--from` means.
    async fn source(&mut self, index: usize, from: &str) -> Result<Stage> {
        let origin = self
            .stages
            .origin(index, from)
            .map_err(|error| Error::invalid(error.to_string()))?;
        if origin == Origin::Scratch {
            return Err(Error::invalid(format!(
                "invalid from flag value {from}: there are no files in it"
            )));
        }
        self.base(&origin, None).await
    }

    /// Files of a stage or an image, with owners and modes as they are there.
    pub(super) async fn files_of(
        &mut self,
        index: usize,
        from: &str,
        sources: &[String],
    ) -> Result<Arc<Tree>> {
        let mut stage = self.source(index, from).await?;
        let image = self.ground(&mut stage).await?;
        let known = self.open.get(&image).map(Arc::clone);
        let opened = if let Some(opened) = known {
            opened
        } else {
            let (sandbox, files) = self.opened(&mut stage).await?;
            let opened = Arc::new(Opened {
                files,
                _sandbox: sandbox,
            });
            self.open.insert(image, Arc::clone(&opened));
            opened
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
