//! The keys that leave a terminal without ending what runs in it: `ctrl-p,ctrl-q`.

use crate::{Error, Result};

/// Docker's default: ctrl-p, then ctrl-q.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// Parses a sequence: keys separated by commas, each one ASCII character or `ctrl-` and one of `a`–`z`, `@`, `[`, `\`,
/// `]`, `^`, `_`. An empty text is no sequence at all. Source: Docker's `--detach-keys`.
pub fn parse(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|key| byte_of(key, text)).collect()
}

fn byte_of(key: &str, text: &str) -> Result<u8> {
    let byte = match key.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        bytes if bytes.len() == 6 && bytes[..5].eq_ignore_ascii_case(b"ctrl-") => match bytes[5] {
            letter @ b'a'..=b'z' => Some(letter - b'a' + 1),
            b'@' => Some(0),
            b'[' => Some(27),
            b'\\' => Some(28),
            b']' => Some(29),
            b'^' => Some(30),
            b'_' => Some(31),
            _ => None,
        },
        _ => None,
    };
    byte.ok_or_else(|| {
        Error::invalid(format!("invalid detach keys `{text}`: unknown key `{key}`")).with_hint(
            "use single characters or `ctrl-` with a-z, @, [, \\, ], ^ or _, separated by commas",
        )
    })
}

/// Finds the sequence in what is typed. Bytes that may begin it are held back until it is clear that they do not.
#[derive(Debug, Clone)]
pub struct Matcher {
    keys: Vec<u8>,
    /// How many bytes of `keys` are held back.
    held: usize,
}

impl Matcher {
    /// A matcher for a parsed sequence; an empty one never matches.
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, held: 0 }
    }

    /// Takes input and appends to `output` what is to be passed on. True when the sequence is complete; input after
    /// it is dropped.
    pub fn feed(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            output.extend_from_slice(input);
            return false;
        }
        for &byte in input {
            // Let go of held bytes until what remains of them, with this byte, can begin the sequence.
            while self.held > 0 && self.keys[self.held] != byte {
                let shorter = (0..self.held)
                    .rev()
                    .find(|&length| self.keys[self.held - length..self.held] == self.keys[..length])
                    .unwrap_or(0);
                output.extend_from_slice(&self.keys[..self.held - shorter]);
                self.held = shorter;
            }
            if self.keys[self.held] == byte {
                self.held += 1;
                if self.held == self.keys.len() {
                    self.held = 0;
                    return true;
                }
            } else {
                output.push(byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        for (text, keys) in [
            ("", &b""[..]),
            (DEFAULT, &[16, 17]),
            ("ctrl-a,a", &[1, b'a']),
            (
                "ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_",
                &[0, 27, 28, 29, 30, 31],
            ),
            ("CTRL-z", &[26]),
            ("x", b"x"),
        ] {
            assert_eq!(parse(text), Ok(keys.to_vec()), "{text}");
        }
        for text in [
            ",", "ctrl-", "ctrl-1", "ctrl-A", "ab", "ctrl-p,", "ä", "ctrl-pp",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn matching_across_reads() {
        let feed = |keys: &[u8], parts: &[&[u8]]| {
            let mut matcher = Matcher::new(keys.to_vec());
            let mut output = Vec::new();
            let found = parts.iter().any(|part| matcher.feed(part, &mut output));
            (found, output)
        };
        assert_eq!(
            feed(&[16, 17], &[b"ab\x10", b"\x11cd"]),
            (true, b"ab".to_vec())
        );
        assert_eq!(
            feed(&[16, 17], &[b"ab\x10", b"cd"]),
            (false, b"ab\x10cd".to_vec())
        );
        assert_eq!(
            feed(&[16, 17], &[b"\x10\x10\x11"]),
            (true, b"\x10".to_vec())
        );
        assert_eq!(feed(b"aab", &[b"aaab"]), (true, b"a".to_vec()));
        assert_eq!(feed(b"abac", &[b"abab", b"ac"]), (true, b"ab".to_vec()));
        assert_eq!(feed(b"", &[b"\x10\x11"]), (false, b"\x10\x11".to_vec()));
    }
}
