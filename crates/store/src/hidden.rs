//! Paths of a sandbox that lie under mounts of ours: what its upperdir has there was made as a mount point, and is no
//! change of the sandbox's.

use std::collections::HashSet;

/// Paths without leading and trailing slashes.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    paths: HashSet<Vec<u8>>,
    /// Every directory above one of them, the root included.
    above: HashSet<Vec<u8>>,
}

impl Hidden {
    /// From absolute paths, as inside.
    pub(crate) fn new(paths: &[String]) -> Self {
        let mut hidden = Self::default();
        for path in paths {
            let path = path.trim_matches('/').as_bytes();
            for (index, byte) in path.iter().enumerate() {
                if *byte == b'/' {
                    hidden.above.insert(path[..index].to_vec());
                }
            }
            hidden.above.insert(Vec::new());
            hidden.paths.insert(path.to_vec());
        }
        hidden
    }

    /// Whether this very path is one of them.
    pub(crate) fn is(&self, path: &[u8]) -> bool {
        self.paths.contains(path)
    }

    /// Whether one of them is below: the directory may have been made, or changed, for its sake.
    pub(crate) fn is_above(&self, path: &[u8]) -> bool {
        self.above.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_known() {
        let hidden = Hidden::new(&["/dev".to_owned(), "/a/b/c/".to_owned()]);
        for (path, is, above) in [
            ("dev", true, false),
            ("dev/x", false, false),
            ("a/b/c", true, false),
            ("a/b", false, true),
            ("a", false, true),
            ("", false, true),
            ("ab", false, false),
        ] {
            assert_eq!(hidden.is(path.as_bytes()), is, "{path}");
            assert_eq!(hidden.is_above(path.as_bytes()), above, "{path}");
        }
    }
}
