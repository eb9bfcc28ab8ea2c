//! Whom the first bytes of a TCP stream say that they want.

mod http;
mod tls;

/// Most bytes that are looked at.
pub(crate) const LOOK_MAX: usize = 16 << 10;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not enough bytes yet.
    More,
    /// A TLS connection to this name, in lower case.
    Tls(String),
    /// An HTTP request to this name, in lower case.
    Http(String),
    /// Neither, or one without a name.
    Nothing,
    /// One that others may read another name from, or none.
    Unclear,
}

/// Looks at what has come so far.
pub(crate) fn look(bytes: &[u8]) -> Found {
    match bytes.first() {
        None => Found::More,
        Some(&tls::HANDSHAKE) => tls::look(bytes),
        // Servers skip empty lines before a request. Source: RFC 9112, section 2.2.
        Some(b'\r' | b'\n') => Found::Unclear,
        Some(byte) if byte.is_ascii_alphabetic() => http::look(bytes),
        Some(_) => Found::Nothing,
    }
}

/// A host name as it may stand in a rule: lower case, no dot at the end. `None` for what is none.
fn host(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (text.len() <= 253 && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = look(&bytes);
            let mut tls = vec![tls::HANDSHAKE, 3, 1];
            tls.extend(&bytes);
            let _ = look(&tls);
            let mut http = b"GET / HTTP/1.1\r\n".to_vec();
            http.extend(&bytes);
            let _ = look(&http);
        }
    }
}
