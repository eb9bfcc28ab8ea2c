//! From a name or id to a sandbox socket, without the daemon.
//!
//! `sandboxes/<id>.sock` is the socket of a running sandbox and `sandboxes/names/<name>` a symbolic link to it. What is
//! not there may still exist and be stopped: the daemon knows.

use std::path::Path;

use shedbox_spec::paths::Paths;
use shedbox_spec::{SandboxId, id};

use crate::{Error, Result};

/// The id of a running sandbox; `None` when its socket is not to be found.
pub(crate) fn resolve(paths: &Paths, reference: &str) -> Result<Option<SandboxId>> {
    if let Ok(id) = SandboxId::try_from(reference.to_owned()) {
        return Ok(Some(id));
    }
    // A name cannot hold a slash or be `..`: it stays within its directory.
    if id::validate_name(reference).is_ok()
        && let Ok(target) = std::fs::read_link(paths.names().join(reference))
        && let Some(id) = id_of_socket(&target)
    {
        return Ok(Some(id));
    }
    if reference.is_empty()
        || !reference
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        return Ok(None);
    }
    let Ok(entries) = std::fs::read_dir(paths.sandbox_sockets()) else {
        return Ok(None);
    };
    let mut found = None;
    for entry in entries {
        let entry = entry.map_err(Error::io("list the sandbox sockets"))?;
        if let Some(id) = id_of_socket(Path::new(&entry.file_name()))
            .filter(|id| id.as_str().starts_with(reference))
            && found.replace(id).is_some()
        {
            return Err(Error::from(
                shedbox_spec::Error::invalid(format!(
                    "more than one sandbox has an id that starts with `{reference}`"
                ))
                .with_hint("give more digits, or the name"),
            ));
        }
    }
    Ok(found)
}

fn id_of_socket(path: &Path) -> Option<SandboxId> {
    let name = path.file_name()?.to_str()?.strip_suffix(".sock")?;
    SandboxId::try_from(name.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_and_prefixes() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: dir.path().join("root"),
            runtime: dir.path().to_owned(),
            config: dir.path().join("c"),
        };
        assert_eq!(resolve(&paths, "box").unwrap(), None, "no directory at all");
        std::fs::create_dir_all(paths.names()).unwrap();
        let id = |digit: char| {
            SandboxId::try_from(format!("ab{digit}").repeat(32)[..64].to_owned()).unwrap()
        };
        for digit in ['1', '2'] {
            std::fs::write(
                paths.sandbox_sockets().join(format!("{}.sock", id(digit))),
                "",
            )
            .unwrap();
        }
        std::os::unix::fs::symlink(format!("../{}.sock", id('1')), paths.names().join("box"))
            .unwrap();
        std::os::unix::fs::symlink("../odd", paths.names().join("odd")).unwrap();
        assert_eq!(resolve(&paths, "box").unwrap(), Some(id('1')));
        assert_eq!(resolve(&paths, id('2').as_str()).unwrap(), Some(id('2')));
        assert_eq!(resolve(&paths, "ab2").unwrap(), Some(id('2')));
        for nothing in [
            "odd",
            "other",
            "",
            "..",
            "../names/box",
            "ab3",
            "AB1",
            "x".repeat(5000).as_str(),
        ] {
            assert_eq!(resolve(&paths, nothing).unwrap(), None, "{nothing}");
        }
        assert_eq!(
            resolve(&paths, "ab").unwrap_err().kind(),
            shedbox_spec::Kind::Invalid
        );
    }
}
