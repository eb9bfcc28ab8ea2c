//! One 512-byte tar header: numbers, strings, checksum. Pure parsing.
//!
//! Our own and not the tar crate's, because extended headers must be bounded before they are read into memory, PAX
//! sparse files understood, and data written from the decoder's buffers without a copy. Sources: POSIX pax; GNU tar
//! manual, "Basic Tar Format"; FreeBSD tar(5).

use shedbox_linux::meta::Timestamp;

/// Bytes of a header, and what data is padded to.
pub(crate) const BLOCK: usize = 512;

/// The fields of a header, as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) typeflag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: Timestamp,
    pub(crate) magic: Magic,
}

/// Which dialect wrote the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Magic {
    /// Unix V7: no magic.
    Old,
    /// POSIX: long names are split into prefix and name.
    Ustar,
    /// GNU: other fields where POSIX has the prefix.
    Gnu,
}

/// Parses a header. The text of an error continues "layer is not a valid tar archive: ".
pub(crate) fn parse(block: &[u8; BLOCK]) -> Result<Header, String> {
    let stored = number(&block[148..156]).ok_or("a header has no checksum")?;
    // The checksum field counts as spaces. Some old writers summed signed bytes.
    let field = 148..156;
    let byte = |index: usize| {
        if field.contains(&index) {
            b' '
        } else {
            block[index]
        }
    };
    let unsigned: i64 = (0..BLOCK).map(|index| i64::from(byte(index))).sum();
    let signed: i64 = (0..BLOCK)
        .map(|index| i64::from(byte(index).cast_signed()))
        .sum();
    if stored != unsigned && stored != signed {
        return Err("the checksum of a header is wrong".to_owned());
    }
    let magic = match &block[257..265] {
        b"ustar  \0" => Magic::Gnu,
        magic if magic.starts_with(b"ustar") => Magic::Ustar,
        _ => Magic::Old,
    };
    let mut name = string(&block[..100]).to_vec();
    if magic == Magic::Ustar {
        let prefix = string(&block[345..500]);
        if !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
    }
    let shown = || String::from_utf8_lossy(&name).into_owned();
    let unsigned = |range: std::ops::Range<usize>, what: &str| {
        number(&block[range])
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| format!("the {what} of `{}` is not a number", shown()))
    };
    Ok(Header {
        link: string(&block[157..257]).to_vec(),
        typeflag: block[156],
        mode: (unsigned(100..108, "mode")? & 0o7777) as u32,
        uid: unsigned(108..116, "uid")?,
        gid: unsigned(116..124, "gid")?,
        size: unsigned(124..136, "size")?,
        mtime: Timestamp {
            seconds: number(&block[136..148])
                .ok_or_else(|| format!("the time of `{}` is not a number", shown()))?,
            nanos: 0,
        },
        magic,
        name,
    })
}

/// Up to the first NUL.
pub(crate) fn string(field: &[u8]) -> &[u8] {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    &field[..end]
}

/// A numeric field: octal digits, or, with the top bit set, a big-endian two's complement number (GNU). An empty field is
/// 0, as everybody reads it.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Bit 6 of the first byte is the sign.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (index, byte) in field.iter().enumerate() {
            let byte = match (index, negative) {
                (0, false) => byte & 0x7f,
                _ => *byte,
            };
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let digits = field
        .split(|byte| *byte == 0)
        .next()
        .map_or(&b""[..], <[u8]>::trim_ascii);
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"\x80\0\0\0\0\0\0\x01\x00\0\0\0", Some(0x1_0000_0000)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                Some(-1),
            ),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"12x4\0", None),
            (b"-1\0", None),
            (b"", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }

    #[test]
    fn a_header_of_the_tar_crate() {
        let mut header = tar::Header::new_gnu();
        header.set_path("usr/bin/x").unwrap();
        header.set_size(12);
        header.set_mode(0o4755);
        header.set_uid(3_000_000);
        header.set_gid(5);
        header.set_mtime(1_700_000_000);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        let parsed = parse(header.as_bytes()).unwrap();
        assert_eq!(
            parsed,
            Header {
                name: b"usr/bin/x".to_vec(),
                link: Vec::new(),
                typeflag: b'0',
                mode: 0o4755,
                uid: 3_000_000,
                gid: 5,
                size: 12,
                mtime: Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 0
                },
                magic: Magic::Gnu,
            }
        );
        let mut bytes = *header.as_bytes();
        bytes[0] ^= 1;
        assert!(parse(&bytes).unwrap_err().contains("checksum"));
    }

    #[test]
    fn a_long_ustar_name() {
        let mut header = tar::Header::new_ustar();
        let path = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        header.set_path(&path).unwrap();
        header.set_cksum();
        assert_eq!(parse(header.as_bytes()).unwrap().name, path.as_bytes());
    }
}
