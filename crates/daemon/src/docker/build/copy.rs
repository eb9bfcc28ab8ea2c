//! COPY and ADD: which files are meant, and a digest of them.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shedbox_dockerfile::glob::{Glob, has_wildcards};
use shedbox_dockerfile::ignore::Ignore;
use shedbox_dockerfile::{Source, Transfer};
use shedbox_spec::{Error, Result};

use super::content::Content;
use super::tree::{Node, Sort, Tree};

/// One source that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Something in the tree.
    Path {
        /// Where it is; links are followed unless they lead to nothing.
        path: PathBuf,
        /// What it was called.
        name: String,
    },
    /// A here-document.
    Inline {
        /// Its name.
        name: String,
        /// Its text.
        content: String,
    },
}

/// Everything that an instruction copies.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tree: Arc<Tree>,
    pub(super) found: Vec<Found>,
    exclude: Option<Ignore>,
    /// Absolute path inside; ends in a slash when it has to be a directory.
    pub(super) destination: String,
    /// Archives are unpacked.
    pub(super) extract: bool,
    pub(super) mode: Option<u32>,
    /// Files keep their owners when no other is given: those of another image, not those of a client's machine.
    pub(super) keep_owner: bool,
}

impl Plan {
    /// Finds the sources in `tree`. `workdir` is what a relative destination is taken from.
    pub(super) fn make(
        instruction: &str,
        transfer: &Transfer,
        tree: Arc<Tree>,
        workdir: &str,
        keep_owner: bool,
    ) -> Result<Self> {
        let extract = instruction == "ADD";
        let mut found = Vec::new();
        for source in &transfer.sources {
            match source {
                Source::Inline(document) => found.push(Found::Inline {
                    name: document.name.clone(),
                    content: document.text(),
                }),
                Source::Path(path) if extract && is_address(path) => {
                    return Err(Error::invalid(format!(
                        "ADD failed: {path}: this daemon fetches nothing for a build: fetch it in a RUN, or put it into the \
                         context"
                    )));
                }
                Source::Path(path) => found.extend(sources(instruction, &tree, path)?),
            }
        }
        let mut destination = absolute(workdir, &transfer.destination);
        if found.len() > 1 && !destination.ends_with('/') {
            if transfer.sources.len() > 1 {
                return Err(Error::invalid(format!(
                    "When using {instruction} with more than one source file, the destination must be a directory and end \
                     with a /"
                )));
            }
            destination.push('/');
        }
        let exclude = (!transfer.exclude.is_empty())
            .then(|| Ignore::parse(&transfer.exclude.join("\n")))
            .transpose()
            .map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Self {
            tree,
            found,
            exclude,
            destination,
            extract,
            mode: transfer.chmod.as_deref().map(mode).transpose()?,
            keep_owner,
        })
    }

    /// A digest of all that is copied and how: names, kinds, modes, contents, owners that are kept; no times.
    pub(super) fn digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        field(&mut hash, self.destination.as_bytes());
        field(
            &mut hash,
            format!("{:?} {} {}", self.mode, self.extract, self.keep_owner).as_bytes(),
        );
        for found in &self.found {
            match found {
                Found::Inline { name, content } => {
                    field(&mut hash, name.as_bytes());
                    field(&mut hash, content.as_bytes());
                }
                Found::Path { path, name } => {
                    field(&mut hash, name.as_bytes());
                    self.hash_tree(&mut hash, path)?;
                }
            }
        }
        Ok(shedbox_spec::Digest::from_bytes(&hash.finalize().into()).to_string())
    }

    fn hash_tree(&self, hash: &mut Sha256, path: &Path) -> Result<()> {
        let Some(top) = self.tree.get(path) else {
            return Ok(());
        };
        if !top.is_dir() {
            return self.hash_node(hash, &top);
        }
        for (inside, node) in self.inside(path) {
            field(hash, inside.as_os_str().as_encoded_bytes());
            self.hash_node(hash, node)?;
        }
        Ok(())
    }

    fn hash_node(&self, hash: &mut Sha256, node: &Node) -> Result<()> {
        let owner = if self.keep_owner { node.owner } else { (0, 0) };
        let kind = match &node.sort {
            Sort::Directory => "directory",
            Sort::File { .. } => "file",
            Sort::Symlink(_) => "link",
        };
        field(
            hash,
            format!("{kind} {:o} {} {}", node.mode, owner.0, owner.1).as_bytes(),
        );
        match &node.sort {
            Sort::Directory => {}
            Sort::Symlink(target) => field(hash, target.as_os_str().as_encoded_bytes()),
            Sort::File { length, .. } => {
                hash.update(length.to_le_bytes());
                let mut content = self.tree.open(&node.sort);
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let count = content.read(&mut buffer).map_err(|error| {
                        Error::internal(format!("read the files of a build: {error}"))
                    })?;
                    if count == 0 {
                        break;
                    }
                    hash.update(&buffer[..count]);
                }
            }
        }
        Ok(())
    }

    /// What is copied of a directory, by its path below it.
    pub(super) fn inside<'a>(
        &'a self,
        dir: &'a Path,
    ) -> impl Iterator<Item = (&'a Path, &'a Node)> {
        self.tree.below(dir).filter_map(move |(path, node)| {
            let inside = path.strip_prefix(dir).ok()?;
            let excluded = self
                .exclude
                .as_ref()
                .is_some_and(|ignore| ignore.excludes(&inside.to_string_lossy()));
            (!excluded).then_some((inside, node))
        })
    }
}

/// A digest of something in a tree, for what a RUN is shown.
pub(super) fn digest_of(tree: &Arc<Tree>, path: &Path) -> Result<String> {
    Plan {
        tree: Arc::clone(tree),
        found: vec![Found::Path {
            path: path.to_owned(),
            name: String::new(),
        }],
        exclude: None,
        destination: String::new(),
        extract: false,
        mode: None,
        keep_owner: true,
    }
    .digest()
}

/// A field can not be taken for a part of its neighbour.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn is_address(source: &str) -> bool {
    ["http://", "https://", "git://", "git@"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
}

fn mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| {
            Error::invalid(format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            ))
        })
}

/// What one word of an instruction means.
fn sources(instruction: &str, tree: &Tree, source: &str) -> Result<Vec<Found>> {
    let paths = matching(tree, source)?;
    if paths.is_empty() {
        return Err(Error::invalid(if has_wildcards(source) {
            format!("{instruction} failed: no source files were specified")
        } else {
            format!(
                "{instruction} failed: file not found in build context or excluded by .dockerignore: stat {source}: file \
                 does not exist"
            )
        }));
    }
    Ok(paths
        .into_iter()
        .map(|path| Found::Path {
            name: path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            path: tree.resolve(&path).unwrap_or(path),
        })
        .collect())
}

/// Paths that a source means, their own links not followed. `..` stops at the top.
pub(super) fn matching(tree: &Tree, source: &str) -> Result<Vec<PathBuf>> {
    let mut clean = PathBuf::new();
    for component in Path::new(source).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    if !has_wildcards(source) {
        // `\[` names a bracket.
        let plain = PathBuf::from(clean.to_string_lossy().replace('\\', ""));
        return Ok([clean, plain]
            .into_iter()
            .find(|path| tree.resolve(path).is_some())
            .into_iter()
            .collect());
    }
    let mut found = vec![PathBuf::new()];
    for part in clean.components() {
        let part = part.as_os_str().to_string_lossy().into_owned();
        if !has_wildcards(&part) {
            for dir in &mut found {
                dir.push(&part);
            }
            continue;
        }
        let glob = Glob::new(&part)
            .map_err(|_| Error::invalid(format!("syntax error in pattern: {source}")))?;
        let mut next = Vec::new();
        for dir in &found {
            let Some(inside) = tree.resolve(dir) else {
                continue;
            };
            let names = tree.names(&inside);
            next.extend(
                names
                    .filter(|name| glob.matches(&name.to_string_lossy()))
                    .map(|name| dir.join(name)),
            );
        }
        found = next;
    }
    // A link that leads to nothing is there all the same, and is copied as one.
    found.retain(|path| tree.resolve(path).is_some() || tree.get(path).is_some());
    Ok(found)
}

/// A destination from the root on, its last slash kept.
pub(super) fn absolute(workdir: &str, destination: &str) -> String {
    let whole = if destination.starts_with('/') {
        destination.to_owned()
    } else {
        format!("{workdir}/{destination}")
    };
    let directory = destination.ends_with('/')
        || matches!(destination, "." | "..")
        || destination.ends_with("/.");
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    if directory && path != "/" {
        format!("{path}/")
    } else {
        path
    }
}

/// Whether ADD unpacks a file: a tar archive, perhaps compressed, told by how it begins. Source: Dockerfile reference.
pub(super) fn is_archive(content: Content) -> io::Result<bool> {
    let stream = shedbox_store::decompress(content)?;
    // A compressed file of another kind, or one that is damaged, is copied as it is.
    let mut archive = tar::Archive::new(stream.take(1 << 20));
    Ok(archive
        .entries()
        .is_ok_and(|mut entries| matches!(entries.next(), Some(Ok(_)))))
}

#[cfg(test)]
#[path = "copy_tests.rs"]
pub(super) mod tests;
