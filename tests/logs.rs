//! What a main process writes: capped, complete at its end, byte for byte; and how fast it is stopped.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "logs/capped.rs"]
mod capped;
#[path = "logs/content.rs"]
mod content;
#[path = "logs/stop.rs"]
mod stop;
