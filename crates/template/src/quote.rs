//! Go's quoted strings: reading those of a template, writing those of messages and of `%q`.

use std::fmt::Write as _;

/// The text of a quoted string literal, with its quotes; `None` when it is not one.
///
/// Bytes that are not UTF-8 (`"\xff"`) become U+FFFD: values of templates are text here.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    let mark = literal.chars().next()?;
    let body = literal.get(1..)?.strip_suffix(mark)?;
    match mark {
        // Go drops carriage returns from raw strings.
        '`' => (!body.contains('`')).then(|| body.replace('\r', "")),
        '"' => unescape(body),
        _ => None,
    }
}

fn unescape(body: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let (unit, after) = take_unit(rest, '"')?;
        match unit {
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(byte) => bytes.push(byte),
        }
        rest = after;
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The value of a character literal with its quotes, as `'a'`.
pub(crate) fn unquote_char(literal: &str) -> Result<i64, String> {
    let unit = literal
        .strip_prefix('\'')
        .and_then(|body| take_unit(body, '\''));
    let (unit, rest) = unit.ok_or("invalid syntax")?;
    if rest != "'" {
        return Err(format!("malformed character constant: {literal}"));
    }
    Ok(match unit {
        Unit::Char(c) => i64::from(u32::from(c)),
        Unit::Byte(byte) => i64::from(byte),
    })
}

enum Unit {
    Char(char),
    Byte(u8),
}

/// The first character or escape of `text`, and what follows it.
fn take_unit(text: &str, mark: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == mark || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = match escape {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if escape == mark => escape,
        'x' => {
            return take_digits(rest, 2, 16)
                .and_then(|(code, rest)| Some((Unit::Byte(code.try_into().ok()?), rest)));
        }
        'u' => {
            return take_digits(rest, 4, 16)
                .and_then(|(code, rest)| Some((Unit::Char(char::from_u32(code)?), rest)));
        }
        'U' => {
            return take_digits(rest, 8, 16)
                .and_then(|(code, rest)| Some((Unit::Char(char::from_u32(code)?), rest)));
        }
        '0'..='7' => {
            let digits = text.get(1..)?;
            return take_digits(digits, 3, 8)
                .and_then(|(code, rest)| Some((Unit::Byte(code.try_into().ok()?), rest)));
        }
        _ => return None,
    };
    Some((Unit::Char(simple), rest))
}

fn take_digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let digits = text.get(..count)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(digits, radix).ok()?, text.get(count..)?))
}

/// `text` in double quotes, with escapes where Go has them.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_escaped(&mut quoted, c, '"', false);
    }
    quoted.push('"');
    quoted
}

/// As [`quote`], but nothing outside ASCII stays as it is.
pub(crate) fn quote_ascii(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_escaped(&mut quoted, c, '"', true);
    }
    quoted.push('"');
    quoted
}

/// `c` in single quotes.
pub(crate) fn quote_char(c: char, ascii: bool) -> String {
    let mut quoted = String::from('\'');
    push_escaped(&mut quoted, c, '\'', ascii);
    quoted.push('\'');
    quoted
}

fn push_escaped(out: &mut String, c: char, mark: char, ascii: bool) {
    let code = u32::from(c);
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        _ if c == mark => {
            out.push('\\');
            out.push(c);
        }
        _ if is_printable(c) && (c.is_ascii() || !ascii) => out.push(c),
        // Writing to a string cannot fail.
        _ if code < 0x80 => _ = write!(out, "\\x{code:02x}"),
        _ if code < 0x1_0000 => _ = write!(out, "\\u{code:04x}"),
        _ => _ = write!(out, "\\U{code:08x}"),
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // The standard library's table is reachable through its escaping only; it escapes a combining mark only at the
    // start, hence the letter before it.
    let mut buffer = String::from('a');
    buffer.push(c);
    buffer.escape_debug().count() == 2
}
