//! Landlock: what the domain of a sandbox denies and what it leaves alone, lists of paths and ports, levels; and commands
//! without a sandbox (`--isolation landlock`).
//!
//! Nothing is skipped for want of a kernel: what is expected follows from the ABI that this kernel reports.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

#[path = "landlock/attempt.rs"]
mod attempt;
#[path = "landlock/confined.rs"]
mod confined;
#[path = "landlock/confined_ends.rs"]
mod confined_ends;
#[path = "landlock/confined_walls.rs"]
mod confined_walls;
#[path = "landlock/domain.rs"]
mod domain;
#[path = "landlock/levels.rs"]
mod levels;
#[path = "landlock/lists.rs"]
mod lists;
#[path = "landlock/ports.rs"]
mod ports;
#[path = "landlock/work.rs"]
mod work;
