//! PAX extended headers: `<length> <key>=<value>\n`, again and again. Pure parsing.

use shedbox_linux::meta::Timestamp;

/// What an extended header says of the entry that follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Timestamp>,
    /// `SCHILY.xattr.*`: name and value, in order; a later one of the same name wins.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `GNU.sparse.*`: key without that prefix, and value. Keys of the oldest form repeat.
    pub(crate) sparse: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Parses an extended header. The text of an error continues "layer is not a valid tar archive: ".
pub(crate) fn parse(mut data: &[u8]) -> Result<Pax, String> {
    let mut pax = Pax::default();
    while !data.is_empty() {
        let (key, value, rest) = record(data).ok_or("an extended header is malformed")?;
        data = rest;
        let wrong = || format!("`{}` in an extended header", String::from_utf8_lossy(key));
        // An empty value takes a global value back; global ones we do not have.
        let empty = value.is_empty();
        match key {
            b"path" if !empty => pax.path = Some(value.to_vec()),
            b"linkpath" if !empty => pax.link = Some(value.to_vec()),
            b"size" if !empty => pax.size = Some(decimal(value).ok_or_else(wrong)?),
            b"uid" if !empty => pax.uid = Some(decimal(value).ok_or_else(wrong)?),
            b"gid" if !empty => pax.gid = Some(decimal(value).ok_or_else(wrong)?),
            b"mtime" if !empty => pax.mtime = Some(time(value).ok_or_else(wrong)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    pax.xattrs.push((name.to_vec(), value.to_vec()));
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    pax.sparse.push((name.to_vec(), value.to_vec()));
                }
            }
        }
    }
    Ok(pax)
}

/// Splits the first record off: key, value, rest. The length counts itself and the newline.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
        return None;
    }
    let text = &data[space + 1..length - 1];
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((&text[..equals], &text[equals + 1..], &data[length..]))
}

/// Decimal digits and nothing else.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds since 1970 with an optional fraction, possibly negative. Digits beyond nanoseconds are cut.
fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let mut nanos = 0_u32;
    for place in 0..9 {
        let digit = match fraction.get(place) {
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanos = nanos * 10 + digit;
    }
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(match (negative, nanos) {
        (false, nanos) => Timestamp { seconds, nanos },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanos: 0,
        },
        // Nanoseconds count forward: -1.25 is -2 and 0.75.
        (true, nanos) => Timestamp {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

/// Appends a record.
pub(crate) fn append(data: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3; // space, equals sign, newline
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    data.extend_from_slice(length.to_string().as_bytes());
    data.push(b' ');
    data.extend_from_slice(key);
    data.push(b'=');
    data.extend_from_slice(value);
    data.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_understood() {
        let data = b"11 path=ab\n19 linkpath=target\n16 mtime=12.345\n11 size=987\n\
            27 SCHILY.xattr.user.a=x\ny\n20 GNU.sparse.map=1\n13 unknown=1\n9 gid=70\n";
        assert_eq!(
            parse(data).unwrap_err(),
            "an extended header is malformed",
            "lengths in this text are wrong on purpose"
        );
        let mut data = Vec::new();
        for (key, value) in [
            (&b"path"[..], &b"a\xffb"[..]),
            (b"linkpath", b"target"),
            (b"mtime", b"12.3456789019"),
            (b"size", b"987"),
            (b"uid", b""),
            (b"gid", b"70000"),
            (b"SCHILY.xattr.user.a", b"x\ny=\0z"),
            (b"GNU.sparse.map", b"0,1"),
            (b"comment", b"hello"),
        ] {
            append(&mut data, key, value);
        }
        assert_eq!(
            parse(&data).unwrap(),
            Pax {
                path: Some(b"a\xffb".to_vec()),
                link: Some(b"target".to_vec()),
                size: Some(987),
                uid: None,
                gid: Some(70000),
                mtime: Some(Timestamp {
                    seconds: 12,
                    nanos: 345_678_901
                }),
                xattrs: vec![(b"user.a".to_vec(), b"x\ny=\0z".to_vec())],
                sparse: vec![(b"map".to_vec(), b"0,1".to_vec())],
            }
        );
    }

    #[test]
    fn times() {
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        for (text, expected) in [
            ("0", at(0, 0)),
            ("5.", at(5, 0)),
            ("-1", at(-1, 0)),
            ("-1.25", at(-2, 750_000_000)),
            ("1.000000001", at(1, 1)),
            ("", None),
            ("1.2.3", None),
            ("1e5", None),
            ("--1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn malformed_records() {
        for text in [
            "x",
            "5 a=",
            "0 a=b\n",
            "3 \n",
            "999 a=b\n",
            "6 a=bc\n",
            "6 abcd\n",
            " a=b\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(data: Vec<u8>) {
            let _ = parse(&data);
        }

        #[test]
        fn what_is_appended_is_parsed(value in proptest::collection::vec(any::<u8>(), 1..3000)) {
            let mut data = Vec::new();
            append(&mut data, b"path", &value);
            append(&mut data, b"SCHILY.xattr.user.x", &value);
            let pax = parse(&data).unwrap();
            prop_assert_eq!(pax.path, Some(value.clone()));
            prop_assert_eq!(pax.xattrs, vec![(b"user.x".to_vec(), value)]);
        }
    }
}
