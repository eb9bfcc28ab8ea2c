//! A reset is complete: what one generation did, the next cannot see; what belongs to the sandbox stays.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "reset/crosses.rs"]
mod crosses;
#[path = "reset/stays.rs"]
mod stays;
