//! SHA-256 digests as OCI writes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A content digest, `sha256:` and 64 hex digits.
///
/// Source: OCI image spec, "Digests". SHA-512 is refused: no registry in use serves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// From the 32 bytes of a finished SHA-256.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", hex(bytes)))
    }

    /// Parses `sha256:<64 lower-case hex digits>`.
    pub fn parse(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("sha256:").ok_or_else(|| {
            Error::invalid(format!("digest `{text}` does not start with `sha256:`"))
        })?;
        if digits.len() == 64
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid(format!(
                "digest `{text}` is not `sha256:` and 64 lower-case hex digits"
            )))
        }
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }

    /// The first 12 hex digits, as listings show it.
    pub fn short(&self) -> &str {
        &self.0[7..19]
    }

    /// The whole text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_show() {
        let digest = Digest::from_bytes(&[0x1f; 32]);
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
        assert_eq!(digest.short(), "1f1f1f1f1f1f");
        for bad in [
            "",
            "sha256:",
            "sha256:1F",
            "sha512:00",
            &format!("sha256:{}", "G".repeat(64)),
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }
}
