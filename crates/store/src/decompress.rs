//! A stream as it was before it was compressed, told by its first bytes.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Longest magic number: xz's.
const MAGIC: usize = 6;

/// Plain, gzip or zstd; others are an error that names them. Sources: RFC 1952, RFC 8878, and the manual pages of the
/// programs.
pub fn decompress<'a>(mut reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut head = Vec::with_capacity(MAGIC);
    (&mut reader).take(MAGIC as u64).read_to_end(&mut head)?;
    let begins = |magic: &[u8]| head.starts_with(magic);
    let unsupported = |name: &str| {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{name} archives are not supported: use gzip, zstd or none"),
        ))
    };
    let kind = if begins(&[0x1f, 0x8b]) {
        1
    } else if begins(&[0x28, 0xb5, 0x2f, 0xfd]) {
        2
    } else if begins(b"BZh") {
        return unsupported("bzip2");
    } else if begins(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        return unsupported("xz");
    } else {
        0
    };
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(reader));
    Ok(match kind {
        1 => Box::new(MultiGzDecoder::new(whole)),
        2 => Box::new(zstd::Decoder::with_buffer(whole)?),
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn plain_gzip_zstd_and_nothing_else() {
        let text = b"hello".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for bytes in [text.clone(), gzip.finish().unwrap(), zstd] {
            let mut out = Vec::new();
            decompress(&bytes[..])
                .unwrap()
                .read_to_end(&mut out)
                .unwrap();
            assert!(out == text);
        }
        let mut none = Vec::new();
        decompress(&b""[..])
            .unwrap()
            .read_to_end(&mut none)
            .unwrap();
        assert!(none.is_empty());
        assert!(decompress(&b"BZh91AY"[..]).is_err());
    }
}
