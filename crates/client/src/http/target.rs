//! Paths and queries of requests.

use std::fmt;

/// What follows the API's prefix in a request line: path segments, then a query.
#[derive(Debug, Clone, Default)]
pub struct Target {
    path: String,
    query: String,
    /// Further header fields, each with its line end.
    fields: String,
}

impl Target {
    /// A target of segments; each is escaped.
    pub(crate) fn new<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::below(shedbox_spec::api::PREFIX, segments)
    }

    /// The same in the Docker API, see [`Client::docker`](crate::Client::docker).
    pub fn docker<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::below("", segments)
    }

    fn below<'a>(prefix: &str, segments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut path = prefix.to_owned();
        for segment in segments {
            path.push('/');
            escape(segment, &mut path);
        }
        Self {
            path,
            query: String::new(),
            fields: String::new(),
        }
    }

    /// Adds a header field. The value must have no line ends.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        if !value.contains(['\r', '\n']) {
            self.fields.push_str(name);
            self.fields.push_str(": ");
            self.fields.push_str(value);
            self.fields.push_str("\r\n");
        }
        self
    }

    pub(crate) fn fields(&self) -> &str {
        &self.fields
    }

    /// Adds `name=value` to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(name);
        self.query.push('=');
        escape(&value.to_string(), &mut self.query);
        self
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        Ok(())
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping() {
        let target = Target::new(["sandboxes", "a b/../c", "logs"])
            .query("ref", "r:5000/x@sha256:1")
            .query("n", 3);
        assert_eq!(
            target.to_string(),
            "/shedbox/v1/sandboxes/a%20b%2F..%2Fc/logs?ref=r%3A5000%2Fx%40sha256%3A1&n=3"
        );
        assert_eq!(Target::new(["é"]).to_string(), "/shedbox/v1/%C3%A9");
    }
}
