//! Upper and work directories of sandboxes: made, swapped.

use std::io::ErrorKind;
use std::path::Path;

use shedbox_linux::errno::Errno;
use shedbox_linux::path::{self, Rename};

use crate::error::Doing;
use crate::{Result, Trash};

/// Makes `<dir>/upper` (mode 0755: it is the sandbox's `/`), `<dir>/work` and, for each number in `cow`,
/// `<dir>/cow/<n>/{upper,work}`. `dir` itself is made when missing. Directories that are there stay as they are:
/// discard them first for fresh ones.
pub fn make(dir: &Path, cow: &[usize]) -> Result<()> {
    make_dir(dir, 0o700)?;
    let pair = |base: &Path| {
        make_dir(&base.join("upper"), 0o755)?;
        make_dir(&base.join("work"), 0o700)
    };
    pair(dir)?;
    if !cow.is_empty() {
        make_dir(&dir.join("cow"), 0o700)?;
    }
    for index in cow {
        let base = dir.join("cow").join(index.to_string());
        make_dir(&base, 0o700)?;
        pair(&base)?;
    }
    Ok(())
}

/// Gives kept upper directories fresh `work` directories: what overlay leaves in one belongs to the mount that made it,
/// and those of a `volatile` mount are refused. One that no mount has used is as good as new, and costs no trash.
pub fn renew_work(dir: &Path, cow: &[usize], trash: &Trash) -> Result<()> {
    let renew = |base: &Path| {
        let work = base.join("work");
        match std::fs::remove_dir(&work) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                trash.discard(&work).map(drop)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.doing(|| format!("remove `{}`", work.display())),
        }
    };
    renew(dir)?;
    for index in cow {
        renew(&dir.join("cow").join(index.to_string()))?;
    }
    make(dir, cow)
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    let what = || format!("create `{}`", path.display());
    match path::mkdir_at(path::CURRENT, path, mode) {
        Ok(()) => {
            // The umask may have taken bits that everybody in the sandbox needs.
            let handle = path::open_handle_at(path::CURRENT, path).doing(what)?;
            if shedbox_linux::meta::stat(&handle).doing(what)?.mode != mode {
                shedbox_linux::meta::chmod_handle(&handle, mode).doing(what)?;
            }
            Ok(())
        }
        Err(error) if error.errno == Errno::EEXIST => Ok(()),
        Err(error) => Err(error).doing(what),
    }
}

/// Exchanges two directories in one step, so that at no moment one of the names is missing.
///
/// A mounted overlay keeps the directories it has opened: its upperdir moves under it. Source: renameat2(2)
/// `RENAME_EXCHANGE`.
pub fn swap(live: &Path, spare: &Path) -> Result<()> {
    path::rename_at(path::CURRENT, live, path::CURRENT, spare, Rename::Exchange)
        .doing(|| format!("exchange `{}` and `{}`", live.display(), spare.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("s");
        make(&sandbox, &[0, 7]).unwrap();
        for (path, mode) in [
            ("upper", 0o755),
            ("work", 0o700),
            ("cow/0/upper", 0o755),
            ("cow/7/work", 0o700),
        ] {
            let meta = sandbox.join(path).metadata().unwrap();
            assert_eq!(meta.mode() & 0o777, mode, "{path}");
        }
        fs::write(sandbox.join("upper/f"), "").unwrap();
        make(&sandbox, &[0]).unwrap();
        assert!(sandbox.join("upper/f").exists());
        let bare = dir.path().join("bare");
        make(&bare, &[]).unwrap();
        assert!(!bare.join("cow").exists());
    }

    #[test]
    fn a_fresh_work_directory() {
        let dir = tempfile::tempdir().unwrap();
        let trash = Trash::open(&dir.path().join("trash")).unwrap();
        let sandbox = dir.path().join("s");
        make(&sandbox, &[3]).unwrap();
        let works = [sandbox.join("work"), sandbox.join("cow/3/work")];
        for work in &works {
            fs::create_dir(work.join("work")).unwrap();
        }
        fs::write(sandbox.join("upper/kept"), "").unwrap();
        for _ in 0..2 {
            renew_work(&sandbox, &[3], &trash).unwrap();
            for work in &works {
                assert_eq!(fs::read_dir(work).unwrap().count(), 0);
            }
        }
        fs::remove_dir(&works[0]).unwrap();
        renew_work(&sandbox, &[3], &trash).unwrap();
        assert!(works[0].is_dir() && sandbox.join("upper/kept").exists());
    }

    #[test]
    fn swapped_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let (live, spare) = (dir.path().join("live"), dir.path().join("spare"));
        make(&live, &[]).unwrap();
        make(&spare, &[]).unwrap();
        fs::write(live.join("upper/old"), "").unwrap();
        swap(&live.join("upper"), &spare.join("upper")).unwrap();
        assert!(!live.join("upper/old").exists());
        assert!(spare.join("upper/old").exists());
        let error = swap(&live, &dir.path().join("none")).unwrap_err();
        assert!(error.to_spec().message.contains("none"));
    }
}
