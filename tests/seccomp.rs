//! What a process in a sandbox may call, and which privileges it has: asked from inside real sandboxes.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "seccomp/calls.rs"]
mod calls;
#[path = "seccomp/capabilities.rs"]
mod capabilities;
#[path = "seccomp/custom.rs"]
mod custom;
#[path = "seccomp/foreign.rs"]
mod foreign;
#[path = "seccomp/init.rs"]
mod init;
#[path = "seccomp/log.rs"]
mod log;
#[path = "seccomp/options.rs"]
mod options;
#[path = "seccomp/privileges.rs"]
mod privileges;
#[path = "seccomp/programs.rs"]
mod programs;
#[path = "seccomp/reset.rs"]
mod reset;
