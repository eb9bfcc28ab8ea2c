//! A stream as it was before it was compressed, told by its first bytes.

use std::io::{self, BufReader, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// Longest magic number: xz's.
const MAGIC: usize = 6;

/// Memory that a stream may ask for, in bytes. xz takes 65 MiB for what `xz -9` has made, and as much as 4 GiB for what
/// somebody made to do harm.
const MOST_MEMORY: u64 = 128 << 20;

/// Plain, gzip, bzip2, xz or zstd, each of several parts, too. Sources: RFC 1952, RFC 8878, the xz format 1.2.1, and the
/// manual pages of the programs.
pub fn decompress<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(MAGIC);
    (&mut reader).take(MAGIC as u64).read_to_end(&mut head)?;
    let magic: [u8; MAGIC] = {
        let mut magic = [0; MAGIC];
        magic[..head.len()].copy_from_slice(&head);
        magic
    };
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(reader));
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(whole)?),
        [b'B', b'Z', b'h', ..] => Box::new(MultiBzDecoder::new(whole)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let stream = Stream::new_stream_decoder(MOST_MEMORY, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(whole, stream))
        }
        _ => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn xz(text: &[u8]) -> Vec<u8> {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(text).unwrap();
        xz.finish().unwrap()
    }

    #[test]
    fn every_kind_and_none() {
        let text = b"hello".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&text).unwrap();
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for bytes in [
            gzip.finish().unwrap(),
            bzip2.finish().unwrap(),
            xz(&text),
            zstd,
        ] {
            assert!(read(&bytes).unwrap() == text);
            assert!(
                read(&bytes.repeat(2)).unwrap() == text.repeat(2),
                "in parts"
            );
            assert!(read(&bytes[..bytes.len() - 5]).is_err(), "cut off");
        }
        for plain in [&text[..], b"", b"BZ", b"\x1f"] {
            assert!(read(plain).unwrap() == plain);
        }
    }

    #[test]
    fn memory_has_a_limit() {
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        options.dict_size(160 << 20);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32).unwrap();
        let mut greedy = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        greedy.write_all(b"hello").unwrap();
        assert!(read(&greedy.finish().unwrap()).is_err());
    }
}
