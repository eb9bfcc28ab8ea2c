//! Finding the daemon, and starting it when there is none.
//!
//! 1. connect to the API socket          2. nobody there: lock `start.lock` in the runtime directory
//! 3. connect again: somebody else may have started it meanwhile
//! 4. start `shedbox daemon` and read `ready` from its standard output    5. connect
//!
//! However many clients come at once, the lock lets one start it. The daemon is started with posix_spawn, never by a
//! fork of this process. No step touches a network.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shedbox_linux::{pidfd, process};
use shedbox_spec::paths::Paths;

use crate::{Error, Result};

/// How long a daemon may take until it is ready: it may have to recover a large root.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// What it says when it is ready.
const READY: &[u8] = b"ready\n";
/// Size above which the last words of earlier daemons are dropped, in bytes.
const LAST_WORDS_MAX: u64 = 1 << 20;

/// Daemons that this process has started: they are reaped when the next one is.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Connects to the daemon; starts it first when there is none.
pub(crate) fn connect(paths: &Paths) -> Result<UnixStream> {
    if let Some(stream) = try_connect(paths)? {
        return Ok(stream);
    }
    prepare_runtime(&paths.runtime)?;
    let lock_path = paths.runtime.join("start.lock");
    let doing = || format!("lock {}", lock_path.display());
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(Error::io(doing()))?;
    lock.lock().map_err(Error::io(doing()))?;
    if let Some(stream) = try_connect(paths)? {
        return Ok(stream);
    }
    if let Err(error) = start(paths) {
        // Whoever started one before may have died before that was ready, and our daemon has found it at work.
        return try_connect(paths)?.ok_or(error);
    }
    let silent = || {
        let socket = paths.api_socket();
        cannot(
            paths,
            format!(
                "it said it was ready, but nobody answers at {}",
                socket.display()
            ),
        )
    };
    try_connect(paths)?.ok_or_else(silent)
    // The lock is released when its file is closed here.
}

/// Connects; `None` when no daemon listens.
pub(crate) fn try_connect(paths: &Paths) -> Result<Option<UnixStream>> {
    let path = paths.api_socket();
    match connect_to(&path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io(format!("connect to {}", path.display()))(error)),
    }
}

/// Connects to a socket at a path of any length: `sun_path` has 108 bytes, so longer ones go through their directory.
fn connect_to(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < 100 {
        return UnixStream::connect(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = File::open(dir)?;
    let short = PathBuf::from(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&dir)
    ));
    UnixStream::connect(short.join(name))
}

/// Makes the runtime directory. Below /tmp others may have made it first: it must be ours and closed to others.
fn prepare_runtime(dir: &Path) -> Result<()> {
    let doing = || format!("use {} as the runtime directory", dir.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(Error::io(doing()))?;
    let metadata = std::fs::symlink_metadata(dir).map_err(Error::io(doing()))?;
    let own = process::own_uid();
    if !metadata.is_dir() || metadata.uid() != own || metadata.mode() & 0o022 != 0 {
        return Err(Error::from(
            shedbox_spec::Error::new(
                shedbox_spec::Kind::Denied,
                format!(
                    "the runtime directory {} is not a directory that only uid {own} can write",
                    dir.display()
                ),
            )
            .with_hint("remove it, or set SHEDBOX_RUNTIME_DIR to a directory of your own"),
        ));
    }
    Ok(())
}

/// The error of a daemon that did not start; `said` may end in a line with a hint.
fn cannot(paths: &Paths, said: String) -> Error {
    let (reason, hint) = match said.split_once("\nhint: ") {
        Some((reason, hint)) => (reason.to_owned(), Some(hint.to_owned())),
        None => (said, None),
    };
    Error::DaemonStart {
        reason,
        hint,
        log: paths.root.join("daemon.log"),
    }
}

fn start(paths: &Paths) -> Result<()> {
    let program = program()?;
    let last_words = open_last_words(&paths.runtime.join("daemon.stderr"))?;
    let cannot = |reason| cannot(paths, reason);
    let mut child = Command::new(&program)
        .arg("daemon")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(last_words)
        .spawn()
        .map_err(|error| cannot(format!("{}: {error}", program.display())))?;
    let said = match child.stdout.take() {
        Some(pipe) => hear(pipe),
        None => Err("it has no standard output".to_owned()),
    };
    match said {
        Ok(()) => {
            let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
            started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            started.push(child);
            Ok(())
        }
        Err(reason) => {
            // Of no use to anybody: it has ended, or it will not become ready.
            let _ = child.kill();
            let _ = child.wait();
            Err(cannot(reason))
        }
    }
}

/// Reads what a daemon says of its start until it is ready.
fn hear(mut pipe: impl Read + std::os::fd::AsFd) -> std::result::Result<(), String> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !pidfd::readable(&pipe, Some(left)).map_err(|error| error.to_string())? {
            return Err(format!(
                "it was not ready within {} s",
                START_TIMEOUT.as_secs()
            ));
        }
        let count = match pipe.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        said.extend_from_slice(&chunk[..count]);
        if said.ends_with(READY) {
            return Ok(());
        }
        if count == 0 {
            let text = String::from_utf8_lossy(&said);
            let text = text.trim().trim_start_matches("error: ");
            return Err(if text.is_empty() {
                "it ended without a word".to_owned()
            } else {
                text.to_owned()
            });
        }
    }
}

/// The daemon has a log of its own; this takes what it says when it panics.
fn open_last_words(path: &Path) -> Result<File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LAST_WORDS_MAX) {
        // Only old news is lost; the file is made anew below.
        let _ = std::fs::remove_file(path);
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io(format!("open {}", path.display())))
}

/// The program to start: `$SHEDBOX_BIN`, this program when it is `shedbox`, one beside it, or one in PATH.
fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("SHEDBOX_BIN").filter(|program| !program.is_empty()) {
        return Ok(program.into());
    }
    if let Ok(own) = std::env::current_exe() {
        if own.file_name().is_some_and(|name| name == "shedbox") {
            return Ok(own);
        }
        // Programs of a workspace are in the same directory; its tests and examples one below.
        let beside = own
            .parent()
            .into_iter()
            .flat_map(|dir| [Some(dir), dir.parent()])
            .flatten();
        if let Some(found) = beside
            .map(|dir| dir.join("shedbox"))
            .find(|program| program.is_file())
        {
            return Ok(found);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("shedbox"))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            Error::from(
                shedbox_spec::Error::not_found(
                    "the program `shedbox` was not found, so no daemon can be started",
                )
                .with_hint("install it in a directory of PATH, or set SHEDBOX_BIN to its path"),
            )
        })
}

#[cfg(test)]
#[path = "daemon_tests.rs"]
mod tests;
