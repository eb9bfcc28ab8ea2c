use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;

fn paths(dir: &Path) -> Paths {
    Paths {
        root: dir.join("root"),
        runtime: dir.join("run"),
        config: dir.join("config.toml"),
    }
}

fn hear_text(text: &[u8]) -> std::result::Result<(), String> {
    let (read, mut write) = io::pipe().unwrap();
    write.write_all(text).unwrap();
    drop(write);
    hear(read)
}

#[test]
fn what_a_daemon_says() {
    assert_eq!(hear_text(b"ready\n"), Ok(()));
    assert_eq!(
        hear_text(b"error: the root is locked\n"),
        Err("the root is locked".to_owned())
    );
    assert_eq!(hear_text(b""), Err("it ended without a word".to_owned()));
}

#[test]
fn nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let paths = paths(dir.path());
    assert!(try_connect(&paths).unwrap().is_none());
    std::fs::create_dir(&paths.runtime).unwrap();
    drop(UnixListener::bind(paths.api_socket()).unwrap());
    assert!(
        try_connect(&paths).unwrap().is_none(),
        "a socket that was left behind"
    );
}

#[test]
fn a_path_longer_than_sun_path() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    let paths = paths(&deep);
    std::fs::create_dir(&paths.runtime).unwrap();
    let listening = File::open(&paths.runtime).unwrap();
    let short = format!(
        "/proc/self/fd/{}/docker.sock",
        std::os::fd::AsRawFd::as_raw_fd(&listening)
    );
    let _listener = UnixListener::bind(short).unwrap();
    assert!(try_connect(&paths).unwrap().is_some());
}

#[test]
fn a_runtime_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().join("a/run");
    prepare_runtime(&runtime).unwrap();
    assert_eq!(std::fs::metadata(&runtime).unwrap().mode() & 0o777, 0o700);
    std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(
        prepare_runtime(&runtime).unwrap_err().kind(),
        shedbox_spec::Kind::Denied
    );
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("a"), &link).unwrap();
    assert!(prepare_runtime(&link).is_err(), "a symbolic link");
}

#[test]
fn a_daemon_that_fails_passes_on_its_hint() {
    let paths = paths(Path::new("/x"));
    let error = cannot(
        &paths,
        "the root is locked\nhint: end the other one".to_owned(),
    );
    assert_eq!(
        error.to_string(),
        "cannot start the daemon: the root is locked"
    );
    assert_eq!(error.hint().as_deref(), Some("end the other one"));
    let silent = cannot(&paths, "it ended without a word".to_owned());
    assert_eq!(
        silent.hint().as_deref(),
        Some("see /x/root/daemon.log and `shedbox doctor`")
    );
}
