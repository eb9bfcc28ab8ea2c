//! Bad input: each is an error that says what and where, with a status that tells whose fault it is, and leaves nothing
//! behind.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod support;

#[path = "bad_input/archive.rs"]
mod archive;
#[path = "bad_input/command_line.rs"]
mod command_line;
#[path = "bad_input/layers.rs"]
mod layers;
#[path = "bad_input/registries.rs"]
mod registries;
#[path = "bad_input/server.rs"]
mod server;

use support::{Home, eventually};

/// Runs `shedbox`, which must end with `status`, say every one of `parts` on standard error and nothing on standard
/// output.
#[track_caller]
fn refused(home: &Home, arguments: &[&str], status: i32, parts: &[&str]) -> String {
    check(
        &home.shedbox(arguments).output().unwrap(),
        arguments,
        status,
        parts,
    )
}

#[track_caller]
fn check(output: &std::process::Output, arguments: &[&str], status: i32, parts: &[&str]) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {stderr}"
    );
    for part in parts {
        assert!(
            stderr.contains(part),
            "{arguments:?}: no `{part}` in:\n{stderr}"
        );
    }
    assert!(
        stderr.starts_with("error: ") || status < 125 || stderr.contains("\nerror: "),
        "{arguments:?}:\n{stderr}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    stderr
}

/// There are no sandboxes and no images, and nothing that would become one.
#[track_caller]
fn assert_empty(home: &Home) {
    eventually("nothing is left in flight", || home.leaks().is_empty());
    assert_eq!(home.run(["ps", "--all", "--quiet"]), "");
    assert_eq!(home.run(["images", "--quiet"]), "");
    // Whole layers of an image that failed may stay for the next attempt; nothing else does, and prune takes them.
    home.run(["prune", "--force"]);
    eventually("nothing is left in the store", || {
        ["layers", "blobs/sha256", "images", "ingest"]
            .iter()
            .all(|dir| {
                let dir = home.root().join("store").join(dir);
                std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
            })
    });
}
