//! The command line as people use it: foreground runs, terminals, copies, listings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails by panicking, and says why"
)]

mod support;

#[path = "cli/copies.rs"]
mod copies;
#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/foreground.rs"]
mod foreground;
#[path = "cli/listings.rs"]
mod listings;
#[path = "cli/terminals.rs"]
mod terminals;
