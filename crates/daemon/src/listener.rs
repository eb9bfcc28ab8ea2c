//! The API socket: passed by a service manager, or our own.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use shedbox_linux::activation;
use shedbox_spec::{Error, Result};
use tokio::net::{TcpListener, UnixListener};

use crate::error::Doing;

/// A listening socket that was passed to this process.
#[derive(Debug)]
pub(crate) struct Handed(OwnedFd);

/// A socket that is served.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: UnixListener,
    /// Its file, when it is ours to remove.
    pub(crate) own: Option<PathBuf>,
    /// For the Docker API, when the configuration says so.
    pub(crate) tcp: Option<TcpListener>,
}

/// Takes the socket of systemd's socket activation. Source: sd_listen_fds(3).
pub(crate) fn handed_over() -> Result<Option<Handed>> {
    let var = |name: &str| std::env::var(name).ok();
    let fds = activation::take(var("LISTEN_PID").as_deref(), var("LISTEN_FDS").as_deref())
        .map_err(|error| {
            Error::invalid(format!(
                "the socket of the service manager is not usable: {error}"
            ))
        })?;
    let mut fds = fds.into_iter();
    match (fds.next(), fds.next()) {
        (first, None) => Ok(first.map(Handed)),
        _ => Err(
            Error::invalid("the service manager passes more than one socket")
                .with_hint("the socket unit must have one ListenStream"),
        ),
    }
}

/// Listens: on what was handed over, else at `path`. Called inside the runtime, by the holder of the root's lock: a
/// file that is there is a dead daemon's.
pub(crate) fn listen(path: &Path, handed: Option<Handed>) -> Result<Listener> {
    let (listener, own) = match handed {
        Some(Handed(fd)) => (StdListener::from(fd), None),
        None => (bind(path)?, Some(path.to_owned())),
    };
    listener
        .set_nonblocking(true)
        .doing(|| "listen".to_owned())?;
    let socket = UnixListener::from_std(listener).doing(|| "listen".to_owned())?;
    Ok(Listener {
        socket,
        own,
        tcp: None,
    })
}

/// Listens by TCP, which nobody is kept from: on loopback alone.
pub(crate) async fn listen_by_tcp(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(Error::invalid(format!(
            "`tcp = \"{address}\"` of the configuration is not an address of loopback"
        ))
        .with_hint(
            "the API is power over all sandboxes: use 127.0.0.1, and a tunnel from elsewhere",
        ));
    }
    TcpListener::bind(address)
        .await
        .doing(|| format!("listen at {address}"))
}

fn bind(path: &Path) -> Result<StdListener> {
    let doing = || format!("listen at {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).doing(doing);
        }
        _ => {}
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!(
            "`{}` is no place for a socket",
            path.display()
        )));
    };
    // The name in the address may have 107 bytes only: through the directory's descriptor it is short.
    let dir = std::fs::File::open(dir).doing(doing)?;
    let short = Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name);
    let listener = StdListener::bind(short).doing(doing)?;
    // The directory is closed to others, so nobody can have connected before this.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).doing(doing)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_and_a_stale_file() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("docker.sock");
        drop(bind(&path).unwrap());
        let _listener = bind(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
