//! What a sandbox is given beside its image: volumes, files copied in and out, options of `run`, and what the image's own
//! configuration asks for.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod support;

#[path = "volumes/binds.rs"]
mod binds;
#[path = "volumes/copies.rs"]
mod copies;
#[path = "volumes/image_config.rs"]
mod image_config;
#[path = "volumes/options.rs"]
mod options;
#[path = "volumes/rootfs.rs"]
mod rootfs;
#[path = "volumes/state.rs"]
mod state;
