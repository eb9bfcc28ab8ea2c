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

#[path = "escape/accounts.rs"]
mod accounts;
#[allow(dead_code, reason = "another program uses the rest")]
#[path = "bad_input/archive.rs"]
mod archive;
#[path = "escape/attack.rs"]
mod attack;
#[path = "escape/capabilities.rs"]
mod capabilities;
#[path = "escape/cgroups.rs"]
mod cgroups;
#[path = "escape/chroot.rs"]
mod chroot;
#[path = "escape/copies.rs"]
mod copies;
#[path = "escape/environment.rs"]
mod environment;
#[path = "escape/handles.rs"]
mod handles;
#[path = "escape/harness.rs"]
mod harness;
#[path = "escape/init.rs"]
mod init;
#[path = "escape/kernel_files.rs"]
mod kernel_files;
#[path = "escape/layers.rs"]
mod layers;
#[path = "escape/lower_layer.rs"]
mod lower_layer;
#[path = "escape/masks.rs"]
mod masks;
#[path = "escape/namespaces.rs"]
mod namespaces;
#[path = "escape/neighbours.rs"]
mod neighbours;
#[path = "escape/next_generation.rs"]
mod next_generation;
#[path = "escape/removal.rs"]
mod removal;
#[path = "volumes/rootfs.rs"]
mod rootfs;
#[path = "escape/self_exe.rs"]
mod self_exe;
#[path = "escape/sockets.rs"]
mod sockets;
#[path = "escape/starting.rs"]
mod starting;
#[path = "escape/terminal.rs"]
mod terminal;
#[path = "escape/volumes.rs"]
mod volumes;
