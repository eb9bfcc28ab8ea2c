//! Names of networks and of sandboxes on them.

use crate::{Error, Result};

/// Longest name of a network, in bytes.
const NAME_MAX: usize = 63;

/// Checks the name of a network: as Docker's, a letter or digit, then letters, digits, `_`, `.` and `-`.
pub fn validate(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest && name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(
        Error::invalid(format!("invalid network name `{}`", name.escape_debug()))
            .with_hint("a letter or digit, then letters, digits, `_`, `.` and `-`, at most 63"),
    )
}

/// Checks a name that is not to be a mode either.
pub fn validate_new(name: &str) -> Result<()> {
    validate(name)?;
    if matches!(
        name,
        "none" | "host" | "default" | super::BRIDGE | "container"
    ) {
        return Err(Error::invalid(format!(
            "a network cannot be called `{name}`: that is a network mode"
        )));
    }
    Ok(())
}

/// Checks a name that a sandbox is to have on a network, for the DNS: labels of letters, digits, `-` and `_`. Gives it
/// in lower case.
pub fn alias(text: &str) -> Result<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(
        Error::invalid(format!("invalid network alias `{}`", text.escape_debug()))
            .with_hint("letters, digits, `-`, `_` and dots between them"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "0", "shop_1.x-y", &"a".repeat(63)] {
            assert_eq!(validate_new(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", &"a".repeat(64)] {
            assert!(validate(bad).is_err(), "{bad:?}");
        }
        for mode in ["none", "host", "bridge", "default", "container"] {
            assert!(validate_new(mode).is_err(), "{mode}");
        }
        assert_eq!(alias("DB.example"), Ok("db.example".into()));
        for bad in ["", ".", "a.", "a..b", "a b", &"a".repeat(64)] {
            assert!(alias(bad).is_err(), "{bad:?}");
        }
    }
}
