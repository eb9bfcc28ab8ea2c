//! Limits: each holds, and what ran into one is told which.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "limits/causes.rs"]
mod causes;
#[path = "limits/disk.rs"]
mod disk;
#[path = "limits/guards.rs"]
mod guards;
