//! Image references, without regular expressions.

/// A parsed image reference. Parsing and display: see the functions of this module.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<crate::Digest>,
}
