//! The `Host` of an HTTP/1 request. Source: RFC 9112, section 3.2.

use super::{Found, host};

const METHOD_MAX: usize = 20;

pub(super) fn look(bytes: &[u8]) -> Found {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        let method = bytes.iter().position(|byte| *byte == b' ');
        let plausible = match method {
            Some(length) => length <= METHOD_MAX,
            None => bytes.len() <= METHOD_MAX,
        };
        return if plausible {
            Found::More
        } else {
            Found::Nothing
        };
    };
    let mut lines = bytes[..end]
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some((target, version)) = lines.next().and_then(request_line) else {
        return Found::Nothing;
    };
    if !version.starts_with(b"HTTP/1.") {
        return Found::Nothing;
    }
    let mut named = None;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Found::Nothing;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            // Two of them are an attempt to have two readers see two names.
            if named.replace(value).is_some() {
                return Found::Nothing;
            }
        }
    }
    let Some(field) = named.and_then(without_port) else {
        return Found::Nothing;
    };
    // The absolute form names the target once more; servers go by it.
    if let Some(rest) = target.strip_prefix(b"http://") {
        let authority = rest
            .split(|byte| b"/?#".contains(byte))
            .next()
            .unwrap_or(rest);
        if without_port(authority).as_ref() != Some(&field) {
            return Found::Nothing;
        }
    }
    Found::Http(field)
}

fn request_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line.split(|byte| *byte == b' ');
    let (_, target, version) = (words.next()?, words.next()?, words.next()?);
    words.next().is_none().then_some((target, version))
}

fn without_port(authority: &[u8]) -> Option<String> {
    let name = match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority[colon + 1..].iter().all(u8::is_ascii_digit) => &authority[..colon],
        _ => authority,
    };
    host(name)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let http = |name: &str| Found::Http(name.into());
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHost: PyPI.org\r\n\r\n", http("pypi.org")),
            (
                "GET / HTTP/1.1\r\nA: b\r\nhost:a.b:8080\r\n\r\nbody",
                http("a.b"),
            ),
            (
                "GET http://a.b/x HTTP/1.1\r\nHost: a.b\r\n\r\n",
                http("a.b"),
            ),
            (
                "GET http://evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n",
                Found::Nothing,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                Found::Nothing,
            ),
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", Found::Nothing),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Found::Nothing),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Found::Nothing),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Found::Nothing),
            ("GET / HTTP/1.1\r\nHost", Found::More),
            ("GET", Found::More),
            ("averylongwordwithoutanyspace", Found::Nothing),
        ] {
            assert_eq!(look(text.as_bytes()), expected, "{text:?}");
        }
    }
}
