//! Paths and queries of requests: percent-decoding and typed values.

use shedbox_spec::{Error, Result};

/// The decoded query of a request, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what follows the `?`.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        let pairs = text
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((
                    decode(&key.replace('+', " "))?,
                    decode(&value.replace('+', " "))?,
                ))
            });
        pairs.collect::<Result<_>>().map(Self)
    }

    /// The first value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a key that must be there.
    pub(crate) fn require(&self, key: &str) -> Result<&str> {
        self.get(key)
            .ok_or_else(|| Error::invalid(format!("the query has no `{key}`")))
    }

    /// All values of a key.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(found, _)| found == key)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// `1`, `true` or nothing after the key is true; absent, `0` and `false` are false.
    pub(crate) fn flag(&self, key: &str) -> Result<bool> {
        self.flag_or(key, false)
    }

    /// The same with another meaning of an absent key.
    pub(crate) fn flag_or(&self, key: &str, absent: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(absent),
            // Go's words and Python's.
            Some("0" | "false" | "False" | "f" | "F" | "FALSE") => Ok(false),
            Some("" | "1" | "true" | "True" | "t" | "T" | "TRUE") => Ok(true),
            Some(other) => Err(Error::invalid(format!(
                "`{key}={other}` is neither true nor false"
            ))),
        }
    }

    /// A number, when the key is there.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Error::invalid(format!("`{key}={text}` is not a number in range"))),
        }
    }
}

/// Undoes percent-encoding. Source: RFC 3986, section 2.1.
pub(crate) fn decode(text: &str) -> Result<String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let wrong = || Error::invalid(format!("`{text}` is not properly percent-encoded"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = tail
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .ok_or_else(wrong)?;
            let valid = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            bytes.push(
                u8::from_str_radix(digits, 16)
                    .ok()
                    .filter(|_| valid)
                    .ok_or_else(wrong)?,
            );
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding() {
        assert_eq!(decode("a%2Fb%3a%C3%A4").unwrap(), "a/b:ä");
        for bad in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn typed_values() {
        let query = Query::parse(Some("force=1&all&ref=a%3A1&ref=b+c&n=12&x=no")).unwrap();
        assert!(
            query.flag("force").unwrap()
                && query.flag("all").unwrap()
                && !query.flag("none").unwrap()
        );
        assert!(query.flag("x").is_err());
        assert_eq!(query.all("ref"), ["a:1", "b c"]);
        assert_eq!(query.number::<u64>("n").unwrap(), Some(12));
        assert_eq!(query.number::<u64>("none").unwrap(), None);
        assert!(query.number::<u8>("x").is_err());
        assert!(query.require("none").is_err());
        assert_eq!(Query::parse(None).unwrap(), Query::default());
    }
}
