//! A daemon, a keeper and sandboxes of the `host` image, as the user who runs the tests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where something is missing"
)]

mod concurrency;
mod crash;
mod home;
mod lifecycle;
mod lifetime;
