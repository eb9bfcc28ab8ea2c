//! The header before each piece of output when two streams share a connection. Source: Docker Engine API, "Stream
//! format".

/// Length of a header.
pub const HEADER: usize = 8;

/// The header of `len` bytes of a stream: 1 standard output, 2 standard error.
pub fn header(stream: u8, len: usize) -> [u8; HEADER] {
    // Pieces are some KiB: the length fits.
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [stream, 0, 0, 0, a, b, c, d]
}

/// Content type of framed streams, from API 1.42 on.
pub const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// Content type of what a terminal shows, and of every stream before API 1.42.
pub const RAW: &str = "application/vnd.docker.raw-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header() {
        assert_eq!(header(2, 0x0102), [2, 0, 0, 0, 0, 0, 1, 2]);
    }
}
