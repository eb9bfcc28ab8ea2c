//! Where the data of a sparse file goes: the maps of GNU tar's four formats. Pure parsing.
//!
//! | format | map |
//! |---|---|
//! | old GNU (type `S`) | four pairs in the header, then blocks of 21 pairs |
//! | PAX 0.0 | `GNU.sparse.offset` and `GNU.sparse.numbytes`, repeated |
//! | PAX 0.1 | `GNU.sparse.map`, numbers with commas between |
//! | PAX 1.0 | at the start of the data: decimal lines, padded to a block |
//!
//! Source: GNU tar manual, "Storing Sparse Files".

use crate::header::{BLOCK, number};
use crate::pax::decimal;

/// Most pieces of one file: bounds the memory of the map to 4 MiB.
pub(crate) const MAX_PIECES: usize = 1 << 18;

/// Where stored data goes, in order; everything else is a hole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SparseMap {
    /// Size of the file.
    pub(crate) size: u64,
    /// Offset and length of each piece, ascending.
    pub(crate) pieces: Vec<(u64, u64)>,
}

impl SparseMap {
    fn push(&mut self, offset: u64, length: u64) -> Result<(), String> {
        if self.pieces.len() >= MAX_PIECES {
            return Err(format!("its sparse map has more than {MAX_PIECES} pieces"));
        }
        self.pieces.push((offset, length));
        Ok(())
    }

    /// Pieces must be ascending, within the file, and need exactly the data that is there.
    pub(crate) fn check(&self, stored: u64) -> Result<(), String> {
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for (offset, length) in &self.pieces {
            if *offset < end {
                return Err("the pieces of its sparse map overlap".to_owned());
            }
            end = offset
                .checked_add(*length)
                .filter(|end| *end <= self.size)
                .ok_or("its sparse map reaches beyond its size")?;
            sum += length; // no overflow: pieces do not overlap and end below 2⁶⁴
        }
        if sum == stored {
            Ok(())
        } else {
            Err(format!(
                "its sparse map describes {sum} bytes and {stored} are stored"
            ))
        }
    }

    /// The map in an old GNU header; whether extension blocks follow.
    pub(crate) fn from_gnu(header: &[u8; BLOCK]) -> Result<(Self, bool), String> {
        let size = number(&header[483..495])
            .and_then(|size| u64::try_from(size).ok())
            .ok_or("its size is not a number")?;
        let mut map = Self {
            size,
            pieces: Vec::new(),
        };
        map.extend(&header[386..482])?;
        Ok((map, header[482] != 0))
    }

    /// Adds an extension block; whether another follows.
    pub(crate) fn extend_gnu(&mut self, block: &[u8; BLOCK]) -> Result<bool, String> {
        self.extend(&block[..504])?;
        Ok(block[504] != 0)
    }

    fn extend(&mut self, pairs: &[u8]) -> Result<(), String> {
        for pair in pairs.chunks_exact(24) {
            if pair[0] == 0 && pair[12] == 0 {
                break; // unused from here on
            }
            let field = |bytes| {
                number(bytes)
                    .and_then(|value| u64::try_from(value).ok())
                    .ok_or("its sparse map is not made of numbers")
            };
            self.push(field(&pair[..12])?, field(&pair[12..])?)?;
        }
        Ok(())
    }

    /// The map in PAX records. `None`: not a sparse file. The second value is the file's real name, the third says that
    /// the map is at the start of the data.
    pub(crate) fn from_pax(records: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<PaxSparse>, String> {
        if records.is_empty() {
            return Ok(None);
        }
        let mut found = PaxSparse::default();
        let mut version = (0, 0);
        let mut offset = None;
        let mut sized = false;
        for (key, value) in records {
            let number = || decimal(value).ok_or("its sparse map is not made of numbers");
            match key.as_slice() {
                b"major" => version.0 = number()?,
                b"minor" => version.1 = number()?,
                b"name" => found.name = Some(value.clone()),
                b"size" | b"realsize" => {
                    found.map.size = number()?;
                    sized = true;
                }
                b"offset" => offset = Some(number()?),
                b"numbytes" => {
                    let offset = offset.take().ok_or("its sparse map lacks an offset")?;
                    found.map.push(offset, number()?)?;
                }
                b"map" => {
                    let mut numbers = value
                        .split(|byte| *byte == b',')
                        .filter(|text| !text.is_empty());
                    while let Some(offset) = numbers.next() {
                        let pair = (decimal(offset), numbers.next().and_then(decimal));
                        let (Some(offset), Some(length)) = pair else {
                            return Err("its sparse map is not made of pairs".to_owned());
                        };
                        found.map.push(offset, length)?;
                    }
                }
                _ => {}
            }
        }
        match version {
            (0, _) => {}
            (1, 0) => found.map_in_data = true,
            (major, minor) => return Err(format!("sparse format {major}.{minor} is not known")),
        }
        if sized {
            Ok(Some(found))
        } else {
            Err("its sparse header lacks the size".to_owned())
        }
    }
}

/// What PAX records say of a sparse file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PaxSparse {
    /// The map; without pieces when `map_in_data`.
    pub(crate) map: SparseMap,
    /// The file's name; the header has a made-up one.
    pub(crate) name: Option<Vec<u8>>,
    /// Format 1.0.
    pub(crate) map_in_data: bool,
}

/// Reads the map of format 1.0, fed byte by byte.
#[derive(Debug, Default)]
pub(crate) struct MapReader {
    digits: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    seen: u64,
}

impl MapReader {
    /// Takes one byte; true when the map is complete.
    pub(crate) fn push(&mut self, byte: u8, map: &mut SparseMap) -> Result<bool, String> {
        if byte != b'\n' {
            self.digits.push(byte);
            if self.digits.len() > 20 {
                return Err("its sparse map is not made of numbers".to_owned());
            }
            return Ok(false);
        }
        let value = decimal(&self.digits).ok_or("its sparse map is not made of numbers")?;
        self.digits.clear();
        match (self.count, self.offset.take()) {
            (None, _) => self.count = Some(value),
            (Some(_), None) => self.offset = Some(value),
            (Some(_), Some(offset)) => {
                map.push(offset, value)?;
                self.seen += 1;
            }
        }
        Ok(self.count == Some(self.seen) && self.offset.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        let map = |size, pieces: &[(u64, u64)]| SparseMap {
            size,
            pieces: pieces.to_vec(),
        };
        assert_eq!(map(100, &[(0, 10), (50, 5), (100, 0)]).check(15), Ok(()));
        for (map, stored, text) in [
            (map(100, &[(0, 10), (5, 5)]), 15, "overlap"),
            (map(100, &[(90, 20)]), 20, "beyond"),
            (map(u64::MAX, &[(u64::MAX, 2)]), 2, "beyond"),
            (map(100, &[(0, 10)]), 11, "11 are stored"),
        ] {
            assert!(map.check(stored).unwrap_err().contains(text));
        }
    }

    #[test]
    fn pax_forms() {
        let records = |list: &[(&str, &str)]| -> Vec<(Vec<u8>, Vec<u8>)> {
            list.iter()
                .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
                .collect()
        };
        assert_eq!(SparseMap::from_pax(&[]), Ok(None));
        let oldest = records(&[
            ("size", "20"),
            ("numblocks", "2"),
            ("offset", "0"),
            ("numbytes", "3"),
            ("offset", "10"),
            ("numbytes", "4"),
        ]);
        let found = SparseMap::from_pax(&oldest).unwrap().unwrap();
        assert_eq!(found.map.pieces, [(0, 3), (10, 4)]);
        let middle = records(&[("size", "20"), ("map", "0,3,10,4"), ("name", "f")]);
        let found = SparseMap::from_pax(&middle).unwrap().unwrap();
        assert_eq!(found.map.pieces, [(0, 3), (10, 4)]);
        assert_eq!(found.name, Some(b"f".to_vec()));
        let newest = records(&[("major", "1"), ("minor", "0"), ("realsize", "20")]);
        assert!(SparseMap::from_pax(&newest).unwrap().unwrap().map_in_data);
        for bad in [
            records(&[("map", "0,1")]),
            records(&[("size", "20"), ("map", "0,1,2")]),
            records(&[("size", "20"), ("numbytes", "3")]),
            records(&[("major", "2"), ("realsize", "20")]),
            records(&[("size", "x")]),
        ] {
            assert!(SparseMap::from_pax(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_map_in_the_data() {
        let feed = |text: &str| {
            let mut map = SparseMap::default();
            let mut reader = MapReader::default();
            for (index, byte) in text.bytes().enumerate() {
                if reader.push(byte, &mut map)? {
                    return Ok((map.pieces, index + 1));
                }
            }
            Err("incomplete".to_owned())
        };
        assert_eq!(feed("0\nxx"), Ok((vec![], 2)));
        assert_eq!(
            feed("2\n0\n512\n4096\n7\n"),
            Ok((vec![(0, 512), (4096, 7)], 15))
        );
        assert!(feed("1\n0\n").is_err());
        assert!(feed("x\n").is_err());
        assert!(feed(&"1".repeat(30)).is_err());
    }
}
