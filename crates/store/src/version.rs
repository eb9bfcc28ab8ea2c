//! The store's format: a number and named features.
//!
//! A program that meets a feature it does not know may: read and write the store if the feature is `compatible`; read it
//! if it is `read_only`; do nothing if it is `incompatible`. shedbox always writes, so it refuses the last two.

use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The content of the file `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The layout of the tree.
    #[serde(rename = "version")]
    layout: u32,
    #[serde(default)]
    compatible: Vec<String>,
    #[serde(default)]
    read_only: Vec<String>,
    #[serde(default)]
    incompatible: Vec<String>,
}

const LAYOUT: u32 = 1;
/// Features of the kinds that matter which this program knows.
const KNOWN: &[&str] = &[];

impl Version {
    /// What this program writes.
    pub(crate) fn current() -> Self {
        Self {
            layout: LAYOUT,
            compatible: Vec::new(),
            read_only: Vec::new(),
            incompatible: Vec::new(),
        }
    }

    /// Whether this program may write to such a store; otherwise what it does not know.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let mut unknown: Vec<String> = self
            .read_only
            .iter()
            .chain(&self.incompatible)
            .filter(|feature| !KNOWN.contains(&feature.as_str()))
            .cloned()
            .collect();
        if self.layout != LAYOUT {
            unknown.insert(0, format!("version {}", self.layout));
        }
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(unknown)
        }
    }

    /// Parses the file.
    pub(crate) fn parse(bytes: &[u8], path: &std::path::Path) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| StoreError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features() {
        let parse = |text: &str| Version::parse(text.as_bytes(), "v".as_ref()).unwrap();
        assert_eq!(Version::current().check(), Ok(()));
        assert_eq!(
            parse(r#"{"version":1,"compatible":["new"]}"#).check(),
            Ok(())
        );
        assert_eq!(
            parse(r#"{"version":1,"read_only":["a"],"incompatible":["b"]}"#).check(),
            Err(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(
            parse(r#"{"version":2}"#).check(),
            Err(vec!["version 2".to_owned()])
        );
        assert!(Version::parse(b"", "v".as_ref()).is_err());
    }
}
