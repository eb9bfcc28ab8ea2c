//! Messages that are almost right.

use crate::support::Random;

/// What programs stumble over.
const PIECES: &[&[u8]] = &[
    b"null",
    b"-1",
    b"0",
    b"1e400",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"\xff\xfe",
    b"{}",
    b"[]",
    b"{\"request\":\"hello\"}",
    b"\"",
    b"}",
    b"]",
    b":",
    b",",
    b"../../..",
    b"/proc/self/fd/3",
    b"\n",
    b"\0",
];

/// One of `seeds`, changed in one to four places.
pub(crate) fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = random.pick(seeds).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() as u64 + 1) as usize;
        let length = random.below(12) as usize;
        let end = (at + length).min(text.len());
        match random.below(7) {
            0 if at < text.len() => text[at] = random.next() as u8,
            1 => drop(text.drain(at..end)),
            2 => {
                let piece = text[at..end].to_vec();
                text.splice(at..at, piece);
            }
            3 => {
                let other = random.pick(seeds);
                let from = random.below(other.len() as u64 + 1) as usize;
                text.truncate(at);
                text.extend_from_slice(&other[from..]);
            }
            4 => text.truncate(at),
            // Deeper than any parser should follow.
            5 if random.below(20) == 0 => {
                text.splice(at..at, std::iter::repeat_n(b'[', 5000));
            }
            _ => {
                let piece = random.pick(PIECES).iter().copied();
                text.splice(at..end, piece);
            }
        }
    }
    text
}
