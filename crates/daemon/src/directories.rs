//! The directories of a root, closed to everybody else.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use shedbox_linux::process;
use shedbox_spec::paths::Paths;
use shedbox_spec::{Error, Kind, Result};

use crate::error::Doing;

/// Makes what is missing. The data and the runtime directory themselves get mode 0700 and must be the user's own: images
/// hold setuid programs, and whoever can connect to a socket is root in the sandboxes.
pub(crate) fn make(paths: &Paths) -> Result<()> {
    for top in [&paths.root, &paths.runtime] {
        make_one(top)?;
        close(top)?;
    }
    for dir in paths.directories() {
        make_one(&dir)?;
    }
    Ok(())
}

fn make_one(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .doing(|| format!("make directory {}", dir.display()))
        .map_err(|error| match error.kind {
            Kind::Denied => {
                error.with_hint("choose other places with SHEDBOX_ROOT and SHEDBOX_RUNTIME_DIR")
            }
            _ => error,
        })
}

fn close(dir: &Path) -> Result<()> {
    let metadata = std::fs::symlink_metadata(dir).doing(|| format!("look at {}", dir.display()))?;
    let resolved = std::fs::metadata(dir).doing(|| format!("look at {}", dir.display()))?;
    let own = process::own_uid();
    // A link to a directory of the user's own is fine where only the user can have put it.
    if resolved.uid() != own || metadata.uid() != own {
        return Err(Error::new(
            Kind::Denied,
            format!("{} belongs to another user", dir.display()),
        )
        .with_hint("choose other places with SHEDBOX_ROOT and SHEDBOX_RUNTIME_DIR"));
    }
    if resolved.mode() & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
            .doing(|| format!("close {} to others", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_closed_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: dir.path().join("data/root"),
            runtime: dir.path().join("run"),
            config: dir.path().join("config.toml"),
        };
        std::fs::create_dir(&paths.runtime).unwrap();
        std::fs::set_permissions(&paths.runtime, std::fs::Permissions::from_mode(0o755)).unwrap();
        make(&paths).unwrap();
        make(&paths).unwrap();
        for path in [&paths.root, &paths.runtime, &paths.names(), &paths.trash()] {
            assert_eq!(
                std::fs::metadata(path).unwrap().mode() & 0o777,
                0o700,
                "{}",
                path.display()
            );
        }
    }
}
