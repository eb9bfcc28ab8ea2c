//! Sessions: a shell that keeps its state from one command to the next.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "sessions/ends.rs"]
mod ends;
#[path = "sessions/output.rs"]
mod output;
#[path = "sessions/scene.rs"]
mod scene;
#[path = "sessions/state.rs"]
mod state;
#[path = "sessions/time_out.rs"]
mod time_out;
