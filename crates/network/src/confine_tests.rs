//! What is left of a thread: everything is tried on one of its own, since there is no way back.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;

use shedbox_linux::{probe, seccomp};

use super::*;

/// The calls of a thread that can no more than a gateway. Without a user namespace there are no capabilities to limit, so
/// this is the domain and the filter alone; the whole is in `tests/network/confinement.rs`.
fn confined(audit: &Path, work: impl FnOnce() + Send + 'static) {
    let audit = audit.to_owned();
    std::thread::spawn(move || {
        process::no_new_privileges().unwrap();
        domain(&audit).unwrap();
        seccomp::install(&refusal::compile(&refusals()).unwrap()).unwrap();
        work();
    })
    .join()
    .unwrap();
}

fn denied<T>(outcome: std::io::Result<T>) {
    let error = outcome.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[test]
fn what_a_gateway_does_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("egress.jsonl");
    let path = audit.clone();
    confined(&audit, move || {
        std::fs::write(&path, "one\n").unwrap();
        std::fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
        std::fs::write(&path, "two\n").unwrap();
        std::fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
        assert!(std::fs::read_to_string("/etc/resolv.conf").is_ok());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap();
        std::thread::spawn(|| ()).join().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { tokio::task::yield_now().await });
        process::raise_open_files().unwrap();
    });
}

#[test]
fn what_it_does_not_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().to_owned();
    std::fs::write(place.join("secret"), "x").unwrap();
    let bus = UnixListener::bind(place.join("bus")).unwrap();
    let landlock = probe::landlock_abi() > 0;
    confined(&dir.path().join("egress.jsonl"), move || {
        denied(Command::new("/bin/true").spawn());
        denied(UnixStream::connect(place.join("bus")));
        denied(UnixDatagram::pair());
        // Its own user's files, which the kernel's permissions alone would let it change.
        let mode = std::fs::Permissions::from_mode(0o777);
        denied(std::fs::set_permissions(place.join("secret"), mode));
        denied(symlink("a", place.join("link")));
        denied(
            process::signal(std::process::id() as i32, 0)
                .map_err(|errno| std::io::Error::from_raw_os_error(errno as i32)),
        );
        if landlock {
            denied(std::fs::read(place.join("secret")));
            denied(std::fs::write(place.join("made"), "x"));
            denied(std::fs::remove_file(place.join("secret")));
        }
    });
    drop(bus);
}
