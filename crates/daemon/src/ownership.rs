//! Owning the root: one daemon at a time, without a gap between two.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use shedbox_spec::Result;
use shedbox_spec::paths::Paths;
use shedbox_store::{RootLock, StoreError};

/// How long a daemon that leaves may take: requests under way, then its threads, two seconds each; and what a machine
/// under load adds.
const LEAVING: Duration = Duration::from_secs(15);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Takes the lock of the root. The error of one that is served already names the daemon that does.
///
/// A daemon that leaves, or was just killed, serves nobody and still has the lock for a moment: that is waited for. One
/// that is starting has it as well and will serve soon, which is waited for just the same.
pub(crate) fn take(paths: &Paths) -> Result<RootLock> {
    take_within(paths, LEAVING)
}

#[expect(
    clippy::disallowed_methods,
    reason = "flock(2) cannot wait for a limited time, and whether a socket is served can only be tried"
)]
fn take_within(paths: &Paths, patience: Duration) -> Result<RootLock> {
    let deadline = Instant::now() + patience;
    loop {
        match shedbox_store::lock_root(&paths.root) {
            Err(StoreError::Locked { .. })
                if Instant::now() < deadline && !is_served(&paths.api_socket()) =>
            {
                std::thread::sleep(LOOK);
            }
            other => return Ok(other?),
        }
    }
}

/// Somebody accepts connections at `socket`, or its path is too long to tell from here.
fn is_served(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::InvalidInput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn paths(dir: &Path) -> Paths {
        Paths {
            root: dir.join("root"),
            runtime: dir.to_owned(),
            config: dir.join("config.toml"),
        }
    }

    #[test]
    fn one_that_leaves_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let first = take(&paths).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| take(&paths));
            let error = take_within(&paths, Duration::from_millis(30)).unwrap_err();
            assert!(
                error.message.contains(&std::process::id().to_string()),
                "{error}"
            );
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn one_that_serves_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        let _first = take(&paths).unwrap();
        let _socket = UnixListener::bind(paths.api_socket()).unwrap();
        let began = Instant::now();
        assert!(take(&paths).is_err());
        assert!(began.elapsed() < LEAVING / 2);
    }
}
