//! What people install in a sandbox installs in every lane: with a range of ids, with a single one, and as root.
//!
//! docs/lanes.md says what differs and why.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "lanes/emulation.rs"]
mod emulation;
#[path = "lanes/packages.rs"]
mod packages;
