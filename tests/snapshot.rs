//! Snapshots: what is kept, what goes on, and what starts from it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "snapshot/bad_input.rs"]
mod bad_input;
#[path = "snapshot/crash.rs"]
mod crash;
#[path = "snapshot/files.rs"]
mod files;
#[path = "snapshot/forks.rs"]
mod forks;
#[path = "snapshot/restore.rs"]
mod restore;
#[path = "snapshot/still.rs"]
mod still;
#[path = "snapshot/subject.rs"]
mod subject;
#[path = "snapshot/users.rs"]
mod users;
