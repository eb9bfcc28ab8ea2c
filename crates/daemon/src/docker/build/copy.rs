//! COPY and ADD: which files go where, as one tar stream into the new layer.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};
use shedbox_dockerfile::glob::{Glob, has_wildcards};
use shedbox_dockerfile::ignore::Ignore;
use shedbox_dockerfile::{Source, Transfer};
use shedbox_spec::{Error, Result};

/// One source that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A file or directory below the root of the sources.
    Path(PathBuf),
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
    /// Where the paths of [`Found`] are.
    root: PathBuf,
    found: Vec<Found>,
    exclude: Option<Ignore>,
    /// Absolute path inside; ends in a slash when it has to be a directory.
    destination: String,
    /// Archives are unpacked.
    extract: bool,
    mode: Option<u32>,
}

/// What is at the destination now, asked of the image.
pub(super) trait Image {
    /// `Some(true)` a directory, `Some(false)` something else, `None` nothing; links followed.
    fn is_dir(&mut self, path: &str) -> Result<Option<bool>>;
}

impl Plan {
    /// Finds the sources below `root`. `workdir` is what a relative destination is taken from.
    pub(super) fn make(
        instruction: &str,
        transfer: &Transfer,
        root: &Path,
        workdir: &str,
        extract: bool,
    ) -> Result<Self> {
        let mut found = Vec::new();
        for source in &transfer.sources {
            match source {
                Source::Inline(document) => found.push(Found::Inline {
                    name: document.name.clone(),
                    content: document.text(),
                }),
                Source::Path(path)
                    if extract && (path.starts_with("http://") || path.starts_with("https://")) =>
                {
                    return Err(Error::invalid(format!(
                        "{instruction} failed: {path}: the daemon fetches nothing for a build"
                    ))
                    .with_hint("fetch it in a RUN, or put it into the context"));
                }
                Source::Path(path) => {
                    let paths = matching(root, path)?;
                    if paths.is_empty() {
                        let what = if has_wildcards(path) {
                            "no source files were specified"
                        } else {
                            "file not found in build context or excluded by .dockerignore"
                        };
                        return Err(Error::invalid(format!(
                            "{instruction} failed: {what}: stat {path}: file does not exist"
                        )));
                    }
                    found.extend(paths.into_iter().map(Found::Path));
                }
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
        let mode = transfer
            .chmod
            .as_deref()
            .map(|text| {
                u32::from_str_radix(text, 8).map_err(|_| Error::invalid(format!("invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")))
            })
            .transpose()?;
        let exclude = (!transfer.exclude.is_empty())
            .then(|| Ignore::parse(&transfer.exclude.join("\n")))
            .transpose()
            .map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Self {
            root: root.to_owned(),
            found,
            exclude,
            destination,
            extract,
            mode,
        })
    }

    /// A digest of all that is copied: names, kinds, modes, contents; no times.
    pub(super) fn digest(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{:?}\n", self.destination, self.mode));
        for found in &self.found {
            match found {
                Found::Inline { name, content } => {
                    hash.update(format!("inline {name} {}\n{content}", content.len()));
                }
                Found::Path(path) => self.hash_tree(&mut hash, path, Path::new(""))?,
            }
        }
        Ok(shedbox_spec::Digest::from_bytes(&hash.finalize().into()).to_string())
    }

    fn hash_tree(&self, hash: &mut Sha256, source: &Path, below: &Path) -> Result<()> {
        // Joined with nothing, a path would end in a slash, which is not for files.
        let full = match below.as_os_str().is_empty() {
            true => self.root.join(source),
            false => self.root.join(source).join(below),
        };
        let failed = |error: io::Error| Error::internal(format!("{}: {error}", full.display()));
        let kind = fs::symlink_metadata(&full).map_err(failed)?;
        hash.update(format!(
            "{}\n{:o}\n",
            source.join(below).display(),
            kind.mode()
        ));
        if kind.is_symlink() {
            hash.update(
                fs::read_link(&full)
                    .map_err(failed)?
                    .to_string_lossy()
                    .as_bytes(),
            );
        } else if kind.is_dir() {
            for name in names(&full).map_err(failed)? {
                let inside = below.join(name);
                if !self.is_excluded(&inside) {
                    self.hash_tree(hash, source, &inside)?;
                }
            }
        } else {
            hash.update(kind.len().to_le_bytes());
            let mut file = File::open(&full).map_err(failed)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                match file.read(&mut buffer).map_err(failed)? {
                    0 => break,
                    count => hash.update(&buffer[..count]),
                }
            }
        }
        Ok(())
    }

    fn is_excluded(&self, inside: &Path) -> bool {
        self.exclude
            .as_ref()
            .is_some_and(|ignore| ignore.excludes(&inside.to_string_lossy()))
    }

    /// Writes the archive that is unpacked at the root of the image. Archives that are to be unpacked are given back: where
    /// to, and the file.
    pub(super) fn write(
        &self,
        image: &mut dyn Image,
        owner: (u64, u64),
        out: impl Write,
    ) -> Result<Vec<(String, PathBuf)>> {
        let failed = |error: io::Error| Error::internal(format!("cannot write a layer: {error}"));
        let mut writer = Writer {
            tar: tar::Builder::new(out),
            owner,
            mode: self.mode,
        };
        let mut archives = Vec::new();
        let target = self.destination.trim_end_matches('/').to_owned();
        let mut is_dir = self.destination.ends_with('/')
            || image.is_dir(if target.is_empty() { "/" } else { &target })? == Some(true);
        for found in &self.found {
            let (name, source) = match found {
                Found::Inline { name, content } => {
                    let path = if is_dir {
                        format!("{target}/{name}")
                    } else {
                        target.clone()
                    };
                    writer.parents(image, &path)?;
                    writer.bytes(&path, content.as_bytes()).map_err(failed)?;
                    continue;
                }
                Found::Path(path) => (path.file_name(), self.root.join(path)),
            };
            let kind = fs::metadata(&source)
                .or_else(|_| fs::symlink_metadata(&source))
                .map_err(failed)?;
            if kind.is_dir() {
                writer.parents(image, &format!("{target}/x"))?;
                self.write_tree(&mut writer, &source, Path::new(""), &target)
                    .map_err(failed)?;
                is_dir = true;
            } else if self.extract && is_archive(&source).map_err(failed)? {
                writer.parents(image, &format!("{target}/x"))?;
                archives.push((
                    if target.is_empty() {
                        "/".to_owned()
                    } else {
                        target.clone()
                    },
                    source,
                ));
            } else {
                let path = match name {
                    Some(name) if is_dir => format!("{target}/{}", name.to_string_lossy()),
                    _ => target.clone(),
                };
                writer.parents(image, &path)?;
                writer.entry(&source, &path, true).map_err(failed)?;
            }
        }
        writer
            .tar
            .into_inner()
            .and_then(|mut out| out.flush())
            .map_err(failed)?;
        Ok(archives)
    }

    fn write_tree<W: Write>(
        &self,
        writer: &mut Writer<W>,
        source: &Path,
        below: &Path,
        target: &str,
    ) -> io::Result<()> {
        for name in names(&source.join(below))? {
            let inside = below.join(name);
            if self.is_excluded(&inside) {
                continue;
            }
            let full = source.join(&inside);
            let path = format!("{target}/{}", inside.to_string_lossy());
            writer.entry(&full, &path, false)?;
            if fs::symlink_metadata(&full)?.is_dir() {
                self.write_tree(writer, source, &inside, target)?;
            }
        }
        Ok(())
    }
}

struct Writer<W: Write> {
    tar: tar::Builder<W>,
    owner: (u64, u64),
    mode: Option<u32>,
}

impl<W: Write> Writer<W> {
    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        );
        header
    }

    /// Directories above a path that the image has not.
    fn parents(&mut self, image: &mut dyn Image, path: &str) -> Result<()> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut parent = String::new();
        for part in &parts[..parts.len().saturating_sub(1)] {
            parent.push('/');
            parent.push_str(part);
            match image.is_dir(&parent)? {
                Some(true) => {}
                Some(false) => {
                    return Err(Error::invalid(format!("{parent} is no directory")));
                }
                None => {
                    let mut header = self.header(tar::EntryType::Directory, 0o755, 0);
                    self.tar
                        .append_data(&mut header, parent.trim_start_matches('/'), io::empty())
                        .map_err(|error| {
                            Error::internal(format!("cannot write a layer: {error}"))
                        })?;
                }
            }
        }
        Ok(())
    }

    fn bytes(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let mode = self.mode.unwrap_or(0o644);
        let mut header = self.header(tar::EntryType::Regular, mode, content.len() as u64);
        self.tar
            .append_data(&mut header, path.trim_start_matches('/'), content)
    }

    /// A file, link or directory itself; a link that is the source is followed.
    fn entry(&mut self, source: &Path, path: &str, follow: bool) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let kind = if follow {
            fs::metadata(source)?
        } else {
            fs::symlink_metadata(source)?
        };
        let mode = self.mode.unwrap_or(kind.permissions().mode() & 0o7777);
        let mtime = u64::try_from(kind.mtime()).unwrap_or(0);
        if kind.is_symlink() {
            let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
            header.set_mtime(mtime);
            self.tar
                .append_link(&mut header, name, fs::read_link(source)?)
        } else if kind.is_dir() {
            let mut header = self.header(tar::EntryType::Directory, mode, 0);
            self.tar.append_data(&mut header, name, io::empty())
        } else {
            let mut header = self.header(tar::EntryType::Regular, mode, kind.len());
            header.set_mtime(mtime);
            self.tar.append_data(&mut header, name, File::open(source)?)
        }
    }
}

/// In one order everywhere.
fn names(dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names: Vec<_> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Paths below `root` that a source means. `..` stops at the root; a link that leads out of it leads nowhere.
fn matching(root: &Path, source: &str) -> Result<Vec<PathBuf>> {
    let mut clean = PathBuf::new();
    for component in Path::new(source).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    let inside = |path: &Path| {
        root.join(path)
            .canonicalize()
            .is_ok_and(|full| root.canonicalize().is_ok_and(|root| full.starts_with(root)))
            || fs::symlink_metadata(root.join(path)).is_ok_and(|found| {
                found.is_symlink()
                    && path
                        .parent()
                        .is_some_and(|parent| !parent.as_os_str().is_empty())
            })
    };
    if !has_wildcards(source) {
        return Ok(if inside(&clean) {
            vec![clean]
        } else {
            Vec::new()
        });
    }
    let mut found = vec![PathBuf::new()];
    for part in clean.components() {
        let part = part.as_os_str().to_string_lossy().into_owned();
        let glob = Glob::new(&part)
            .map_err(|_| Error::invalid(format!("syntax error in pattern: {source}")))?;
        let mut next = Vec::new();
        for dir in &found {
            if !has_wildcards(&part) {
                next.push(dir.join(&part));
                continue;
            }
            let Ok(names) = names(&root.join(dir)) else {
                continue;
            };
            next.extend(
                names
                    .iter()
                    .filter(|name| glob.matches(&name.to_string_lossy()))
                    .map(|name| dir.join(name)),
            );
        }
        found = next;
    }
    found.retain(|path| inside(path));
    Ok(found)
}

/// A destination from the root on, its last slash kept.
pub(super) fn absolute(workdir: &str, destination: &str) -> String {
    let whole = if destination.starts_with('/') {
        destination.to_owned()
    } else {
        format!(
            "{}/{destination}",
            if workdir.is_empty() { "/" } else { workdir }
        )
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

/// A tar archive, perhaps compressed, told by how it begins. Source: Dockerfile reference, ADD.
fn is_archive(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut head)?;
    let compressed = [
        &[0x1f, 0x8b][..],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
    ];
    if compressed.iter().any(|magic| head.starts_with(magic)) {
        // A compressed file that is no archive is copied as it is.
        let reader = match shedbox_store::decompress(File::open(path)?) {
            Ok(reader) => reader,
            Err(error) => return Err(error),
        };
        let mut inner = Vec::new();
        if reader.take(512).read_to_end(&mut inner).is_err() {
            return Ok(false);
        }
        return Ok(inner.get(257..262) == Some(b"ustar"));
    }
    Ok(head.get(257..262) == Some(b"ustar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        for (workdir, destination, expected) in [
            ("/app", "x", "/app/x"),
            ("/app", "x/", "/app/x/"),
            ("/app", ".", "/app/"),
            ("/app", "./", "/app/"),
            ("", "x", "/x"),
            ("/app", "/", "/"),
            ("/app", "../../../x", "/x"),
            ("/a", "/b/../c", "/c"),
        ] {
            assert_eq!(
                absolute(workdir, destination),
                expected,
                "{workdir} {destination}"
            );
        }
    }

    #[test]
    fn sources_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a")).unwrap();
        for name in ["a/1.txt", "a/2.txt", "b.md"] {
            fs::write(root.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        let found = |source: &str| {
            matching(&root, source)
                .unwrap()
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("a/*.txt"), ["a/1.txt", "a/2.txt"]);
        assert_eq!(found("*/1.txt"), ["a/1.txt"]);
        assert_eq!(found("../../b.md"), ["b.md"]);
        assert_eq!(found("/b.md"), ["b.md"]);
        assert_eq!(found("."), [""]);
        assert!(found("out/passwd").is_empty());
        assert!(found("out").is_empty());
        assert!(found("none").is_empty());
    }
}
