//! Lines into words: the keyword, its flags, key=value words and JSON arrays.

use crate::Problem;

/// A line taken apart: keyword, flags, and what follows them.
pub(crate) struct Command<'a> {
    pub(crate) keyword: &'a str,
    pub(crate) flags: Vec<String>,
    pub(crate) arguments: &'a str,
}

/// Splits a line into its keyword, the `--flags` right behind it, and the rest, trimmed.
pub(crate) fn split_command(line: &str) -> Command<'_> {
    let line = line.trim();
    let Some((keyword, rest)) = line.split_once(is_blank) else {
        return Command {
            keyword: line,
            flags: Vec::new(),
            arguments: "",
        };
    };
    let (flags, arguments) = split_flags(rest);
    Command {
        keyword,
        flags,
        arguments: arguments.trim(),
    }
}

/// The blanks that separate words inside a line.
pub(crate) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// Words between blanks, as they are: quotes mean nothing here.
pub(crate) fn split_blanks(text: &str) -> Vec<String> {
    text.split(is_blank)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Takes the words that start with `--` from the front. Quotes and backslashes are removed; `--` alone ends the flags.
fn split_flags(line: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line.trim_start();
    while rest.starts_with("--") {
        let (flag, after) = next_flag(rest);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    (flags, rest)
}

/// The first word of a text with quotes and backslashes removed, and what follows it.
fn next_flag(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, character) if character.is_whitespace() => {
                return (word, text.get(at..).unwrap_or_default());
            }
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), character) if open == character => quote = None,
            // A backslash at the very end is dropped.
            (_, '\\') => word.extend(characters.next().map(|(_, escaped)| escaped)),
            (_, character) => word.push(character),
        }
    }
    (word, "")
}

/// Words of ENV, LABEL and ARG: separated by white space, quotes keep words together and stay, escapes stay.
pub(crate) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        // Nothing can be escaped between single quotes.
        if character == escape && quote != Some('\'') {
            // An escape at the very end is dropped.
            if let Some(escaped) = characters.next() {
                word.push(character);
                word.push(escaped);
            }
            continue;
        }
        match quote {
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The strings of a JSON array. None when the text is no JSON array at all, which makes it shell form; an array of
/// other things is an error, as it is in Docker.
pub(crate) fn json_array(text: &str) -> Result<Option<Vec<String>>, Problem> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
        return Ok(None);
    };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(string) => Ok(string),
        _ => Err(Problem::NotOnlyStrings),
    });
    strings.collect::<Result<_, _>>().map(Some)
}
