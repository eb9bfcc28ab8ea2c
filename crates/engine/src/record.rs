//! What is on disk of a sandbox: `spec.json`, written once, and `state.json`, replaced when a restart needs to know.
//!
//! Neither is synced. After a power loss the generation is gone anyway, and a record that did not reach the disk whole
//! is found by recovery, which takes the sandbox away.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shedbox_spec::api::Status;
use shedbox_spec::exec::ExecResult;
use shedbox_spec::{Digest, SandboxId, SandboxSpec, SnapshotId};
use shedbox_store::{ImageRecord, upper};

use crate::error::{Doing, Result, on_path};
use crate::merge::Resolved;
use crate::owner::Owner;
use crate::snapshot;

/// Version of both files. A record of another version belongs to another release and is left alone.
pub(crate) const RECORD_VERSION: u32 = 1;

/// `spec.json`: what does not change in the life of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: SandboxId,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) spec: SandboxSpec,
    /// The image as it was at creation; its reference may have moved on.
    pub(crate) image: Option<ImageRecord>,
    pub(crate) resolved: Resolved,
    pub(crate) hostname: String,
    /// When this process ends, the sandbox is removed.
    pub(crate) owner: Option<Owner>,
    pub(crate) expires_at: Option<Timestamp>,
    /// The snapshot that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<SnapshotId>,
}

impl Record {
    /// Image id.
    pub(crate) fn image_id(&self) -> Option<&Digest> {
        self.image.as_ref().map(|image| &image.config)
    }

    /// Whether prune must keep this image id or diff id.
    pub(crate) fn uses(&self, digest: &Digest) -> bool {
        self.image.as_ref().is_some_and(|image| {
            image.config == *digest || image.manifest == *digest || image.diff_ids.contains(digest)
        })
    }

    /// Parts of the host's tree are mounted inside: they are busy until the kernel has taken the mounts down.
    pub(crate) fn lends_host_paths(&self) -> bool {
        use shedbox_spec::mount::Mount;
        use shedbox_spec::sandbox::Source;
        matches!(self.spec.source, Source::Rootfs(_))
            || self
                .spec
                .mounts
                .iter()
                .any(|mount| matches!(mount, Mount::Bind { .. }))
    }

    /// Indices in `mounts` of the copy-on-write binds.
    pub(crate) fn cow_mounts(&self) -> Vec<usize> {
        use shedbox_spec::mount::{Access, Mount};
        let cow = |mount: &Mount| {
            matches!(
                mount,
                Mount::Bind {
                    access: Access::Cow,
                    ..
                }
            )
        };
        self.spec
            .mounts
            .iter()
            .enumerate()
            .filter(|(_, mount)| cow(mount))
            .map(|(index, _)| index)
            .collect()
    }
}

/// `state.json`: where a sandbox is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedState {
    pub(crate) version: u32,
    pub(crate) status: Status,
    pub(crate) generation: u64,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) result: Option<ExecResult>,
}

/// Names inside the directory of one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn live(&self) -> PathBuf {
        self.dir.join("live")
    }

    pub(crate) fn spare(&self) -> PathBuf {
        self.dir.join("spare")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn tags(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    /// Gives a snapshot a name that is free.
    pub(crate) fn write_tag(&self, tag: &str, id: &SnapshotId) -> Result<()> {
        let dir = self.tags();
        if !dir.is_dir() {
            make_directory(&dir)?;
        }
        let link = dir.join(tag);
        std::os::unix::fs::symlink(format!("../../../snapshots/{id}"), &link)
            .doing(|| on_path("make link", &link))
    }

    pub(crate) fn remove_tag(&self, tag: &str) -> Result<()> {
        let link = self.tags().join(tag);
        std::fs::remove_file(&link).doing(|| on_path("remove", &link))
    }

    /// The names of its snapshots.
    pub(crate) fn read_tags(&self) -> Result<Vec<(String, SnapshotId)>> {
        let dir = self.tags();
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.doing(|| on_path("read directory", &dir))?,
        };
        let mut tags = Vec::new();
        for entry in entries {
            let entry = entry.doing(|| on_path("read directory", &dir))?;
            let name = entry.file_name().into_string();
            // Nothing else is ever made there.
            if let (Ok(tag), Some(id)) = (name, snapshot::read_id(&entry.path())?) {
                tags.push((tag, id));
            }
        }
        Ok(tags)
    }

    /// How the main process ended, written by init.
    pub(crate) fn exit_record(&self) -> PathBuf {
        self.dir.join("log/exit.json")
    }

    /// See [`Engine::note`](crate::Engine::note).
    pub(crate) fn note(&self) -> PathBuf {
        self.dir.join("note")
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        write_json(&self.dir.join("spec.json"), record)
    }

    /// Puts another record in the place of the one that is there.
    pub(crate) fn replace_record(&self, record: &Record) -> Result<()> {
        let (next, path) = (self.dir.join("spec.json.next"), self.dir.join("spec.json"));
        write_json(&next, record)?;
        std::fs::rename(&next, &path).doing(|| on_path("replace", &path))
    }

    /// Reads both files. `None` when one is missing, empty or cut off, which only a power loss can have done; an error
    /// when they cannot be read now or are of another release, which is no reason to give a sandbox up.
    pub(crate) fn read_both(&self) -> Result<Option<(Record, SavedState)>> {
        let record = read_versioned(&self.dir.join("spec.json"))?;
        let state = read_versioned(&self.dir.join("state.json"))?;
        Ok(record.zip(state))
    }

    /// Replaces the state: a reader sees the old one or the new one. The two files change places, so that no inode is
    /// made after the first time.
    pub(crate) fn write_state(&self, state: &SavedState) -> Result<()> {
        let (next, path) = (self.next_state(), self.dir.join("state.json"));
        write_json(&next, state)?;
        if path.exists() {
            return Ok(upper::swap(&path, &next)?);
        }
        std::fs::rename(&next, &path).doing(|| on_path("replace", &path))
    }

    /// Makes the files that records are written to; empty ones mean nothing.
    pub(crate) fn make_files(&self) -> Result<()> {
        for path in [self.dir.join("spec.json"), self.next_state()] {
            std::fs::File::create(&path).doing(|| on_path("make", &path))?;
        }
        Ok(())
    }

    fn next_state(&self) -> PathBuf {
        self.dir.join("state.json.next")
    }

    /// The result that init left, when the main process has ended.
    pub(crate) fn read_exit(&self) -> Option<ExecResult> {
        match read_json(&self.exit_record()) {
            Ok(result) => Some(result),
            Err(crate::EngineError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => {
                tracing::debug!(
                    error = shedbox_spec::error::chain(&error),
                    "exit record is not readable"
                );
                None
            }
        }
    }

    /// Forgets the result of an earlier generation.
    pub(crate) fn clear_exit(&self) -> Result<()> {
        let path = self.exit_record();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| on_path("remove", &path))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    // Plain data with string keys: serialising cannot fail, but the type says it may.
    let text = serde_json::to_vec(value)
        .map_err(std::io::Error::from)
        .doing(|| on_path("encode", path))?;
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(&text))
        .doing(|| on_path("write", path))
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

pub(crate) fn read_versioned<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.doing(|| on_path("read", path))?,
    };
    match serde_json::from_slice(&text) {
        Ok(Versioned { version }) if version == RECORD_VERSION => serde_json::from_slice(&text)
            .map(Some)
            .map_err(std::io::Error::from)
            .doing(|| on_path("understand", path)),
        Ok(Versioned { version }) => Err(shedbox_spec::Error::new(
            shedbox_spec::Kind::Unsupported,
            format!("{} has version {version}, this release writes {RECORD_VERSION}", path.display()),
        )
        .with_hint("it was written by another release of shedbox: use that one, or remove the sandbox's directory")
        .into()),
        Err(_) => Ok(None),
    }
}

/// Makes a directory that only the owner enters.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .doing(|| on_path("make directory", path))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).doing(|| on_path("read", path))?;
    serde_json::from_slice(&text)
        .map_err(std::io::Error::from)
        .doing(|| on_path("understand", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_state_reads_back_and_a_missing_exit_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        let layout = Layout {
            dir: dir.path().to_owned(),
        };
        let mut state = SavedState {
            version: RECORD_VERSION,
            status: Status::Running,
            generation: 3,
            started_at: Some(Timestamp::UNIX_EPOCH),
            finished_at: None,
            result: None,
        };
        for generation in 3..6 {
            state.generation = generation;
            layout.write_state(&state).unwrap();
            let read: Option<SavedState> = read_versioned(&dir.path().join("state.json")).unwrap();
            assert_eq!(read.as_ref(), Some(&state));
        }
        assert_eq!(layout.read_exit(), None);
        std::fs::write(layout.exit_record(), "{half").unwrap();
        assert_eq!(layout.read_exit(), None);
        layout.clear_exit().unwrap();
        layout.clear_exit().unwrap();
    }

    #[test]
    fn a_record_is_lost_or_kept_but_never_misread() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            dir: dir.path().to_owned(),
        };
        assert_eq!(layout.read_both().unwrap(), None, "missing");
        std::fs::write(dir.path().join("spec.json"), "").unwrap();
        assert_eq!(layout.read_both().unwrap(), None, "empty");
        std::fs::write(dir.path().join("spec.json"), "{\"version\":1,\"id\":").unwrap();
        assert_eq!(layout.read_both().unwrap(), None, "cut off");
        std::fs::write(dir.path().join("spec.json"), "{\"version\":2,\"new\":1}").unwrap();
        assert!(layout.read_both().is_err(), "another release's");
        std::fs::write(dir.path().join("spec.json"), "{\"version\":1,\"new\":1}").unwrap();
        assert!(layout.read_both().is_err(), "whole, and not understood");
    }
}
