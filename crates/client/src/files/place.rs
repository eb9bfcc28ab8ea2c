//! Where a copy goes: the rules of `cp`, as Docker's `cp` has them. Pure.

use shedbox_spec::Error;

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Base name.
    pub(super) name: String,
    pub(super) is_dir: bool,
    /// It was written with `/.` at its end: what is in it, not it.
    pub(super) contents: bool,
}

/// What is at the destination, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Nothing,
    Directory,
    Other,
}

impl Existing {
    /// From `st_mode`.
    pub(super) fn of_mode(mode: u32) -> Self {
        if mode & 0o170_000 == 0o040_000 {
            Self::Directory
        } else {
            Self::Other
        }
    }
}

/// Where the copy goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To this name in an existing directory. A directory that was written with `/.` gives it its contents.
    Named { parent: String, name: String },
    /// What is in the source goes into this existing directory.
    Contents { dir: String },
}

/// Decides. `slash`: the destination was written with a slash at its end, so it must be a directory.
pub(super) fn place(
    source: Source,
    existing: Existing,
    dest: &str,
    slash: bool,
) -> Result<Place, Error> {
    let to_name = || {
        let (parent, name) = split(dest)?;
        Ok(Place::Named { parent, name })
    };
    match (existing, source.is_dir) {
        (Existing::Directory, _) if source.contents => Ok(Place::Contents {
            dir: dest.to_owned(),
        }),
        (Existing::Directory, _) => Ok(Place::Named {
            parent: dest.to_owned(),
            name: source.name,
        }),
        (Existing::Other, true) => Err(Error::conflict(format!(
            "cannot copy a directory over the file {dest}"
        ))),
        (Existing::Other, false) if slash => {
            Err(Error::conflict(format!("{dest} is not a directory")))
        }
        (Existing::Nothing, false) if slash => {
            Err(Error::not_found(format!("no such directory: {dest}")))
        }
        (Existing::Other, false) | (Existing::Nothing, _) => to_name(),
    }
}

/// True for a path whose last component is `.`: what is in it is meant. The root has no name of its own either.
pub(super) fn is_contents(path: &str) -> bool {
    path == "." || path.ends_with("/.") || path.bytes().all(|byte| byte == b'/')
}

/// Directory and base name; a relative path is relative to `.`.
pub(super) fn split(path: &str) -> Result<(String, String), Error> {
    let trimmed = path.trim_end_matches('/');
    let (parent, name) = match trimmed.rsplit_once('/') {
        None => (".", trimmed),
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
    };
    if name.is_empty() || name == "." || name == ".." || name.contains('\0') {
        return Err(Error::invalid(format!("`{path}` does not end in a name")));
    }
    Ok((parent.to_owned(), name.to_owned()))
}

/// A path inside a sandbox: relative ones start at the root, as in Docker.
pub(super) fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// Where a symbolic link at `path` leads.
pub(super) fn link_target(path: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let parent = path
        .trim_end_matches('/')
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent);
    format!("{parent}/{target}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Existing::{Directory, Nothing, Other};

    #[test]
    fn the_rules_of_cp() {
        let file = || Source {
            name: "f".into(),
            is_dir: false,
            contents: false,
        };
        let dir = || Source {
            name: "d".into(),
            is_dir: true,
            contents: false,
        };
        let contents = || Source {
            name: "d".into(),
            is_dir: true,
            contents: true,
        };
        let named = |parent: &str, name: &str| {
            Ok(Place::Named {
                parent: parent.into(),
                name: name.into(),
            })
        };
        for (source, existing, dest, slash, expected) in [
            (file(), Nothing, "/x/new", false, named("/x", "new")),
            (file(), Nothing, "new", false, named(".", "new")),
            (file(), Other, "/x/old", false, named("/x", "old")),
            (file(), Directory, "/x", false, named("/x", "f")),
            (file(), Directory, "/x/", true, named("/x/", "f")),
            (dir(), Nothing, "/x/new", false, named("/x", "new")),
            (dir(), Nothing, "/x/new/", true, named("/x", "new")),
            (dir(), Directory, "/x", false, named("/x", "d")),
            (contents(), Nothing, "/x/new", false, named("/x", "new")),
            (
                contents(),
                Directory,
                "/x",
                false,
                Ok(Place::Contents { dir: "/x".into() }),
            ),
        ] {
            assert_eq!(
                place(source.clone(), existing, dest, slash),
                expected,
                "{source:?} to {dest}"
            );
        }
        for (source, existing, dest, slash) in [
            (file(), Nothing, "/x/new/", true),
            (file(), Other, "/x/old/", true),
            (dir(), Other, "/x/old", false),
            (file(), Nothing, "/x/..", false),
        ] {
            assert!(
                place(source.clone(), existing, dest, slash).is_err(),
                "{source:?} to {dest}"
            );
        }
    }

    #[test]
    fn paths() {
        assert_eq!(split("/a/b/").unwrap(), ("/a".into(), "b".into()));
        assert_eq!(split("/a").unwrap(), ("/".into(), "a".into()));
        for bad in ["/", "", ".", "a/..", "/a/."] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert!(is_contents("/a/.") && is_contents(".") && is_contents("/") && !is_contents("/a/"));
        assert_eq!(link_target("/a/b", "c/d"), "/a/c/d");
        assert_eq!(link_target("/b", "c"), "/c");
        assert_eq!(link_target("/a/b", "/c"), "/c");
    }
}
