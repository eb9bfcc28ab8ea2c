//! Many at once: nothing waits for ever, nothing is mixed up, nothing is left open.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "concurrency/long.rs"]
mod long;
#[path = "concurrency/names.rs"]
mod names;
#[path = "concurrency/ttl.rs"]
mod ttl;
