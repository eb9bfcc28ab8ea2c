//! Exec: the primitive that everything else stands on.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "exec/ends.rs"]
mod ends;
#[path = "exec/identity.rs"]
mod identity;
#[path = "exec/streams.rs"]
mod streams;
#[path = "exec/time_out.rs"]
mod time_out;
