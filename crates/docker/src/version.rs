//! Versions of the API: `/v1.NN/` before a path, or the newest one.

use shedbox_spec::{Error, Result};

/// The newest that is spoken.
pub const MAX: Version = Version(1, 47);
/// The oldest.
pub const MIN: Version = Version(1, 24);
/// The version of the engine that we say we are, for clients that look at it (digits and dots alone).
pub const ENGINE: &str = "27.5.1";

/// A version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Splits a path into its version and the rest, which begins with a slash.
pub fn split(path: &str) -> Result<(Version, &str)> {
    let Some(rest) = path.strip_prefix("/v") else {
        return Ok((MAX, path));
    };
    let Some((version, rest)) = rest.find('/').map(|at| rest.split_at(at)) else {
        return Ok((MAX, path));
    };
    let numbers = version
        .split_once('.')
        .and_then(|(major, minor)| Some(Version(number(major)?, number(minor)?)));
    let Some(asked) = numbers else {
        // `/volumes/…` and the like.
        return Ok((MAX, path));
    };
    if asked > MAX {
        return Err(Error::invalid(format!(
            "client version {asked} is too new. Maximum supported API version is {MAX}"
        )));
    }
    if asked < MIN {
        return Err(Error::invalid(format!(
            "client version {asked} is too old. Minimum supported API version is {MIN}, please upgrade your client to a \
             newer version"
        )));
    }
    Ok((asked, rest))
}

fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_paths() {
        assert_eq!(split("/v1.41/_ping"), Ok((Version(1, 41), "/_ping")));
        assert_eq!(split("/_ping"), Ok((MAX, "/_ping")));
        assert_eq!(split("/volumes/x"), Ok((MAX, "/volumes/x")));
        assert_eq!(split("/v1.41"), Ok((MAX, "/v1.41")));
        assert!(split("/v1.48/x").unwrap_err().message.contains("too new"));
        assert!(split("/v1.12/x").unwrap_err().message.contains("too old"));
    }
}
