//! COPY and ADD: the planned files as one tar stream, which is unpacked at the root of the image.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shedbox_spec::{Error, Result};

use super::content::Content;
use super::copy::{Found, Plan, absolute, is_archive};
use super::tree::{Node, Sort};

/// Most links that are followed from a destination. Source: path_resolution(7).
const MAX_LINKS: usize = 40;

/// What is at a path of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    /// A directory, or a link to one.
    Directory,
    /// A link to something else, or to nothing: its target.
    Link(String),
    Other,
}

/// The image that is written to.
pub(super) trait Image {
    /// What is at an absolute path.
    fn look(&mut self, path: &str) -> Result<There>;
}

/// An archive that ADD unpacks, and where.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) name: String,
    pub(super) directory: String,
    pub(super) content: Content,
}

/// The stream while it is written.
struct Writer<'i, W: Write> {
    tar: tar::Builder<W>,
    image: &'i mut dyn Image,
    known: HashMap<String, There>,
    made: HashSet<String>,
    /// Where files with content were written, by its place: hard links of a source stay ones.
    links: HashMap<(u64, u64), PathBuf>,
    /// Owner of everything, unless files keep theirs.
    owner: Option<(u64, u64)>,
    keep_owner: bool,
    mode: Option<u32>,
}

fn failed(error: io::Error) -> Error {
    Error::internal(format!("cannot write a layer: {error}"))
}

/// Writes the archive. Archives that are to be unpacked are given back.
pub(super) fn write(
    plan: &Plan,
    image: &mut dyn Image,
    owner: Option<(u64, u64)>,
    out: impl Write,
) -> Result<Vec<Archive>> {
    let mut writer = Writer::new(image, out);
    writer.owner = owner;
    writer.keep_owner = plan.keep_owner;
    writer.mode = plan.mode;
    let (target, there) = writer.settle(plan.destination.trim_end_matches('/'))?;
    let mut is_dir = plan.destination.ends_with('/') || there == There::Directory;
    let mut archives = Vec::new();
    for found in &plan.found {
        let in_directory = |name: &str| {
            if is_dir {
                format!("{target}/{name}")
            } else {
                target.clone()
            }
        };
        let (path, name) = match found {
            Found::Inline { name, content } => {
                writer.text(&in_directory(name), content)?;
                continue;
            }
            Found::Path { path, name } => (path, name),
        };
        let Some(node) = plan.tree.get(path) else {
            continue;
        };
        if node.is_dir() {
            writer.directory(&target)?;
            for (inside, node) in plan.inside(path) {
                let place = Path::new(&target).join(inside);
                writer.entry(&place, node, plan)?;
            }
            is_dir = true;
            continue;
        }
        if plan.extract && unpacks(plan, &node, name)? {
            writer.directory(&target)?;
            archives.push(Archive {
                name: name.clone(),
                directory: if target.is_empty() {
                    "/".to_owned()
                } else {
                    target.clone()
                },
                content: plan.tree.open(&node.sort),
            });
            continue;
        }
        let (place, _) = writer.settle(&in_directory(name))?;
        writer.parents(&place)?;
        writer.entry(Path::new(&place), &node, plan)?;
    }
    writer.finish()?;
    Ok(archives)
}

/// Writes a directory with what is missing above it, for WORKDIR. False when there was nothing to write.
pub(super) fn write_directory(image: &mut dyn Image, path: &str, out: impl Write) -> Result<bool> {
    let mut writer = Writer::new(image, out);
    let path = path.trim_end_matches('/');
    writer.directory(path)?;
    let made = !writer.made.is_empty();
    writer.finish()?;
    Ok(made)
}

fn unpacks(plan: &Plan, node: &Node, name: &str) -> Result<bool> {
    matches!(node.sort, Sort::File { .. })
        .then(|| is_archive(plan.tree.open(&node.sort)))
        .transpose()
        .map(|archive| archive.unwrap_or(false))
        .map_err(|error| {
            Error::invalid(format!(
                "ADD failed: {name}: {error}; COPY takes it as it is"
            ))
        })
}

impl<'i, W: Write> Writer<'i, W> {
    fn new(image: &'i mut dyn Image, out: W) -> Self {
        Self {
            tar: tar::Builder::new(out),
            image,
            known: HashMap::new(),
            made: HashSet::new(),
            links: HashMap::new(),
            owner: None,
            keep_owner: false,
            mode: None,
        }
    }

    fn finish(self) -> Result<()> {
        self.tar
            .into_inner()
            .and_then(|mut out| out.flush())
            .map_err(failed)
    }

    fn look(&mut self, path: &str) -> Result<There> {
        if path.is_empty() || self.made.contains(path) {
            return Ok(There::Directory);
        }
        if let Some(there) = self.known.get(path) {
            return Ok(there.clone());
        }
        let there = self.image.look(path)?;
        self.known.insert(path.to_owned(), there.clone());
        Ok(there)
    }

    /// Where a destination leads when it is a link to a file: that file is written, as Docker does.
    fn settle(&mut self, path: &str) -> Result<(String, There)> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.look(&path)? {
                There::Link(target) => {
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    path = absolute(parent, target.trim_end_matches('/'));
                }
                there => return Ok((path, there)),
            }
        }
        Err(Error::invalid(format!(
            "{path}: too many levels of symbolic links"
        )))
    }

    /// Directories above a path that the image has not. They belong to root, whoever the files are given to.
    fn parents(&mut self, path: &str) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make(parent, None)?;
        }
        Ok(())
    }

    /// A directory that files are copied into.
    fn directory(&mut self, path: &str) -> Result<()> {
        self.make(path, self.owner)
    }

    fn make(&mut self, path: &str, owner: Option<(u64, u64)>) -> Result<()> {
        match self.look(path)? {
            There::Directory => return Ok(()),
            There::Nothing => {}
            There::Link(_) | There::Other => {
                return Err(Error::invalid(format!(
                    "failed to copy files: {path}: not a directory"
                )));
            }
        }
        self.parents(path)?;
        let mut header = header(
            tar::EntryType::Directory,
            0o755,
            owner.unwrap_or((0, 0)),
            now(),
        );
        self.tar
            .append_data(&mut header, path.trim_start_matches('/'), io::empty())
            .map_err(failed)?;
        self.made.insert(path.to_owned());
        Ok(())
    }

    fn text(&mut self, path: &str, content: &str) -> Result<()> {
        let (path, _) = self.settle(path)?;
        self.parents(&path)?;
        let (mode, owner) = (self.mode.unwrap_or(0o644), self.owner.unwrap_or((0, 0)));
        let mut header = header(tar::EntryType::Regular, mode, owner, now());
        header.set_size(content.len() as u64);
        self.tar
            .append_data(
                &mut header,
                path.trim_start_matches('/'),
                content.as_bytes(),
            )
            .map_err(failed)
    }

    /// Something of the tree, itself.
    fn entry(&mut self, place: &Path, node: &Node, plan: &Plan) -> Result<()> {
        let name = place.strip_prefix("/").unwrap_or(place);
        let kept = if self.keep_owner { node.owner } else { (0, 0) };
        let owner = self.owner.unwrap_or(kept);
        let mode = self.mode.unwrap_or(node.mode);
        match &node.sort {
            Sort::Directory => {
                let mut header = header(tar::EntryType::Directory, mode, owner, node.mtime);
                self.tar.append_data(&mut header, name, io::empty())
            }
            Sort::Symlink(target) => {
                let mut header = header(tar::EntryType::Symlink, 0o777, owner, node.mtime);
                self.tar.append_link(&mut header, name, target)
            }
            Sort::File { offset, length } => {
                let first = self.links.get(&(*offset, *length)).filter(|_| *length > 0);
                if let Some(first) = first {
                    let mut header = header(tar::EntryType::Link, mode, owner, node.mtime);
                    self.tar.append_link(&mut header, name, first)
                } else {
                    self.links.insert((*offset, *length), name.to_owned());
                    let mut header = header(tar::EntryType::Regular, mode, owner, node.mtime);
                    header.set_size(*length);
                    self.tar
                        .append_data(&mut header, name, plan.tree.open(&node.sort))
                }
            }
        }
        .map_err(failed)
    }
}

fn header(kind: tar::EntryType, mode: u32, owner: (u64, u64), mtime: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mtime(mtime);
    header
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
