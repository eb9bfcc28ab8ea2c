//! Files that COPY takes from: an archive of strangers, read once. Contents go one behind the other into a single file of
//! ours, names into an index in memory.
//!
//! Nothing is made under a name that the archive gives, so there is nothing it could lead out of: `..`, absolute names,
//! links and device nodes are matters of the index alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use shedbox_dockerfile::ignore::Ignore;
use shedbox_linux::disk;
use shedbox_spec::{Error, Kind, Result};

use super::content::Content;

/// Most entries of an archive.
const MAX_ENTRIES: usize = 1_000_000;
/// Most bytes of all names and link targets.
const MAX_NAMES: usize = 256 << 20;
/// Longest name. Source: PATH_MAX, limits.h.
const MAX_NAME: usize = 4096;
/// Most links that are followed on one way. Source: path_resolution(7).
const MAX_LINKS: usize = 40;
/// Most bytes of all files.
const MAX_BYTES: u64 = 32 << 30;
/// The part of the disk's room that the files of one build may take: an archive of a few bytes can stand for any number.
const SHARE: u64 = 2;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// What something in an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sort {
    Directory,
    /// Where its content is in the file of contents. A hard link has the same place.
    File {
        offset: u64,
        length: u64,
    },
    Symlink(PathBuf),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) sort: Sort,
    pub(super) mode: u32,
    pub(super) owner: (u64, u64),
    pub(super) mtime: u64,
}

impl Node {
    /// A directory that an archive has left out.
    fn directory() -> Self {
        Self {
            sort: Sort::Directory,
            mode: 0o755,
            owner: (0, 0),
            mtime: 0,
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.sort == Sort::Directory
    }
}

/// What becomes of entries that are no file, directory or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Refuse,
    LeaveOut,
}

/// The index, and the contents.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    contents: Arc<File>,
    end: u64,
    /// Bytes that were really written, and the most that may be.
    written: u64,
    most: u64,
    names: usize,
    nodes: BTreeMap<PathBuf, Node>,
}

fn unreadable(error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
        _ => Kind::Invalid,
    };
    Error::new(
        kind,
        format!("unexpected EOF or damage in an archive of the build: {error}"),
    )
}

fn outside(name: &Path) -> Error {
    Error::invalid(format!(
        "forbidden path outside the build context: {}",
        name.display()
    ))
}

impl Tree {
    /// An empty one. `contents` is an empty file that nobody else writes to.
    pub(super) fn new(contents: File) -> Self {
        // A disk that does not tell is taken for one with room; writing finds out.
        let most = disk::room(&contents).map_or(MAX_BYTES, |room| room.free_bytes / SHARE);
        Self {
            contents: Arc::new(contents),
            end: 0,
            written: 0,
            most,
            names: 0,
            nodes: BTreeMap::new(),
        }
    }

    /// Reads a tar stream to its end; its entries come below `below`.
    pub(super) fn add(&mut self, stream: impl Read, below: &Path, others: Others) -> Result<()> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries().map_err(|error| unreadable(&error))? {
            let mut entry = entry.map_err(|error| unreadable(&error))?;
            let name = entry.path().map_err(|error| unreadable(&error))?;
            let inside = below.join(clean(&name).ok_or_else(|| outside(&name))?);
            if inside.as_os_str().is_empty() {
                continue;
            }
            if inside.as_os_str().len() > MAX_NAME {
                return Err(Error::invalid("a name in the build context is too long"));
            }
            let link = entry.link_name().map_err(|error| unreadable(&error))?;
            let link = link.map(Cow::into_owned).unwrap_or_default();
            self.names += link.as_os_str().len();
            let kind = entry.header().entry_type();
            let sort = match kind {
                tar::EntryType::Directory => Sort::Directory,
                tar::EntryType::Regular
                | tar::EntryType::Continuous
                | tar::EntryType::GNUSparse => self.store(&mut entry)?,
                tar::EntryType::Symlink => Sort::Symlink(link),
                tar::EntryType::Link => self.linked(below, &link)?,
                tar::EntryType::XGlobalHeader => continue,
                _ if others == Others::LeaveOut => continue,
                other => {
                    return Err(Error::invalid(format!(
                        "{}: entries of type {other:?} have no place in a build context",
                        inside.display()
                    )));
                }
            };
            let header = entry.header();
            let node = Node {
                sort,
                mode: header.mode().unwrap_or(0o644) & 0o7777,
                owner: (header.uid().unwrap_or(0), header.gid().unwrap_or(0)),
                mtime: header.mtime().unwrap_or(0),
            };
            self.insert(inside, node)?;
        }
        // What pads the end is read, so that who writes it is not cut off.
        io::copy(&mut archive.into_inner(), &mut io::sink())
            .map(drop)
            .map_err(|error| unreadable(&error))
    }

    /// Adds a file, for a Dockerfile that comes alone.
    pub(super) fn add_file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let sort = self.store(&mut &content[..])?;
        let node = Node {
            sort,
            mode: 0o644,
            ..Node::directory()
        };
        self.insert(PathBuf::from(name), node)
    }

    /// Appends to the contents. Zeros are left out, so that a sparse file takes no more here than in the archive.
    fn store(&mut self, content: &mut impl Read) -> Result<Sort> {
        let offset = self.end;
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = content
                .read(&mut buffer)
                .map_err(|error| unreadable(&error))?;
            if count == 0 {
                break;
            }
            let chunk = buffer.get(..count).unwrap_or_default();
            let is_empty = chunk.iter().all(|byte| *byte == 0);
            if !is_empty {
                self.contents
                    .write_all_at(chunk, self.end)
                    .map_err(|error| unreadable(&error))?;
                self.written += count as u64;
            }
            self.end += count as u64;
            if self.end > MAX_BYTES || self.written > self.most {
                return Err(Error::new(
                    Kind::Exhausted,
                    format!(
                        "the files of this build take more than {MAX_BYTES} bytes, or more than half of what the disk has left"
                    ),
                ));
            }
        }
        // What was left out at the end is a part of it, too.
        self.contents
            .set_len(self.end)
            .map_err(|error| unreadable(&error))?;
        Ok(Sort::File {
            offset,
            length: self.end - offset,
        })
    }

    /// What a hard link leads to: a file that came before.
    fn linked(&self, below: &Path, target: &Path) -> Result<Sort> {
        clean(target)
            .and_then(|target| self.nodes.get(&below.join(target)))
            .filter(|node| matches!(node.sort, Sort::File { .. }))
            .map(|node| node.sort.clone())
            .ok_or_else(|| {
                Error::invalid(format!(
                    "a hard link leads to nothing in the build context: {}",
                    target.display()
                ))
            })
    }

    fn insert(&mut self, path: PathBuf, node: Node) -> Result<()> {
        for parent in path.ancestors().skip(1) {
            match self.nodes.get(parent) {
                Some(found) if found.is_dir() => break,
                Some(_) => return Err(outside(&path)),
                None if parent.as_os_str().is_empty() => {}
                None => {
                    self.count(parent)?;
                    self.nodes.insert(parent.to_owned(), Node::directory());
                }
            }
        }
        self.count(&path)?;
        if !node.is_dir() && self.nodes.get(&path).is_some_and(Node::is_dir) {
            let inside: Vec<PathBuf> = self.below(&path).map(|(path, _)| path.clone()).collect();
            for path in inside {
                self.nodes.remove(&path);
            }
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// A short name in an archive can stand for many directories, so these count as well.
    fn count(&mut self, path: &Path) -> Result<()> {
        self.names += path.as_os_str().len();
        if self.nodes.len() < MAX_ENTRIES && self.names <= MAX_NAMES {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the build context has more than {MAX_ENTRIES} entries, or {MAX_NAMES} bytes of names"
        )))
    }

    /// Everything below a directory, each directory before what is in it. Paths are ordered by component, so these are
    /// neighbours.
    pub(super) fn below<'a>(
        &'a self,
        dir: &'a Path,
    ) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> {
        self.nodes
            .range::<Path, _>((Bound::Excluded(dir), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(dir))
    }

    /// Names in a directory.
    pub(super) fn names<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = OsString> + 'a {
        let depth = dir.components().count() + 1;
        self.below(dir)
            .filter(move |(path, _)| path.components().count() == depth)
            .filter_map(|(path, _)| path.file_name().map(OsString::from))
    }

    /// What has this name; no link is followed. The top is a directory.
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        if path.as_os_str().is_empty() {
            return Some(Node::directory());
        }
        self.nodes.get(path).cloned()
    }

    /// Where a path leads when all links are followed, as in a root file system whose top this is.
    pub(super) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut reached = PathBuf::new();
        let mut left: Vec<PathBuf> = vec![path.to_owned()];
        let mut links = 0;
        while let Some(rest) = left.pop() {
            let mut components = rest.components();
            let Some(component) = components.next() else {
                continue;
            };
            left.push(components.as_path().to_owned());
            match component {
                Component::CurDir | Component::Prefix(_) => {}
                Component::RootDir => reached.clear(),
                Component::ParentDir => drop(reached.pop()),
                Component::Normal(name) => {
                    let next = reached.join(name);
                    match &self.get(&next)?.sort {
                        Sort::Symlink(target) => {
                            links += 1;
                            if links > MAX_LINKS {
                                return None;
                            }
                            left.push(target.clone());
                        }
                        _ => reached = next,
                    }
                }
            }
        }
        Some(reached)
    }

    /// A file's content.
    pub(super) fn open(&self, sort: &Sort) -> Content {
        let (offset, length) = match sort {
            Sort::File { offset, length } => (*offset, *length),
            _ => (0, 0),
        };
        Content::new(Arc::clone(&self.contents), offset, length)
    }

    /// The content of a small file, links followed.
    pub(super) fn text(&self, path: &Path) -> Option<Vec<u8>> {
        let node = self.get(&self.resolve(path)?)?;
        let mut bytes = Vec::new();
        let read = matches!(node.sort, Sort::File { .. })
            && self
                .open(&node.sort)
                .take(64 << 20)
                .read_to_end(&mut bytes)
                .is_ok();
        read.then_some(bytes)
    }

    /// Takes away what `.dockerignore` leaves out. A directory stays while something in it does.
    pub(super) fn apply(&mut self, ignore: &Ignore) {
        let excluded = |path: &Path| ignore.excludes(&path.to_string_lossy());
        let kept: Vec<PathBuf> = self
            .nodes
            .iter()
            .filter(|(path, _)| !excluded(path))
            .flat_map(|(path, _)| path.ancestors())
            .map(Path::to_owned)
            .collect();
        let kept: std::collections::BTreeSet<PathBuf> = kept.into_iter().collect();
        self.nodes.retain(|path, _| kept.contains(path));
    }
}

/// Without `.` and a leading slash; nothing for a name that leads out.
pub(super) fn clean(name: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
