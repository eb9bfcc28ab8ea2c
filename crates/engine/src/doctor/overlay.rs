//! Overlay in a user namespace on the file system of the data directory, really tried: a mount, a deletion through it,
//! the marks that layers need.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use shedbox_linux::errno::{Errno, Error};
use shedbox_linux::mount::{self, Attributes, FsOption};
use shedbox_linux::{meta, path, probe, xattr};

use super::{Check, Entry};

type Outcome = Result<(), Error>;

/// What was tried, and how it ended. A step that could not be reached has the error of the one before it.
#[derive(Debug)]
pub(super) struct Trial {
    /// Namespaces of a sandbox.
    pub(super) namespaces: Outcome,
    /// A directory made where the data directory is or will be.
    pub(super) directory: Outcome,
    /// An overlay mounted, read and written.
    overlay: Outcome,
    /// overlay's opaque mark set by hand, as extraction does.
    mark: Outcome,
    /// A whiteout made by hand, as extraction does.
    whiteout: Outcome,
}

impl Trial {
    /// Tries everything below `root`, or below its nearest parent that exists.
    pub(super) fn run(root: &Path) -> Self {
        let scratch = Scratch::new(root);
        let not_reached = || {
            Err(Error::new(
                "mkdir",
                root.display().to_string(),
                Errno::ENOENT,
            ))
        };
        let mut trial = Self {
            namespaces: Ok(()),
            directory: Ok(()),
            overlay: not_reached(),
            mark: not_reached(),
            whiteout: not_reached(),
        };
        let place = match &scratch {
            Ok(scratch) => Some(scratch.path.clone()),
            Err(error) => {
                trial.directory = Err(error.clone());
                trial.overlay = Err(error.clone());
                trial.mark = Err(error.clone());
                trial.whiteout = Err(error.clone());
                None
            }
        };
        let (mut overlay, mut mark, mut whiteout) = (None, None, None);
        trial.namespaces = probe::in_new_namespaces(&mut || {
            if let Some(place) = &place {
                overlay = Some(try_overlay(place));
                mark = Some(try_mark(place));
                whiteout = Some(try_whiteout(place));
            }
        });
        if let Err(error) = &trial.namespaces
            && place.is_some()
        {
            (overlay, mark, whiteout) = (
                Some(Err(error.clone())),
                Some(Err(error.clone())),
                Some(Err(error.clone())),
            );
        }
        trial.overlay = overlay.unwrap_or(trial.overlay);
        trial.mark = mark.unwrap_or(trial.mark);
        trial.whiteout = whiteout.unwrap_or(trial.whiteout);
        trial
    }
}

/// A directory that is removed again.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(root: &Path) -> Result<Self, Error> {
        let parent = root.ancestors().find(|path| path.is_dir()).unwrap_or(root);
        // The time as well: one that was killed may have left its directory behind.
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.as_micros());
        let path = parent.join(format!(".shedbox-doctor-{}-{now}", std::process::id()));
        let made = |path: &Path| {
            std::fs::create_dir(path)
                .map_err(|error| Error::from_io("mkdir", path.display().to_string(), &error))
        };
        made(&path)?;
        // From here on the directory is removed whatever happens.
        let scratch = Self { path };
        for name in ["lower", "upper", "work"] {
            made(&scratch.path.join(name))?;
        }
        let file = scratch.path.join("lower/file");
        std::fs::write(&file, "x")
            .map_err(|error| Error::from_io("write", file.display().to_string(), &error))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        use std::os::unix::fs::PermissionsExt;
        // overlay makes work/work with mode 0.
        let inner = self.path.join("work/work");
        if inner.exists() {
            let open = std::fs::Permissions::from_mode(0o700);
            if let Err(error) = std::fs::set_permissions(&inner, open) {
                tracing::debug!(%error, path = %inner.display(), "cannot open overlay's work directory");
            }
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the scratch directory");
        }
    }
}

fn try_overlay(place: &Path) -> Outcome {
    let at = |name: &str| place.join(name).display().to_string();
    let (lower, upper, work) = (at("lower"), at("upper"), at("work"));
    let with = |key| {
        let options = [
            FsOption::Value(key, &lower),
            FsOption::Value("upperdir", &upper),
            FsOption::Value("workdir", &work),
            FsOption::Flag("userxattr"),
            FsOption::Flag("volatile"),
        ];
        mount::new_filesystem("overlay", &options, Attributes::default())
    };
    // The second form is for kernels before 6.5.
    let tree = with("lowerdir+").or_else(|_| with("lowerdir"))?;
    let merged = path::open_dir_at(&tree, ".")?;
    path::create_at(&merged, "new", 0o600)?;
    path::unlink_at(&merged, "file")?;
    let left = path::open_dir_at(path::open_dir(place)?, "upper")?;
    let stat = meta::stat_at(&left, "file")?;
    if !stat.is_whiteout() {
        return Err(Error::new("unlink", "overlay left no whiteout", Errno::EIO));
    }
    Ok(())
}

fn try_mark(place: &Path) -> Outcome {
    let dir = path::open_dir(&place.join("lower"))?;
    xattr::set(dir.as_fd(), "user.overlay.opaque", b"y")
}

fn try_whiteout(place: &Path) -> Outcome {
    path::whiteout_at(path::open_dir(place)?, "whiteout")
}

pub(super) fn checks(trial: &Trial, root: &Path) -> Vec<Check> {
    let root = root.display().to_string();
    vec![
        overlay(&trial.overlay, &root),
        marks(&trial.mark, &root),
        whiteouts(&trial.whiteout, &root),
    ]
}

fn overlay(outcome: &Outcome, root: &str) -> Check {
    let entry = Entry {
        id: "overlay",
        title: "Overlay in a user namespace",
    };
    match outcome {
        Ok(()) => entry.ok(
            format!("mounted with userxattr on the file system of {root}"),
            "sandboxes share their layers and reset by rename",
        ),
        Err(error) => entry.missing(
            error.to_string(),
            "every sandbox is an overlay over its image's layers",
            Some(match error.errno {
                Errno::ENODEV => "sudo modprobe overlay && echo overlay | sudo tee /etc/modules-load.d/shedbox.conf".to_owned(),
                _ => elsewhere(),
            }),
        ),
    }
}

fn marks(outcome: &Outcome, root: &str) -> Check {
    let entry = Entry {
        id: "userxattr",
        title: "Attributes user.overlay.*",
    };
    match outcome {
        Ok(()) => entry.ok(
            format!("the file system of {root} has them"),
            "directories that a layer replaces are marked as opaque",
        ),
        Err(error) => entry.missing(
            error.to_string(),
            "a directory that a layer replaces cannot be marked, so that images would show files that they have deleted",
            elsewhere(),
        ),
    }
}

fn whiteouts(outcome: &Outcome, root: &str) -> Check {
    let entry = Entry {
        id: "whiteouts",
        title: "Whiteouts",
    };
    match outcome {
        Ok(()) => entry.ok(
            format!("made a 0:0 character device on the file system of {root}"),
            "files that a layer deletes can be marked",
        ),
        Err(error) => entry.missing(
            error.to_string(),
            "a file that a layer deletes cannot be marked: that takes a character device 0:0, which user namespaces may make \
             since Linux 5.8 on most file systems",
            elsewhere(),
        ),
    }
}

/// A data directory on a file system that has been tested with overlay.
fn elsewhere() -> String {
    "export SHEDBOX_ROOT=/path/on/ext4-xfs-or-btrfs/shedbox".to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn levels() {
        let failed = |errno| Err(Error::new("fsconfig", "create overlay", errno));
        assert_eq!(overlay(&Ok(()), "/d").level, Level::Ok);
        let check = overlay(&failed(Errno::EINVAL), "/d");
        assert_eq!(check.level, Level::Missing);
        assert_eq!(
            check.found,
            "fsconfig(create overlay) => EINVAL (Invalid argument)"
        );
        assert!(check.fix.unwrap().starts_with("export SHEDBOX_ROOT="));
        assert!(
            overlay(&failed(Errno::ENODEV), "/d")
                .fix
                .unwrap()
                .starts_with("sudo modprobe overlay")
        );
        assert_eq!(
            marks(&failed(Errno::EOPNOTSUPP), "/d").level,
            Level::Missing
        );
        assert_eq!(whiteouts(&failed(Errno::EPERM), "/d").level, Level::Missing);
        assert_eq!(
            (marks(&Ok(()), "/d").level, whiteouts(&Ok(()), "/d").level),
            (Level::Ok, Level::Ok)
        );
    }

    #[test]
    fn nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("not/there/yet");
        let trial = Trial::run(&root);
        assert_eq!(trial.directory, Ok(()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        if let Err(error) = &trial.namespaces {
            assert!(std::env::var_os("SHEDBOX_TEST_STRICT").is_none(), "{error}");
            eprintln!("SKIPPED: no user namespaces here: {error}");
            assert_eq!(trial.overlay, Err(error.clone()));
        }
    }

    #[test]
    fn a_data_directory_that_cannot_be_made() {
        let trial = Trial::run(Path::new("/proc/shedbox"));
        let error = trial.directory.unwrap_err();
        assert!(
            error.to_string().contains("mkdir(/proc/.shedbox-doctor-"),
            "{error}"
        );
        assert_eq!(trial.overlay, Err(error));
    }
}
