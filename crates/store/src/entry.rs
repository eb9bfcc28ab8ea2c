//! The entries of a tar stream: headers, extended headers and long names put together, all of them bounded.

use shedbox_linux::meta::Timestamp;

use crate::chunks::Chunks;
use crate::header::{self, BLOCK, Header, Magic};
use crate::pax::{self, Pax};
use crate::record::Recorder;
use crate::sparse::{MapReader, SparseMap};
use crate::{Result, StoreError, UnpackLimits};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Regular,
    HardLink,
    Symlink,
    /// A character or block device.
    Device,
    Directory,
    Fifo,
}

/// One entry. Its data is read through [`Entries`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As in the archive, any bytes.
    pub(crate) name: Vec<u8>,
    /// Target of a link.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: Timestamp,
    /// Where the data goes, when the file is sparse.
    pub(crate) sparse: Option<SparseMap>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads entries one after the other.
pub(crate) struct Entries<'a> {
    chunks: &'a mut Chunks,
    limits: UnpackLimits,
    /// Bytes of the current entry's data that were not read.
    left: u64,
    /// Bytes after them up to the next block.
    padding: u64,
}

/// A name for messages: lossy and shortened.
pub(crate) fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    if name.len() <= LONGEST {
        return String::from_utf8_lossy(name).into_owned();
    }
    format!(
        "{}… ({} bytes)",
        String::from_utf8_lossy(&name[..LONGEST]),
        name.len()
    )
}

pub(crate) fn refuse(name: &[u8], reason: impl Into<String>) -> StoreError {
    StoreError::Entry {
        entry: shown(name),
        reason: reason.into(),
    }
}

impl<'a> Entries<'a> {
    pub(crate) fn new(chunks: &'a mut Chunks, limits: UnpackLimits) -> Self {
        Self {
            chunks,
            limits,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; what is unread of the last one is passed over. `None` at the end of the archive, which two
    /// blocks of zeros or the end of the stream behind an entry's data mark. What follows them is not looked at.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut pax = Pax::default();
        let mut long_name = None;
        let mut long_link = None;
        loop {
            self.chunks.skip(self.left)?;
            // `umoci insert` leaves out what follows the last byte of data, and every reader written in Go takes that.
            self.chunks.skip_at_most(self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            let header = header::parse(&block).map_err(StoreError::Tar)?;
            match header.typeflag {
                b'x' | b'X' => {
                    let cap = self.limits.max_xattr_bytes + (64 << 10);
                    let data = self.read_data(&header, cap, "extended header")?;
                    pax = pax::parse(&data).map_err(StoreError::Tar)?;
                }
                b'L' | b'K' => {
                    let cap = self.limits.max_path + BLOCK;
                    let data = self.read_data(&header, cap, "long name")?;
                    let name = header::string(&data).to_vec();
                    if header.typeflag == b'L' {
                        long_name = Some(name);
                    } else {
                        long_link = Some(name);
                    }
                }
                // Values for the whole archive, as git-archive writes its commit, and volume labels: Docker ignores
                // them as well.
                b'g' | b'V' => self.set_data(header.size)?,
                _ => {
                    return self
                        .assemble(&block, header, pax, long_name, long_link)
                        .map(Some);
                }
            }
        }
    }

    /// Data of the current entry that has arrived; empty when all of it was read.
    pub(crate) fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = self.left;
        let available = self.chunks.fill()?;
        if available.is_empty() {
            return Err(ends_early());
        }
        let length = (available.len() as u64).min(left) as usize;
        Ok(&available[..length])
    }

    /// Bytes of data that were not used yet.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Marks bytes of the last [`data`](Self::data) as used.
    fn consume(&mut self, bytes: usize) {
        let bytes = (bytes as u64).min(self.left);
        self.left -= bytes;
        self.chunks.consume(bytes as usize);
    }

    /// The same for bytes that became the content of a file, to which the record, if there is one, refers.
    pub(crate) fn pass_on(&mut self, bytes: usize) {
        let bytes = (bytes as u64).min(self.left);
        self.left -= bytes;
        self.chunks.pass_on(bytes as usize);
    }

    /// The record that is being made.
    pub(crate) fn recorder(&mut self) -> Option<&mut Recorder> {
        self.chunks.recorder()
    }

    fn assemble(
        &mut self,
        block: &[u8; BLOCK],
        header: Header,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let pax_sparse =
            SparseMap::from_pax(&pax.sparse).map_err(|reason| refuse(&header.name, reason))?;
        let sparse_name = pax_sparse.as_ref().and_then(|sparse| sparse.name.clone());
        let name = long_name
            .or(sparse_name)
            .or(pax.path)
            .unwrap_or(header.name);
        let kind = match header.typeflag {
            // Before POSIX directories were files whose names end in a slash.
            b'0' | 0 | b'7' | b'S' if name.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::Regular,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' | b'4' => EntryKind::Device,
            // GNU's incremental directories carry a list of names, which we pass over.
            b'5' | b'D' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                let reason = format!("entries of type `{}` are not known", char::from(other));
                return Err(refuse(&name, reason));
            }
        };
        let size = pax.size.unwrap_or(header.size);
        let mut sparse = None;
        if header.typeflag == b'S' && header.magic == Magic::Gnu {
            let (mut map, mut more) =
                SparseMap::from_gnu(block).map_err(|reason| refuse(&name, reason))?;
            while more {
                let block = self.block()?.ok_or_else(ends_early)?;
                more = map
                    .extend_gnu(&block)
                    .map_err(|reason| refuse(&name, reason))?;
            }
            sparse = Some(map);
        }
        // Links, devices and FIFOs have no data whatever their size field says; directories of `D` do.
        let has_data = kind == EntryKind::Regular || header.typeflag == b'D';
        self.set_data(if has_data { size } else { 0 })?;
        if let Some(mut found) = pax_sparse.filter(|_| kind == EntryKind::Regular) {
            if found.map_in_data {
                self.read_sparse_map(&name, &mut found.map)?;
            }
            sparse = Some(found.map);
        }
        if let Some(map) = &sparse {
            map.check(self.left)
                .map_err(|reason| refuse(&name, reason))?;
        }
        Ok(Entry {
            name,
            link: long_link.or(pax.link).unwrap_or(header.link),
            kind,
            mode: header.mode,
            uid: pax.uid.unwrap_or(header.uid),
            gid: pax.gid.unwrap_or(header.gid),
            mtime: pax.mtime.unwrap_or(header.mtime),
            sparse,
            xattrs: pax.xattrs,
        })
    }

    fn read_sparse_map(&mut self, name: &[u8], map: &mut SparseMap) -> Result<()> {
        let mut reader = MapReader::default();
        let mut read = 0_u64;
        let mut complete = false;
        while !complete {
            let mut used = 0;
            for byte in self.data()? {
                used += 1;
                complete = reader
                    .push(*byte, map)
                    .map_err(|reason| refuse(name, reason))?;
                if complete {
                    break;
                }
            }
            if used == 0 {
                return Err(refuse(name, "its sparse map is not complete"));
            }
            self.consume(used);
            read += used as u64;
        }
        // The file's own data begins at the next block.
        let mut padding = padding_of(read);
        while padding > 0 {
            let step = (self.data()?.len() as u64).min(padding);
            if step == 0 {
                return Err(refuse(name, "its sparse map is not complete"));
            }
            self.consume(step as usize);
            padding -= step;
        }
        Ok(())
    }

    fn set_data(&mut self, size: u64) -> Result<()> {
        // No stream is that long, and sums stay below 2⁶⁴.
        if size > i64::MAX as u64 {
            return Err(StoreError::Tar(format!("an entry has {size} bytes")));
        }
        self.left = size;
        self.padding = padding_of(size);
        Ok(())
    }

    /// The data of an entry that describes the next one, of at most `cap` bytes.
    fn read_data(&mut self, header: &Header, cap: usize, what: &str) -> Result<Vec<u8>> {
        if header.size > cap as u64 {
            return Err(refuse(
                &header.name,
                format!(
                    "its {what} has {} bytes, at most {cap} are accepted",
                    header.size
                ),
            ));
        }
        self.set_data(header.size)?;
        let mut data = vec![0; header.size as usize];
        if self.chunks.read_full(&mut data)? < data.len() {
            return Err(ends_early());
        }
        self.left = 0;
        Ok(data)
    }

    /// The next block; `None` at the end. Readers disagree about entries after a single block of zeros, so these are
    /// refused.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let zeros = |block: &[u8; BLOCK]| block.iter().all(|byte| *byte == 0);
        match self.chunks.read_full(&mut block)? {
            0 => Ok(None),
            BLOCK if zeros(&block) => match self.chunks.read_full(&mut block)? {
                0 => Ok(None),
                BLOCK if zeros(&block) => Ok(None),
                _ => Err(StoreError::Tar(
                    "something follows a single block of zeros".to_owned(),
                )),
            },
            BLOCK => Ok(Some(block)),
            _ => Err(ends_early()),
        }
    }
}

fn padding_of(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn ends_early() -> StoreError {
    StoreError::Tar("it ends in the middle of an entry".to_owned())
}
