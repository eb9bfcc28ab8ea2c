//! Attacks on a sandbox's walls, one file each: the attack program is beside the test, it says what it has tried and
//! what came of it, and the test asserts that. Where the machine allows it the same program is run without the wall
//! first and succeeds there, so that no test holds because its attack is broken.
//!
//! What other programs cover: layers made by hand `tests/bad_input/layers.rs`, copies `tests/volumes/copies.rs`, what
//! must not cross a reset `tests/reset`, hostile clients and a hostile init `tests/hostile`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "escape/attack.rs"]
mod attack;
#[path = "escape/cgroups.rs"]
mod cgroups;
#[path = "escape/chroot.rs"]
mod chroot;
#[path = "escape/handles.rs"]
mod handles;
#[path = "escape/init.rs"]
mod init;
#[path = "escape/kernel_files.rs"]
mod kernel_files;
#[path = "escape/self_exe.rs"]
mod self_exe;
