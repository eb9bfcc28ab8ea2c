//! The content of one file into another one, as cheaply as their file system allows.
//!
//! 1. share the blocks (btrfs, xfs): nothing is copied    2. let the kernel copy, data only, so that holes stay holes
//! 3. where it cannot (other file systems, old kernels): through memory

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno as RawErrno;

use crate::errno::{Context, Result};
use crate::{fd, meta};

/// Bytes that are copied at once: a longer call cannot be interrupted.
const STEP: usize = 64 << 20;
/// The same through memory.
const BUFFER: usize = 256 << 10;

/// Copies up to `size` bytes of `from` into `to`, an empty file, which has exactly `size` bytes afterwards: a source that
/// is shorter by now leaves zeros. File positions are used and left anywhere.
///
/// Source: ioctl_ficlone(2), lseek(2) `SEEK_DATA`, copy_file_range(2) (Linux 5.3 across file systems).
pub fn copy(from: impl AsFd, to: impl AsFd, size: u64) -> Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    // A clone is as long as the source is at that moment.
    let cloned = size > 0 && rustix::fs::ioctl_ficlone(to, from).is_ok();
    let mut at = 0;
    while !cloned && at < size {
        let Some((start, end)) = next_data(from, at, size)? else {
            break;
        };
        copy_piece(from, to, start, end)?;
        at = end;
    }
    if meta::stat(to)?.size != size {
        meta::set_len(to, size)?;
    }
    Ok(())
}

/// The next piece of data at or after `at`; `None` when only a hole follows.
fn next_data(file: BorrowedFd<'_>, at: u64, size: u64) -> Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) if start < size => start,
        Ok(_) | Err(RawErrno::NXIO) => return Ok(None),
        // A file system that does not know holes.
        Err(RawErrno::INVAL) => return Ok(Some((at, size))),
        Err(errno) => return Err(errno).call("lseek", || "SEEK_DATA".into()),
    };
    match rustix::fs::seek(file, SeekFrom::Hole(start)) {
        Ok(end) => Ok(Some((start, end.min(size)))),
        // It was cut since.
        Err(RawErrno::NXIO) => Ok(None),
        Err(errno) => Err(errno).call("lseek", || "SEEK_HOLE".into()),
    }
}

fn copy_piece(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let step = usize::try_from(end - read).map_or(STEP, |left| left.min(STEP));
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), step) {
            // Nothing is the end of the file, or a file system that says so instead of refusing (kernels before 5.19).
            Ok(0)
            | Err(
                RawErrno::XDEV
                | RawErrno::INVAL
                | RawErrno::NOSYS
                | RawErrno::OPNOTSUPP
                | RawErrno::PERM,
            ) => return through_memory(from, to, read, end),
            Ok(_) | Err(RawErrno::INTR) => {}
            Err(errno) => return Err(errno).call("copy_file_range", || format!("{step} bytes")),
        }
    }
    Ok(())
}

fn through_memory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut at = start;
    while at < end {
        let step = usize::try_from(end - at).map_or(BUFFER, |left| left.min(BUFFER));
        let count = fd::read_at(from, &mut buffer[..step], at)?;
        if count == 0 {
            break;
        }
        meta::write_all_at(to, &buffer[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    fn pair(dir: &tempfile::TempDir) -> (File, File) {
        let make = |name| {
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(dir.path().join(name))
                .unwrap()
        };
        (make("from"), make("to"))
    }

    #[test]
    fn holes_stay_holes() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let (from, to) = pair(&dir);
        from.write_all_at(b"begin", 0).unwrap();
        from.write_all_at(b"middle", 8 << 20).unwrap();
        from.set_len(16 << 20).unwrap();
        copy(&from, &to, 16 << 20).unwrap();
        let content = std::fs::read(dir.path().join("to")).unwrap();
        assert_eq!(content.len(), 16 << 20);
        assert_eq!(&content[..5], b"begin");
        assert_eq!(&content[8 << 20..(8 << 20) + 6], b"middle");
        assert!(to.metadata().unwrap().blocks() * 512 < 4 << 20);
    }

    #[test]
    fn a_file_that_has_changed_keeps_its_size() {
        for (content, size) in [("0123456789", 4), ("01", 4), ("", 4), ("", 0)] {
            let dir = tempfile::tempdir_in("/var/tmp").unwrap();
            let (from, to) = pair(&dir);
            from.write_all_at(content.as_bytes(), 0).unwrap();
            copy(&from, &to, size).unwrap();
            let copied = std::fs::read(dir.path().join("to")).unwrap();
            let mut wanted = content.as_bytes().to_vec();
            wanted.resize(size as usize, 0);
            assert_eq!(copied, wanted, "{content}");
        }
    }

    #[test]
    fn between_file_systems() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::write(shm.path().join("from"), vec![7; 300_000]).unwrap();
        let from = File::open(shm.path().join("from")).unwrap();
        let to = File::create(dir.path().join("to")).unwrap();
        copy(&from, &to, 300_000).unwrap();
        assert_eq!(
            std::fs::read(dir.path().join("to")).unwrap(),
            vec![7; 300_000]
        );
    }
}
