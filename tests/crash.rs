//! kill -9 of anything at any moment: nothing half-done stays, nothing that was answered is lost.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it did"
)]

mod support;

#[path = "crash/invariants.rs"]
mod invariants;
#[path = "crash/kept.rs"]
mod kept;
#[path = "crash/long.rs"]
mod long;
#[path = "crash/model.rs"]
mod model;
#[path = "crash/owner.rs"]
mod owner;
#[path = "crash/restart.rs"]
mod restart;
#[path = "crash/strike.rs"]
mod strike;
#[path = "crash/task.rs"]
mod task;
#[path = "crash/timed.rs"]
mod timed;
