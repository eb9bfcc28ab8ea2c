//! What is really in force: the file system's walls, what processes start with, and what `features` and
//! `doctor --security` say of it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "features/doctor.rs"]
mod doctor;
#[path = "features/filesystem.rs"]
mod filesystem;
#[path = "features/masks.rs"]
mod masks;
#[path = "features/processes.rs"]
mod processes;
#[path = "features/readback.rs"]
mod readback;
