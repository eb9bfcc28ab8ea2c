//! What people install in a sandbox installs in every lane: with a range of ids, with a single one, and as root.
//!
//! docs/lanes.md says what differs and why.

mod support;

#[path = "lanes/emulation.rs"]
mod emulation;
#[path = "lanes/packages.rs"]
mod packages;
