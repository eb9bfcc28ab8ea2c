//! Images in and out of a real store: against a real registry, a misbehaving one, and other tools' archives.
//!
//! Needs root (ownership of extracted files) and the programs docker-registry, skopeo and umoci. A program that is
//! missing fails the test that uses it.

#![expect(unreachable_pub, reason = "a test program has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions around the tests fail as the tests do"
)]

mod archives;
mod concurrency;
mod deriving;
mod faults;
mod login;
mod memory;
mod mirrors;
mod pushing;
mod real_registry;
mod saving;
mod support;
mod tags;
mod tls;
