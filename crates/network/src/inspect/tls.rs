//! The server name of a TLS ClientHello. Source: RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3.

use super::{Found, LOOK_MAX, host};

/// Content type of handshake records.
pub(super) const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;

pub(super) fn look(bytes: &[u8]) -> Found {
    let mut handshake = Vec::new();
    let mut rest = bytes;
    // The message may be cut into several records.
    loop {
        if let Some(length) = whole(&handshake) {
            return name(&handshake[4..length]).unwrap_or(Found::Unclear);
        }
        if handshake.first().is_some_and(|kind| *kind != CLIENT_HELLO) || handshake.len() > LOOK_MAX
        {
            return Found::Unclear;
        }
        let Some((head, body)) = rest.split_at_checked(5) else {
            return if rest.first().is_none_or(|kind| *kind == HANDSHAKE) {
                Found::More
            } else {
                Found::Unclear
            };
        };
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if head[0] != HANDSHAKE || head[1] != 3 || length == 0 || length > LOOK_MAX {
            return Found::Unclear;
        }
        let Some((fragment, behind)) = body.split_at_checked(length) else {
            return Found::More;
        };
        handshake.extend_from_slice(fragment);
        rest = behind;
    }
}

/// Length of the handshake message with its head, once all of it is there.
fn whole(handshake: &[u8]) -> Option<usize> {
    let head = handshake.get(..4)?;
    if head[0] != CLIENT_HELLO {
        return None;
    }
    let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize + 4;
    (handshake.len() >= length).then_some(length)
}

/// What a whole message says; `None` for one that is broken.
fn name(hello: &[u8]) -> Option<Found> {
    // Version and random.
    let mut reader = Reader(hello.get(34..)?);
    reader.block(1)?; // session id
    reader.block(2)?; // cipher suites
    reader.block(1)?; // compression
    if reader.0.is_empty() {
        return Some(Found::Nothing);
    }
    let mut extensions = Reader(reader.block(2)?);
    let mut found = Found::Nothing;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let body = extensions.block(2)?;
        if kind != usize::from(SERVER_NAME) {
            continue;
        }
        let mut list = Reader(Reader(body).block(2)?);
        // The one type of name there is, and one of it: which of two would be meant is the server's choice.
        let (kind, name) = (list.number(1)?, list.block(2)?);
        if kind != 0 || !list.0.is_empty() || found != Found::Nothing {
            return None;
        }
        found = Found::Tls(host(name)?);
    }
    Some(found)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self, width: usize) -> Option<usize> {
        let (head, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        Some(
            head.iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    fn block(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        let (block, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenSSL 3 sends for `files.pythonhosted.org`, as one record.
    const HELLO: &str = include_str!("hello.hex");

    fn hello() -> Vec<u8> {
        let digits: Vec<u8> = HELLO.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn a_hello_of_openssl_whole_in_pieces_and_cut() {
        let bytes = hello();
        let expected = Found::Tls("files.pythonhosted.org".into());
        assert_eq!(look(&bytes), expected);
        for length in 1..bytes.len() {
            assert_eq!(look(&bytes[..length]), Found::More, "{length}");
        }
        // The same in records of 50 bytes.
        let pieces: Vec<u8> = bytes[5..]
            .chunks(50)
            .flat_map(|piece| [&[HANDSHAKE, 3, 1, 0, piece.len() as u8], piece].concat())
            .collect();
        assert_eq!(look(&pieces), expected);
    }

    /// A hello with these extensions, as one record.
    fn with_extensions(extensions: &[u8]) -> Vec<u8> {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let body = [&[3; 34][..], &[0, 0, 2, 0x13, 1, 1, 0], &sized(extensions)].concat();
        let message = [&[CLIENT_HELLO, 0], &sized(&body)[..]].concat();
        [&[HANDSHAKE, 3, 1], &sized(&message)[..]].concat()
    }

    /// The extension with these names in its list.
    fn server_names(names: &[&str]) -> Vec<u8> {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let list: Vec<u8> = names
            .iter()
            .flat_map(|name| [&[0], &sized(name.as_bytes())[..]].concat())
            .collect();
        [&[0, 0], &sized(&sized(&list))[..]].concat()
    }

    #[test]
    fn one_name_or_none() {
        let found = |extensions: &[u8]| look(&with_extensions(extensions));
        assert_eq!(
            found(&server_names(&["Good.org."])),
            Found::Tls("good.org".into())
        );
        assert_eq!(found(&[]), Found::Nothing);
        assert_eq!(found(&[0, 10, 0, 0]), Found::Nothing);
        let twice = [server_names(&["good.org"]), server_names(&["evil.org"])].concat();
        for unclear in [
            twice,
            server_names(&["good.org", "evil.org"]),
            server_names(&["evil org"]),
            server_names(&[""]),
            vec![0, 0, 0, 9],
        ] {
            assert_eq!(found(&unclear), Found::Unclear, "{unclear:?}");
        }
    }

    #[test]
    fn what_is_no_hello() {
        for bytes in [
            &[HANDSHAKE, 3, 1, 0, 0][..],
            &[HANDSHAKE, 2, 1, 0, 1, 1],
            &[HANDSHAKE, 3, 1, 0, 4, 2, 0, 0, 0],
            &[HANDSHAKE, 3, 1, 0, 4, 1, 0, 0, 0],
        ] {
            assert_eq!(look(bytes), Found::Unclear, "{bytes:?}");
        }
    }
}
