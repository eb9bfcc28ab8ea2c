//! Environment variables of the command line: `--env` and the files of `--env-file`.
//!
//! A file has one variable a line. Blank lines and lines that start with `#` are passed over, values are taken as they
//! are (no quotes, no expansion, trailing blanks kept), and a name alone takes the caller's value, or nothing when the
//! caller has none. Source: Docker's `--env-file`.

use crate::{Error, Result};

/// Parses the content of an env file. `name` names the file in errors; `caller` looks up the caller's environment.
pub fn parse(
    content: &[u8],
    name: &str,
    caller: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut variables = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let at = || format!("env file {name}, line {}", index + 1);
        let line = std::str::from_utf8(line)
            .map_err(|_| Error::invalid(format!("{}: invalid UTF-8", at())))?
            .trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.contains('\0') {
            return Err(Error::invalid(format!("{}: it has a NUL byte", at())));
        }
        let (variable, value) = match line.split_once('=') {
            Some((variable, value)) => (variable, Some(value)),
            None => (line.trim_end(), None),
        };
        if variable.is_empty() {
            return Err(Error::invalid(format!(
                "{}: no variable name in `{line}`",
                at()
            )));
        }
        if variable.contains([' ', '\t']) {
            return Err(Error::invalid(format!(
                "{}: variable `{variable}` contains whitespaces",
                at()
            )));
        }
        match value {
            Some(value) => variables.push(format!("{variable}={value}")),
            None => variables.extend(caller(variable).map(|value| format!("{variable}={value}"))),
        }
    }
    Ok(variables)
}

/// Parses the value of `--env`: `NAME=VALUE`, or a name alone that takes the caller's value. When the caller has no such
/// variable it stays alone, which takes one of the image away.
pub fn parse_argument(text: &str, caller: impl Fn(&str) -> Option<String>) -> Result<String> {
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    if name.is_empty() || text.contains('\0') {
        return Err(Error::invalid(format!(
            "invalid environment variable `{}`",
            text.escape_debug()
        ))
        .with_hint("write it as `NAME=VALUE`, or `NAME` to pass on your own"));
    }
    if name.len() < text.len() {
        return Ok(text.to_owned());
    }
    Ok(caller(name).map_or_else(|| name.to_owned(), |value| format!("{name}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".to_owned())
    }

    #[test]
    fn as_docker_reads_it() {
        let content = b"\xef\xbb\xbf# comment\n\nA=1\n  B=2 \nC= x = y \r\nQ=\"quoted\"\nE=\nHOME\nHOME  \nUNSET\n\t# more\nF=a#b\n_x-y.z=1";
        assert_eq!(
            parse(content, "f", caller).unwrap(),
            [
                "A=1",
                "B=2 ",
                "C= x = y ",
                "Q=\"quoted\"",
                "E=",
                "HOME=/home/me",
                "HOME=/home/me",
                "F=a#b",
                "_x-y.z=1"
            ]
        );
        assert_eq!(parse(b"", "f", caller).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn refused() {
        for (content, message) in [
            (
                &b"A=1\n=x"[..],
                "env file f, line 2: no variable name in `=x`",
            ),
            (
                b"A B=1",
                "env file f, line 1: variable `A B` contains whitespaces",
            ),
            (
                b"A B",
                "env file f, line 1: variable `A B` contains whitespaces",
            ),
            (
                b"A =1",
                "env file f, line 1: variable `A ` contains whitespaces",
            ),
            (b"\n\nA=\xff", "env file f, line 3: invalid UTF-8"),
            (b"A=\0", "env file f, line 1: it has a NUL byte"),
        ] {
            assert_eq!(parse(content, "f", caller).unwrap_err().message, message);
        }
    }

    #[test]
    fn arguments() {
        for (text, expected) in [
            ("A=1", "A=1"),
            ("A=", "A="),
            ("A=b=c", "A=b=c"),
            ("HOME", "HOME=/home/me"),
            ("UNSET", "UNSET"),
        ] {
            assert_eq!(parse_argument(text, caller).unwrap(), expected);
        }
        for text in ["", "=", "=x", "A=\0"] {
            assert!(parse_argument(text, caller).is_err(), "{text:?}");
        }
    }
}
