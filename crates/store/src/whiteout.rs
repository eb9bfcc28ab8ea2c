//! Names of entries: cleaned, split, and told apart from OCI's whiteouts. Pure.
//!
//! | in the archive | in the layer |
//! |---|---|
//! | `dir/.wh.NAME` | `dir/NAME`, a character device 0:0 |
//! | `dir/.wh..wh..opq` | `user.overlay.opaque=y` on `dir` |
//! | `.wh..wh.` and anything else (aufs's own files) | nothing |
//!
//! Sources: OCI image spec, "Whiteouts"; overlayfs.rst, "whiteouts and opaque directories".

/// What OCI puts before a name to remove it.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// OCI's name for "everything below is gone".
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// overlay's attribute with `userxattr`, and its value.
pub(crate) const OPAQUE_XATTR: &str = "user.overlay.opaque";
/// Attributes with this prefix mean something to overlay and are never taken from an archive.
pub(crate) const OVERLAY_XATTRS: &[u8] = b"user.overlay.";

/// Longest single name: `NAME_MAX`.
const MAX_NAME: usize = 255;

/// Where an entry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the layer's root, without leading, double or trailing slashes and `.`; empty for the root itself.
    pub(crate) path: Vec<u8>,
    /// Where the last name begins in it.
    name_start: usize,
    /// What to do there.
    pub(crate) action: Action,
}

/// What an entry's name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make what the entry is.
    Create,
    /// Hide this path of the layers below.
    Whiteout,
    /// Hide everything below this directory in the layers below.
    Opaque,
    /// Nothing.
    Ignore,
}

impl Place {
    /// The directory it is in; empty for the root.
    pub(crate) fn parent(&self) -> &[u8] {
        &self.path[..self.name_start.saturating_sub(1)]
    }

    /// Its last name; empty for the root.
    pub(crate) fn name(&self) -> &[u8] {
        &self.path[self.name_start..]
    }

    /// Cleans a name of an archive. The error is the reason to refuse it.
    pub(crate) fn parse(raw: &[u8], max_path: usize) -> Result<Self, String> {
        let mut path = clean(raw, max_path)?;
        let name_start = last_name(&path);
        let parents = path[..name_start].split(|byte| *byte == b'/');
        let mut action = Action::Create;
        for parent in parents {
            if parent.starts_with(b".wh..wh.") {
                action = Action::Ignore;
            } else if parent.starts_with(PREFIX) {
                return Err("a directory may not have a whiteout's name".to_owned());
            }
        }
        let name = &path[name_start..];
        if action == Action::Create
            && let Some(hidden) = name.strip_prefix(PREFIX)
        {
            if name == OPAQUE {
                action = Action::Opaque;
                path.truncate(name_start.saturating_sub(1));
            } else if hidden.starts_with(PREFIX) {
                action = Action::Ignore;
            } else if matches!(hidden, b"" | b"." | b"..") {
                return Err("the whiteout names nothing".to_owned());
            } else {
                action = Action::Whiteout;
                path.drain(name_start..name_start + PREFIX.len());
            }
        }
        let name_start = last_name(&path);
        Ok(Self {
            path,
            name_start,
            action,
        })
    }
}

/// Removes `.`, doubled, leading and trailing slashes; refuses `..`, NUL and what is too long.
pub(crate) fn clean(raw: &[u8], max_path: usize) -> Result<Vec<u8>, String> {
    if raw.len() > max_path {
        return Err(format!(
            "the path has {} bytes, at most {max_path} are accepted",
            raw.len()
        ));
    }
    if raw.contains(&0) {
        return Err("the path has a NUL byte".to_owned());
    }
    let mut path = Vec::with_capacity(raw.len());
    for name in raw.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("the path has `..`".to_owned()),
            name if name.len() > MAX_NAME => {
                return Err(format!(
                    "a name in the path has {} bytes, at most {MAX_NAME} are possible",
                    name.len()
                ));
            }
            name => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
            }
        }
    }
    Ok(path)
}

fn last_name(path: &[u8]) -> usize {
    path.iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(raw: &str) -> Result<(String, String, Action), String> {
        let place = Place::parse(raw.as_bytes(), 4095)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(place.parent()), text(place.name()), place.action))
    }

    #[test]
    fn places() {
        use Action::{Create, Ignore, Opaque, Whiteout};
        for (raw, parent, name, action) in [
            ("./", "", "", Create),
            ("", "", "", Create),
            ("/", "", "", Create),
            ("a", "", "a", Create),
            ("/usr//bin/./x/", "usr/bin", "x", Create),
            (".wh.a", "", "a", Whiteout),
            ("./d/.wh.a", "d", "a", Whiteout),
            (".wh..a", "", ".a", Whiteout),
            (".wh..wh..opq", "", "", Opaque),
            ("d/e/.wh..wh..opq", "d", "e", Opaque),
            (".wh..wh.aufs", "", ".wh..wh.aufs", Ignore),
            ("d/.wh..wh.plnk/1.2", "d/.wh..wh.plnk", "1.2", Ignore),
            (".whatever", "", ".whatever", Create),
        ] {
            let expected = (parent.to_owned(), name.to_owned(), action);
            assert_eq!(place(raw), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn refusals() {
        for (raw, reason) in [
            ("..", "`..`"),
            ("a/../b", "`..`"),
            ("/../etc/passwd", "`..`"),
            ("a\0b", "NUL"),
            (".wh.", "names nothing"),
            ("d/.wh.", "names nothing"),
            (".wh../", "names nothing"),
            (".wh...", "names nothing"),
            (".wh.d/x", "whiteout's name"),
            (&"a".repeat(256), "at most 255"),
            (&"a/".repeat(2500), "at most 4095"),
        ] {
            let error = place(raw).unwrap_err();
            assert!(error.contains(reason), "{raw}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_name_stays_inside(raw in proptest::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), Just(b'w'), Just(b'h'), any::<u8>()], 0..200,
        )) {
            if let Ok(place) = Place::parse(&raw, 4095) {
                prop_assert!(!place.path.starts_with(b"/") && !place.path.ends_with(b"/"));
                prop_assert!(!place.path.contains(&0));
                if !place.path.is_empty() {
                    for name in place.path.split(|byte| *byte == b'/') {
                        prop_assert!(!matches!(name, b"" | b"." | b".."), "{:?}", place.path);
                    }
                }
                let joined = if place.parent().is_empty() {
                    place.name().to_vec()
                } else {
                    [place.parent(), b"/", place.name()].concat()
                };
                prop_assert_eq!(&joined, &place.path);
                if matches!(place.action, Action::Create) {
                    prop_assert!(!place.name().starts_with(PREFIX));
                }
            }
        }

        #[test]
        fn a_whiteout_names_what_it_hides(name in "[a-z.]{1,20}", dir in "[a-z]{1,5}") {
            prop_assume!(name != "." && name != ".." && !name.starts_with(".wh."));
            let hidden = Place::parse(format!("{dir}/.wh.{name}").as_bytes(), 4095).unwrap();
            prop_assert_eq!(hidden.action, Action::Whiteout);
            prop_assert_eq!(hidden.path, format!("{dir}/{name}").into_bytes());
        }
    }
}
