//! Images: in from registries and archives, listed, removed, out again, and what a sandbox sees of them.

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

#[path = "images/all_tags.rs"]
mod all_tags;
#[path = "images/archives.rs"]
mod archives;
#[path = "images/ids.rs"]
mod ids;
#[path = "images/listing.rs"]
mod listing;
#[path = "images/offline.rs"]
mod offline;
#[path = "images/pull.rs"]
mod pull;
#[path = "images/rootfs.rs"]
mod rootfs;
#[path = "images/storage.rs"]
mod storage;
