//! Sandbox ids and names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An identity that is so many random bytes, in lower-case hex digits.
macro_rules! hex_id {
    ($(#[$about:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// An id from random bytes.
            pub fn from_bytes(bytes: &[u8; $bytes]) -> Self {
                Self(crate::digest::hex(bytes))
            }

            /// The first 12 digits, as listings show it.
            pub fn short(&self) -> &str {
                &self.0[..12]
            }

            /// All digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                if text.len() == 2 * $bytes && text.bytes().all(is_digit) {
                    Ok(Self(text))
                } else {
                    Err(Error::invalid(format!(
                        "`{text}` is not a {} id ({} hex digits)",
                        $what,
                        2 * $bytes
                    )))
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

hex_id!(
    /// The identity of a sandbox: 64 lower-case hex digits, as Docker's container ids.
    SandboxId,
    32,
    "sandbox"
);

hex_id!(
    /// The identity of a snapshot: 32 lower-case hex digits. Short, so that a symbolic link that names one fits into its
    /// inode.
    SnapshotId,
    16,
    "snapshot"
);

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Checks the tag of a snapshot: `[a-zA-Z0-9_][a-zA-Z0-9_.-]*` of at most 128 bytes, as an image's.
pub fn validate_tag(tag: &str) -> Result<()> {
    crate::reference::check_tag(tag).map_err(|why| {
        Error::invalid(format!(
            "invalid tag `{}` of a snapshot: {why}",
            tag.escape_debug()
        ))
    })
}

/// Checks a sandbox name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, as Docker, and at most 128 bytes.
pub fn validate_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest_ok =
        name.len() >= 2 && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if first_ok && rest_ok && name.len() <= 128 {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "invalid sandbox name `{name}`: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ up to 128 bytes is allowed"
        )))
    }
}

const ADJECTIVES: &[&str] = &[
    "able", "amber", "bold", "brave", "brisk", "calm", "clear", "clever", "cosy", "crisp", "deft",
    "eager", "early", "fair", "fleet", "fond", "fresh", "gentle", "glad", "golden", "grand",
    "happy", "hardy", "honest", "ideal", "jolly", "keen", "kind", "lively", "loyal", "lucid",
    "merry", "mild", "modest", "neat", "nimble", "noble", "odd", "open", "plain", "prime", "proud",
    "quick", "quiet", "rapid", "ready", "robust", "round", "sharp", "silent", "simple", "smart",
    "smooth", "solid", "steady", "still", "sunny", "swift", "tidy", "vivid", "warm", "wise",
    "young", "zesty",
];

const NOUNS: &[&str] = &[
    "acorn", "anvil", "arch", "badger", "barn", "basin", "beacon", "birch", "bolt", "brook",
    "cabin", "cedar", "chisel", "cliff", "clover", "comet", "coral", "crane", "delta", "dune",
    "eagle", "ember", "falcon", "fern", "fjord", "forge", "garden", "glade", "harbor", "hawk",
    "hazel", "heron", "island", "ivy", "juniper", "kiln", "lantern", "larch", "ledge", "lynx",
    "maple", "marsh", "meadow", "mill", "nest", "oak", "orchard", "otter", "pebble", "pine",
    "plover", "quarry", "raven", "reef", "ridge", "robin", "shed", "spade", "spruce", "stream",
    "thicket", "trowel", "willow", "wren",
];

/// A readable name from random bits: `adjective_noun`, with a number when `attempt` is above zero.
pub fn generated_name(random: u64, attempt: u32) -> String {
    let adjective = ADJECTIVES[(random as usize) % ADJECTIVES.len()];
    let noun = NOUNS[((random >> 16) as usize) % NOUNS.len()];
    if attempt == 0 {
        format!("{adjective}_{noun}")
    } else {
        format!("{adjective}_{noun}{}", (random >> 32) % 100_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "a-b", "A.b_c-9"] {
            assert_eq!(validate_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "-ab", "a b", "a/b", "ä1", &"a".repeat(129)] {
            assert!(validate_name(bad).is_err(), "{bad}");
        }
        assert_eq!(
            validate_name(&generated_name(0x0123_4567_89ab_cdef, 0)),
            Ok(())
        );
        assert_eq!(validate_name(&generated_name(u64::MAX, 3)), Ok(()));
    }

    #[test]
    fn tags() {
        for good in ["a", "1", "_x", "before-fix.2", &"t".repeat(128)] {
            assert_eq!(validate_tag(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a b",
            "a:b",
            "ä",
            "a\n",
            &"t".repeat(129),
        ] {
            assert!(validate_tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn snapshot_ids() {
        let id = SnapshotId::from_bytes(&[0xcd; 16]);
        assert_eq!((id.short(), id.as_str().len()), ("cdcdcdcdcdcd", 32));
        assert_eq!(SnapshotId::try_from(id.to_string()), Ok(id));
        assert!(SnapshotId::try_from("../../..".to_owned()).is_err());
    }

    #[test]
    fn ids() {
        let id = SandboxId::from_bytes(&[0xab; 32]);
        assert_eq!(id.short(), "abababababab");
        assert_eq!(SandboxId::try_from(id.to_string()), Ok(id));
        assert!(SandboxId::try_from("AB".repeat(32)).is_err());
    }
}
