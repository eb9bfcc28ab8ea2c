//! The name in an HTTP/1 request. Source: RFC 9112, section 3.2.
//!
//! Servers differ in what they make of a request that is not well formed. One that could be read in two ways names nobody.

use std::net::Ipv6Addr;

use super::{Found, host};

const METHOD_MAX: usize = 20;

pub(super) fn look(bytes: &[u8]) -> Found {
    let first = bytes.iter().position(|byte| *byte == b'\n');
    let request = match first {
        Some(end) => match request_line(bytes[..end].trim_ascii_end()) {
            Some(request) => request,
            None => return Found::Nothing,
        },
        None => return before_the_first_line(bytes),
    };
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Found::More;
    };
    named(request, &bytes[..end]).unwrap_or(Found::Unclear)
}

fn before_the_first_line(bytes: &[u8]) -> Found {
    let word = bytes
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(bytes.len());
    if word <= METHOD_MAX {
        Found::More
    } else {
        Found::Nothing
    }
}

/// What a whole head says; `None` when that depends on the reader.
fn named(target: &[u8], head: &[u8]) -> Option<Found> {
    let mut names = authority(target).into_iter().collect::<Vec<_>>();
    let mut hosts = 0;
    let mut rest = head;
    let mut lines = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    for line in &lines {
        // Some take each of them for the end of a line.
        if line.iter().any(|byte| b"\r\n\0".contains(byte)) {
            return None;
        }
    }
    for line in lines.iter().skip(1) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Spaces before the colon are cut off by some; a line that begins with one goes on with the line before.
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"host") {
            names.push(value);
            hosts += 1;
        }
    }
    if hosts > 1 {
        return None;
    }
    let mut names = names.into_iter();
    let Some(first) = names.next() else {
        return Some(Found::Nothing);
    };
    let first = without_port(first)?;
    // The absolute form names the target once more; servers go by it, or do not.
    for other in names {
        if without_port(other)? != first {
            return None;
        }
    }
    Some(match first {
        Authority::Name(name) => Found::Http(name),
        Authority::Address(_) => Found::Nothing,
    })
}

/// The target of a request of HTTP/1.
fn request_line(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ');
    let (_, target, version) = (words.next()?, words.next()?, words.next()?);
    (words.next().is_none() && version.starts_with(b"HTTP/1.")).then_some(target)
}

/// Whom a target names: nobody in the origin form, `/path`, and in the asterisk form.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.starts_with(b"/") || target == b"*" {
        return None;
    }
    // Schemes are the same in upper case. Without one it is the authority form.
    let rest = match find(target, b"://") {
        Some(scheme) => &target[scheme + 3..],
        None => target,
    };
    rest.split(|byte| b"/?#\\".contains(byte)).next()
}

#[derive(Debug, PartialEq, Eq)]
enum Authority {
    Name(String),
    Address(Ipv6Addr),
}

fn without_port(authority: &[u8]) -> Option<Authority> {
    let name = match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if authority[colon + 1..].iter().all(u8::is_ascii_digit) => &authority[..colon],
        _ => authority,
    };
    if let Some(inner) = name
        .strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"))
    {
        let address = std::str::from_utf8(inner).ok()?.parse().ok()?;
        return Some(Authority::Address(address));
    }
    host(name).map(Authority::Name)
}

/// Source: RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHost: PyPI.org\r\n\r\n", "pypi.org"),
            ("GET / HTTP/1.1\r\nA: b\r\nhost:a.b:8080\r\n\r\nbody", "a.b"),
            ("GET http://a.b/x HTTP/1.1\r\nHost: a.b\r\n\r\n", "a.b"),
            ("GET http://a.b:80?x HTTP/1.0\r\n\r\n", "a.b"),
            ("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n", "a.b"),
            ("OPTIONS * HTTP/1.1\r\nHost: a.b\r\n\r\n", "a.b"),
            ("GET / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n", "1.2.3.4"),
        ] {
            assert_eq!(
                look(text.as_bytes()),
                Found::Http(expected.into()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_names_nobody() {
        for text in [
            "GET / HTTP/1.1\r\nA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "SSH-2.0-x y\r\n",
            "averylongwordwithoutanyspace",
        ] {
            assert_eq!(look(text.as_bytes()), Found::Nothing, "{text:?}");
        }
        for text in [
            "GET / HTTP/1.1\r\nHost",
            "GET",
            "GET / HTTP/1.1\nHost: a\n\n",
        ] {
            assert_eq!(look(text.as_bytes()), Found::More, "{text:?}");
        }
    }

    /// Each of these is a request to `evil` for some server.
    #[test]
    fn what_could_be_read_in_two_ways() {
        for text in [
            "GET http://evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "GET HTTP://evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "GET https://evil/x HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "GET http://a.b@evil/ HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "GET http://evil\\.a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "CONNECT evil:80 HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: evil\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : evil\r\nHost: a.b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.b\r\n Host: evil\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.b\r\nX: y\rHost: evil\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.b\r\nX: y\nHost: evil\r\n\r\n",
            "GET / HTTP/1.1\nHost: evil\n\nHost: a.b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        ] {
            assert_eq!(look(text.as_bytes()), Found::Unclear, "{text:?}");
        }
    }
}
