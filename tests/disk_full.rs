//! A full disk: a clear error, a store that is intact, and everything works again when room returns.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "disk_full/pull.rs"]
mod pull;
#[path = "disk_full/sandbox.rs"]
mod sandbox;
#[path = "disk_full/small_disk.rs"]
mod small_disk;
#[path = "disk_full/snapshot.rs"]
mod snapshot;
