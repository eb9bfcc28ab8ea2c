//! `RUN --mount`: what a command is shown while it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shedbox_dockerfile::{Mount as RunMount, MountKind};
use shedbox_spec::mount::{Access, Mount};
use shedbox_spec::{Error, Kind, Result};

use super::inside::blocking;
use super::lay_out::lay_out;
use super::tree::Tree;
use super::{Build, copy};

/// What a bind mount shows: a part of the context or of another image.
#[derive(Debug)]
pub(super) struct Shown {
    tree: Arc<Tree>,
    path: PathBuf,
    digest: String,
}

impl Shown {
    /// Of its files, for the key of the step.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

impl Build {
    /// Finds what bind mounts show, in their order. Kinds of mounts that there are not are refused.
    pub(super) async fn shown(&mut self, index: usize, mounts: &[RunMount]) -> Result<Vec<Shown>> {
        let mut all = Vec::new();
        for mount in mounts {
            let unsupported = match mount.kind {
                MountKind::Secret => Some("type=secret"),
                MountKind::Cache if mount.from.is_some() => Some("type=cache,from"),
                _ => None,
            };
            if let Some(what) = unsupported {
                return Err(Error::new(
                    Kind::Unsupported,
                    format!("RUN --mount={what} is not supported by this builder"),
                ));
            }
            if mount.kind != MountKind::Bind {
                continue;
            }
            let source = mount.source.as_deref().unwrap_or("/");
            let tree = match &mount.from {
                Some(from) => self.files_of(index, from, &[source.to_owned()]).await?,
                None => Arc::clone(&self.context),
            };
            let wanted = copy::absolute("/", source);
            let path = tree
                .resolve(Path::new(&wanted))
                .ok_or_else(|| Error::invalid(format!("RUN --mount: {source}: not found")))?;
            all.push(
                blocking(move || {
                    Ok(Shown {
                        digest: copy::digest_of(&tree, &path)?,
                        tree,
                        path,
                    })
                })
                .await?,
            );
        }
        Ok(all)
    }

    /// The mounts of the sandbox.
    pub(super) async fn mounts(
        &self,
        mounts: &[RunMount],
        shown: Vec<Shown>,
    ) -> Result<Vec<Mount>> {
        let mut shown = shown.into_iter();
        let mut all = Vec::new();
        for mount in mounts {
            let target = copy::absolute("/", mount.target.as_deref().unwrap_or_default());
            let target = target.trim_end_matches('/').to_owned();
            if target.is_empty() {
                return Err(Error::invalid("RUN --mount: the target is the root"));
            }
            let (source, writable) = match mount.kind {
                MountKind::Tmpfs => {
                    all.push(Mount::Tmpfs {
                        target,
                        size: mount.size,
                        mode: mount.mode,
                        read_only: mount.read_only,
                        exec: true,
                    });
                    continue;
                }
                MountKind::Cache => (self.cache_of(mount, &target)?, Access::Rw),
                _ => match shown.next() {
                    // A copy: what is written to it is seen by this command alone, and is no part of the image.
                    Some(shown) => (self.laid_out(shown).await?, Access::Rw),
                    None => continue,
                },
            };
            all.push(Mount::Bind {
                source: source.display().to_string(),
                target,
                access: if mount.read_only {
                    Access::Ro
                } else {
                    writable
                },
            });
        }
        Ok(all)
    }

    /// The directory of a cache, which outlives the build.
    fn cache_of(&self, mount: &RunMount, target: &str) -> Result<PathBuf> {
        let id = mount.id.as_deref().unwrap_or(target);
        let name = shedbox_spec::Digest::from_bytes(&Sha256::digest(id).into());
        let dir = self.root().join("mounts").join(name.hex());
        let make = || {
            if dir.is_dir() {
                return Ok(());
            }
            fs::create_dir_all(&dir)?;
            // It belongs to root inside; nobody else can be given it, but let in.
            let others = mount.uid.unwrap_or(0) != 0 || mount.gid.unwrap_or(0) != 0;
            let mode = mount.mode.unwrap_or(0o755) | if others { 0o777 } else { 0o700 };
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode))
        };
        match make() {
            Ok(()) => Ok(dir),
            Err(error) => Err(Error::internal(format!(
                "cannot make {}: {error}",
                dir.display()
            ))),
        }
    }

    /// Makes real files of it.
    async fn laid_out(&self, shown: Shown) -> Result<PathBuf> {
        let (space, place) = (Arc::clone(&self.workspace), self.workspace.fresh()?);
        blocking(move || {
            let _space = space;
            lay_out(&shown.tree, &shown.path, &place)
                .map(|()| place)
                .map_err(|error| Error::internal(format!("RUN --mount: {error}")))
        })
        .await
    }
}
