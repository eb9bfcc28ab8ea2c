//! Docker's functions on text: `split`, `title`, `lower`, `upper`, `pad`, `truncate`.

use crate::{collection, limits};

/// Go's `strings.Split`; an empty separator gives the characters.
pub(crate) fn split(text: &str, separator: &str) -> Result<Vec<String>, String> {
    let parts = if separator.is_empty() {
        text.chars().count()
    } else {
        text.matches(separator).count()
    };
    if parts >= limits::SPLIT_PARTS {
        return Err(format!("more than {} parts", limits::SPLIT_PARTS));
    }
    Ok(if separator.is_empty() {
        text.chars().map(String::from).collect()
    } else {
        text.split(separator).map(str::to_owned).collect()
    })
}

/// Go's `strings.Title`: a capital at the start of each word.
pub(crate) fn title(text: &str) -> String {
    let mut is_start = true;
    text.chars()
        .map(|c| {
            let shown = if is_start { upper_char(c) } else { c };
            // Outside ASCII Go takes only white space for the end of a word.
            is_start = if c.is_ascii() {
                !(c.is_ascii_alphanumeric() || c == '_')
            } else {
                c.is_whitespace()
            };
            shown
        })
        .collect()
}

/// Go's `strings.ToLower`: character by character.
pub(crate) fn lower(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut mapped = c.to_lowercase();
            match (mapped.next(), mapped.next()) {
                (Some(lower), None) => lower,
                // The one capital that maps to two characters; Go drops the dot.
                _ if c == '\u{130}' => 'i',
                _ => c,
            }
        })
        .collect()
}

/// Go's `strings.ToUpper`: character by character, so that `ß` stays.
pub(crate) fn upper(text: &str) -> String {
    text.chars().map(upper_char).collect()
}

fn upper_char(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

/// Spaces around a text that is not empty.
pub(crate) fn pad(text: &str, before: i64, after: i64) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let count = |count: i64| {
        usize::try_from(count).map_err(|_| "strings: negative Repeat count".to_owned())
    };
    let (before, after) = (count(before)?, count(after)?);
    if before.saturating_add(after).saturating_add(text.len()) > limits::OUTPUT_BYTES {
        return Err(format!("text has more than {} bytes", limits::OUTPUT_BYTES));
    }
    Ok(format!("{}{text}{}", " ".repeat(before), " ".repeat(after)))
}

/// The first `length` bytes; half a character becomes U+FFFD.
pub(crate) fn truncate(text: &str, length: i64) -> Result<String, String> {
    match usize::try_from(length) {
        Ok(length) => Ok(collection::bytes(text, 0, length.min(text.len()))),
        Err(_) => Err(format!(
            "runtime error: slice bounds out of range [:{length}]"
        )),
    }
}
