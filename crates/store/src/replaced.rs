//! Files of a layer that a later entry of the same archive has replaced.
//!
//! They are not part of the layer, but their content is part of its tar stream: instead of being removed they are moved
//! to `replaced/<number>` beside the layer's directory, files and whole directories alike. A list says what was where,
//! and after how many files of the record: the first move behind a file that concerns its path is where it is now.
//! Hardly an image has any of these.
//!
//! A file with further names in the layer is copied: their number is seen in sandboxes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use shedbox_linux::content;
use shedbox_linux::meta::{FileKind, Stat};
use shedbox_linux::path::{self, Rename};

use crate::error::Doing;
use crate::record::{damaged, number, put_number};
use crate::{Result, Trash};

/// The name of the directory, beside the layer's.
pub(crate) const NAME: &str = "replaced";
const LIST: &str = "list";

/// Moves that are remembered, and bytes of their paths: both are the archive's choice, and a layer with more of them has
/// no record.
const MAX_MOVES: usize = 1 << 13;
const MAX_BYTES: usize = 4 << 20;

/// Keeps what is replaced while a layer is unpacked.
pub(crate) struct Keeper {
    /// `replaced/`; made when there is something to keep.
    place: PathBuf,
    dir: Option<OwnedFd>,
    list: Vec<u8>,
    moves: usize,
    /// Files that the record has so far.
    files: u64,
    given_up: bool,
}

impl Keeper {
    /// `scratch` is the directory beside the layer's.
    pub(crate) fn new(scratch: &Path) -> Self {
        Self {
            place: scratch.join(NAME),
            dir: None,
            list: Vec::new(),
            moves: 0,
            files: 0,
            given_up: false,
        }
    }

    /// The record has one more file.
    pub(crate) fn count(&mut self) {
        self.files += 1;
    }

    /// There will be no record: nothing is kept any more.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether there will be a record.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.given_up
    }

    /// Moves what is at `name` in `dir` out of the way; `path` is where that is in the layer. Of a directory no file may
    /// have a name elsewhere.
    pub(crate) fn keep(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        path: &[u8],
    ) -> Result<()> {
        let what = || format!("keep `{}`", String::from_utf8_lossy(path));
        let place = if let Some(place) = &self.dir {
            place
        } else {
            path::mkdir_at(path::CURRENT, &self.place, 0o700).doing(what)?;
            self.dir.insert(path::open_dir(&self.place).doing(what)?)
        };
        let number = self.moves.to_string();
        if stat.kind == FileKind::Regular && stat.links > 1 {
            let file = path::open_file_at(dir, name).doing(what)?;
            let copy = path::create_at(place, &number, 0o600).doing(what)?;
            content::copy(&file, &copy, stat.size).doing(what)?;
            path::unlink_at(dir, name).doing(what)?;
        } else {
            path::rename_at(dir, name, place, &number, Rename::Replace).doing(what)?;
        }
        put_number(&mut self.list, self.files);
        put_number(&mut self.list, path.len() as u64);
        self.list.extend_from_slice(path);
        self.moves += 1;
        if self.moves == MAX_MOVES || self.list.len() > MAX_BYTES {
            self.given_up = true;
        }
        Ok(())
    }

    /// Writes the list; false when there can be no record. What was kept goes then.
    pub(crate) fn finish(self, trash: &Trash) -> Result<bool> {
        let Some(dir) = self.dir else {
            return Ok(!self.given_up);
        };
        if self.given_up {
            trash.discard(&self.place)?;
            return Ok(false);
        }
        let what = || format!("write `{}`", self.place.join(LIST).display());
        let list = path::create_at(&dir, LIST, 0o600).doing(what)?;
        File::from(list).write_all(&self.list).doing(what)?;
        Ok(true)
    }
}

/// Where replaced files are.
#[derive(Default)]
pub(crate) struct Replaced {
    /// By path: after how many files it was moved, and to which number. Ascending.
    moves: HashMap<Vec<u8>, Vec<(u64, usize)>>,
}

impl Replaced {
    /// Reads the list of a layer's `replaced/`.
    pub(crate) fn read(dir: &OwnedFd) -> std::io::Result<Self> {
        let list = path::open_file_at(dir, LIST)
            .map_err(|error| std::io::Error::from_raw_os_error(error.errno as i32))?;
        Self::parse(BufReader::new(File::from(list)))
    }

    fn parse(mut list: impl std::io::BufRead) -> std::io::Result<Self> {
        let mut found = Self::default();
        for index in 0.. {
            if list.fill_buf()?.is_empty() {
                break;
            }
            let files = number(&mut list)?;
            let length = number(&mut list)?;
            if index >= MAX_MOVES || length > MAX_BYTES as u64 {
                return Err(damaged("the list of replaced files is too long"));
            }
            let mut path = vec![0; length as usize];
            list.read_exact(&mut path)?;
            found.moves.entry(path).or_default().push((files, index));
        }
        Ok(found)
    }

    /// Where the record's file number `index` (from 0) is, when it is not at its path any more: a number, and the rest of
    /// the path below it.
    pub(crate) fn find<'p>(&self, index: u64, path: &'p [u8]) -> Option<(usize, &'p [u8])> {
        if self.moves.is_empty() {
            return None;
        }
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        ends.filter_map(|end| {
            let moves = self.moves.get(&path[..end])?;
            let (_, place) = moves.iter().find(|(files, _)| *files > index)?;
            // Numbers are given in the order of the moves.
            Some((*place, path.get(end + 1..).unwrap_or_default()))
        })
        .min_by_key(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_move_counts() {
        let mut list = Vec::new();
        for (files, path) in [(1, "a/b"), (2, "a"), (3, "a/b"), (3, "c")] {
            put_number(&mut list, files);
            put_number(&mut list, path.len() as u64);
            list.extend_from_slice(path.as_bytes());
        }
        let replaced = Replaced::parse(&list[..]).unwrap();
        let find = |index, path: &'static str| {
            replaced
                .find(index, path.as_bytes())
                .map(|(place, rest)| (place, std::str::from_utf8(rest).unwrap()))
        };
        assert_eq!(find(0, "a/b"), Some((0, "")));
        assert_eq!(find(0, "a/x/y"), Some((1, "x/y")));
        assert_eq!(find(1, "a/b"), Some((1, "b")));
        assert_eq!(find(2, "a/b"), Some((2, "")));
        assert_eq!(find(2, "a/x"), None);
        assert_eq!(find(3, "a/b"), None);
        assert_eq!(find(2, "c"), Some((3, "")));
        assert_eq!(find(2, "cc"), None);
        list.pop();
        assert!(Replaced::parse(&list[..]).is_err());
    }
}
